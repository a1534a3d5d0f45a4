import fc from 'fast-check';
import { expect, test } from 'vitest';
import { countUpTo, difference, percentile } from '../../../daemon/control/metrics/latency.js';
import { HISTOGRAM_SIZE, Histogram } from '../../../engine/histogram.js';

const times = fc.array(
  fc.double({ min: -1, max: 7, noNaN: true }).map((exponent) => 10 ** exponent),
  { maxLength: 100 },
);

function record(
  micros: readonly number[],
  into = new Histogram(new Float64Array(HISTOGRAM_SIZE)),
): Histogram {
  for (const time of micros) into.record(time / 1000);
  return into;
}

test('a percentile is at most an eighth above the time that it stands for, and never below it', () => {
  fc.assert(
    fc.property(times, fc.constantFrom(0.01, 0.5, 0.9, 0.99, 1), (micros, share) => {
      const found = percentile(record(micros).latency(), share);
      if (micros.length === 0) return void expect(found).toBe(0);
      const exact = micros.toSorted((a, b) => a - b)[Math.ceil(micros.length * share) - 1]!;
      expect(found).toBeGreaterThanOrEqual(exact * (1 - 1e-9));
      expect(found).toBeLessThanOrEqual(Math.max(exact * 1.125, exact + 0.125) * (1 + 1e-9));
    }),
  );
});

test('the difference of two looks is what came between them', () => {
  fc.assert(
    fc.property(times, times, (earlier, later) => {
      const histogram = record(earlier);
      const before = histogram.latency();
      const after = record(later, histogram).latency();
      const alone = record(later).latency();
      const found = difference(after, before);
      expect([found.count, found.buckets]).toEqual([alone.count, alone.buckets]);
      expect(found.sumMicros).toBeCloseTo(alone.sumMicros, 0);
      expect(difference(after)).toMatchObject({ count: after.count, buckets: after.buckets });
    }),
  );
});

test('counts up to a power of 2 are exact', () => {
  fc.assert(
    fc.property(times, fc.integer({ min: 0, max: 24 }), (micros, power) => {
      const bound = 2 ** power;
      fc.pre(micros.every((time) => Math.abs(time - bound) > bound * 1e-9));
      expect(countUpTo(record(micros).latency(), bound)).toBe(micros.filter((time) => time <= bound).length);
    }),
  );
});
