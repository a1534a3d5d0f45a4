/** A measure for trees under test, and what it must tell. */
import type { MeasureOptions, TreeReads } from '../../engine/api.js';

export const SIZES: MeasureOptions = {
  name: 'sizes',
  fields: ['records', 'bytes', 'odd'],
  of(_key, value, out) {
    out[0] = 1;
    out[1] = value.length;
    out[2] = value.length % 2;
  },
};

/** What a walk over the records below the prefix comes to. */
export function walked(reads: TreeReads, prefix: Uint8Array | string): Record<string, number> {
  const sums = { records: 0, bytes: 0, odd: 0 };
  for (const entry of reads.range({ prefix })) {
    if (entry.type !== 'key') continue;
    sums.records++;
    sums.bytes += entry.value.length;
    sums.odd += entry.value.length % 2;
  }
  return sums;
}

/** Throws unless the tree's sums below the prefix are those of a walk, and so is the number of keys. */
export function assertSums(reads: TreeReads, prefix: Uint8Array | string): void {
  const found = JSON.stringify({ ...reads.measure(prefix), count: reads.countPrefix(prefix) });
  const sums = walked(reads, prefix);
  const expected = JSON.stringify({ ...sums, count: sums.records });
  const name = Buffer.from(prefix).toString('latin1').slice(0, 60);
  if (found !== expected)
    throw new Error(`sums below ${JSON.stringify(name)}: ${found}, a walk finds ${expected}`);
}
