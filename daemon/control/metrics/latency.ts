/** What latencies of the stats tell, for whoever shows them. */
import type { Latency } from '../../../engine/api.js';

const NONE: Latency = { count: 0, sumMicros: 0, maxMicros: 0, buckets: [] };

/**
 * Microseconds that a share of all took at most, told to an eighth: 0.5 is the median, 0.99 the 99th percentile; 0 where there are
 * none.
 */
export function percentile({ count, maxMicros, buckets }: Latency, share: number): number {
  let left = Math.ceil(count * share);
  for (const [upTo, found] of buckets) {
    left -= found;
    if (left <= 0) return Math.min(upTo, maxMicros);
  }
  return maxMicros;
}

/** What came between two looks; `maxMicros` is a bound then, as the buckets have it. `before` undefined: nothing was there. */
export function difference(after: Latency, before: Latency = NONE): Latency {
  const counts = new Map(before.buckets);
  const buckets = after.buckets
    .map(([upTo, count]): [number, number] => [upTo, count - (counts.get(upTo) ?? 0)])
    .filter(([, count]) => count > 0);
  return {
    count: after.count - before.count,
    sumMicros: after.sumMicros - before.sumMicros,
    maxMicros: Math.min(buckets.at(-1)?.[0] ?? 0, after.maxMicros),
    buckets,
  };
}

/** How many took at most so long; exact where that is the bound of a bucket, as each power of 2 from 1 to 2^28 is. */
export function countUpTo({ buckets }: Latency, micros: number): number {
  return buckets.reduce((sum, [upTo, count]) => (upTo <= micros ? sum + count : sum), 0);
}
