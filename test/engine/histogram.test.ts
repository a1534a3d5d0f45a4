import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HISTOGRAM_SIZE, Histogram } from '../../engine/histogram.js';

/** As the buckets are told to be, made another way: eighths of a microsecond, then eight steps to each power of 2. */
const BOUNDS: number[] = [];
for (let step = 1; step <= 8; step++) BOUNDS.push(step / 8);
for (let power = 0; power < 28; power++) {
  for (let step = 9; step <= 16; step++) BOUNDS.push((step / 8) * 2 ** power);
}
const LAST = BOUNDS.at(-1)!;

function make(): Histogram {
  return new Histogram(new Float64Array(new SharedArrayBuffer(HISTOGRAM_SIZE * 8)));
}

/** Microseconds, of all sizes alike, and bounds and their neighbours. */
const micros = fc.oneof(
  fc.double({ min: -4, max: 9, noNaN: true }).map((exponent) => 10 ** exponent),
  fc.constantFrom(0, ...BOUNDS),
  fc.constantFrom(...BOUNDS).map((bound) => bound * (1 + 1e-9)),
);

test('each time is in the one bucket whose bounds are around it', () => {
  fc.assert(
    fc.property(micros, (time) => {
      const histogram = make();
      histogram.record(time / 1000);
      const bound = BOUNDS.find((upTo) => time <= upTo) ?? LAST;
      const { buckets, count, sumMicros, maxMicros } = histogram.latency();
      expect([count, buckets.length, buckets[0]![1]]).toEqual([1, 1, 1]);
      // Where it is on a bound, the division above may have moved it by a last bit.
      const [upTo] = buckets[0]!;
      if (Math.abs(time - bound) > bound * 1e-12) expect(upTo).toBe(bound);
      else expect([bound, BOUNDS[BOUNDS.indexOf(bound) + 1] ?? LAST]).toContain(upTo);
      expect(sumMicros).toBeCloseTo(time, 6);
      expect(maxMicros).toBeCloseTo(time, 6);
    }),
  );
});

test('bounds are told to an eighth, and have every power of 2', () => {
  for (const [at, bound] of BOUNDS.entries()) {
    if (at > 0 && bound > 1) expect(bound / BOUNDS[at - 1]!).toBeLessThanOrEqual(1.125);
  }
  for (let power = 0; power <= 28; power++) expect(BOUNDS).toContain(2 ** power);
});

test('counts add up, in order, and nothing is lost in the last bucket', () => {
  fc.assert(
    fc.property(fc.array(micros, { maxLength: 200 }), (times) => {
      const histogram = make();
      for (const time of times) histogram.record(time / 1000);
      const { buckets, count, sumMicros, maxMicros } = histogram.latency();
      expect(count).toBe(times.length);
      expect(buckets.reduce((sum, [, found]) => sum + found, 0)).toBe(times.length);
      const bounds = buckets.map(([upTo]) => upTo);
      expect(bounds).toEqual([...new Set(bounds)].sort((a, b) => a - b));
      const sum = times.reduce((total, time) => total + time, 0);
      expect(Math.abs(sumMicros - sum)).toBeLessThanOrEqual(sum * 1e-9);
      expect(maxMicros).toBeCloseTo(Math.max(0, ...times), 5);
    }),
  );
});

test('a clock that went back counts as no time', () => {
  const histogram = make();
  histogram.record(-5);
  expect(histogram.latency().buckets).toEqual([[0.125, 1]]);
});

test('another thread sees the same figures in the same memory', () => {
  const memory = new SharedArrayBuffer(HISTOGRAM_SIZE * 8);
  new Histogram(new Float64Array(memory)).record(0.25);
  expect(new Histogram(new Float64Array(memory)).latency()).toEqual({
    count: 1,
    sumMicros: 250,
    maxMicros: 250,
    buckets: [[256, 1]],
  });
});
