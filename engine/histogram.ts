/**
 * How long things took, counted in buckets: eight to each power of two from a microsecond on, and eight below it, so a
 * figure is told to an eighth at worst. The bounds are the same for all and for ever: what came between two looks is
 * the difference of their counts.
 *
 * Thread safety: one thread at a time records, which the caller sees to (an area of its own, or a lock); any other
 * reads meanwhile. All stores are whole, so a reader finds each number as it was at some moment, and the counts never go down.
 */

/** What was recorded, as it can be sent on. */
export interface Latency {
  /** The sum of the buckets' counts. */
  count: number;
  sumMicros: number;
  maxMicros: number;
  /**
   * The buckets that are not empty, the shortest times first: what took at most so many microseconds, and more than the
   * bound before that (bounds of empty buckets count, too). What took longer than the last bound of all is in the last one.
   */
  buckets: [upToMicros: number, count: number][];
}

/** Buckets of a power of two. */
const STEPS = 8;
const STEP_BITS = 3;
const STEPS_PER_MS = STEPS * 1000;
/** Whole eighths of a microsecond are counted in 31 bits: 268 s. */
const MOST_STEPS = 0x7fff_ffff;

const SUM = 0;
const MAX = 1;
const BUCKETS = 2;
const BUCKET_COUNT = bucketOf(MOST_STEPS) + 1;

/** Numbers that a histogram takes. */
export const HISTOGRAM_SIZE = BUCKETS + BUCKET_COUNT;

/** The bucket of a time of so many whole steps and a part of one more. */
function bucketOf(steps: number): number {
  if (steps < STEPS) return steps;
  const power = 31 - Math.clz32(steps);
  return ((power - STEP_BITS + 1) << STEP_BITS) + ((steps >>> (power - STEP_BITS)) & (STEPS - 1));
}

/** Upper bound of a bucket in microseconds; what takes exactly that long is in it. */
function upTo(bucket: number): number {
  if (bucket < STEPS) return (bucket + 1) / STEPS;
  const power = (bucket >> STEP_BITS) - 1;
  return ((STEPS + (bucket & (STEPS - 1)) + 1) * 2 ** power) / STEPS;
}

export class Histogram {
  readonly #numbers: Float64Array;

  /** `numbers`: HISTOGRAM_SIZE of them, all 0 at the beginning. */
  constructor(numbers: Float64Array) {
    this.#numbers = numbers;
  }

  /** Something took so many milliseconds. */
  record(ms: number): void {
    const numbers = this.#numbers;
    const steps = Math.max(Math.min(Math.ceil(ms * STEPS_PER_MS) - 1, MOST_STEPS), 0);
    numbers[BUCKETS + bucketOf(steps)]! += 1;
    numbers[SUM]! += ms;
    if (ms > numbers[MAX]!) numbers[MAX] = ms;
  }

  latency(): Latency {
    const numbers = this.#numbers;
    const buckets: Latency['buckets'] = [];
    let count = 0;
    for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
      const found = numbers[BUCKETS + bucket]!;
      if (found > 0) buckets.push([upTo(bucket), found]);
      count += found;
    }
    return { count, sumMicros: numbers[SUM]! * 1000, maxMicros: numbers[MAX]! * 1000, buckets };
  }
}
