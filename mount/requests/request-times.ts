/**
 * How long requests took, by operation, and what that went to. In shared memory, so that the main thread reads it at any
 * time; one thread alone writes an area. Takes no memory but its area, and allocates nothing when it records.
 */
import { HISTOGRAM_SIZE, Histogram } from '../../engine/histogram.js';
import { PART_NAMES, PARTS, Part, type PartName } from '../../engine/stopwatch.js';
import type { OperationFigures } from '../types.js';

/** Of each operation: its histogram, and milliseconds of each part. */
const ROW = HISTOGRAM_SIZE + PARTS;

type Times = Omit<OperationFigures, 'errors'>;

export class RequestTimes {
  readonly #numbers: Float64Array;
  readonly #histograms: Histogram[] = [];

  /** Numbers that an area for operations 0 to `operations - 1` takes. */
  static size(operations: number): number {
    return operations * ROW;
  }

  constructor(numbers: Float64Array) {
    this.#numbers = numbers;
    for (let at = 0; at < numbers.length; at += ROW)
      this.#histograms.push(new Histogram(numbers.subarray(at, at + HISTOGRAM_SIZE)));
  }

  /**
   * A request of the operation was served; `times`: milliseconds of each part, in which all of its time is. `isDivided`: it
   * may be in others than the tree's.
   */
  record(operation: number, times: Float64Array, isDivided = true): void {
    const numbers = this.#numbers;
    const at = operation * ROW + HISTOGRAM_SIZE;
    let total = times[Part.TREE]!;
    numbers[at + Part.TREE]! += total;
    for (let part = 1; isDivided && part < PARTS; part++) {
      const time = times[part]!;
      numbers[at + part]! += time;
      total += time;
    }
    this.#histograms[operation]!.record(total);
  }

  /** What was recorded of an operation. */
  of(operation: number): Times {
    const at = operation * ROW + HISTOGRAM_SIZE;
    const micros = Object.fromEntries(
      PART_NAMES.map((name, part) => [name, this.#numbers[at + part]! * 1000]),
    );
    return { ...this.#histograms[operation]!.latency(), micros: micros as Record<PartName, number> };
  }
}

/** Two areas' figures of one operation as one's. */
export function joined(first: Times, second: Times): Times {
  const buckets = new Map(first.buckets);
  for (const [upTo, count] of second.buckets) buckets.set(upTo, (buckets.get(upTo) ?? 0) + count);
  const micros = PART_NAMES.map((name) => [name, first.micros[name] + second.micros[name]]);
  return {
    count: first.count + second.count,
    sumMicros: first.sumMicros + second.sumMicros,
    maxMicros: Math.max(first.maxMicros, second.maxMicros),
    buckets: [...buckets].sort(([a], [b]) => a - b),
    micros: Object.fromEntries(micros) as Record<PartName, number>,
  };
}
