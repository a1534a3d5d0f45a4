/** What makes one tree of another: for who follows and has missed what came in between. */

import type { RangeEntry, TreeReads } from '../api.js';
import { BatchEncoder } from '../journal/records/batch-encoder.js';
import { encodeRecord, RECORD_BATCH } from '../journal/records/record.js';

/** A batch is closed once it has so many bytes. */
const BATCH_BYTES = 256 * 1024;

/** Records that make `tree` what `other` is, in key order, one walk over both; none where they are the same. */
export function* recordsBetween(
  tree: Pick<TreeReads, 'range'>,
  other: Pick<TreeReads, 'range'>,
): Generator<Uint8Array, void, undefined> {
  const encoder = new BatchEncoder();
  let lsn = 0;
  const close = () => {
    const record = encodeRecord(++lsn, RECORD_BATCH, encoder.body().subarray(0, encoder.length), 0);
    encoder.reset();
    return record;
  };
  const [ours, theirs] = [keysOf(tree.range()), keysOf(other.range())];
  let own = ours.next();
  let wanted = theirs.next();
  while (own.done !== true || wanted.done !== true) {
    const order = compare(own, wanted);
    if (order < 0) encoder.delete(own.value!.key);
    else if (order > 0) encoder.put(wanted.value!.key, wanted.value!.value);
    else if (Buffer.compare(own.value!.value, wanted.value!.value) !== 0) {
      encoder.put(wanted.value!.key, wanted.value!.value);
    }
    if (order <= 0) own = ours.next();
    if (order >= 0) wanted = theirs.next();
    if (encoder.length >= BATCH_BYTES) yield close();
  }
  if (encoder.count > 0) yield close();
}

interface Found {
  key: Uint8Array;
  value: Uint8Array;
}

/** What comes first; what has come to its end comes last. */
function compare(own: IteratorResult<Found, void>, wanted: IteratorResult<Found, void>): number {
  if (own.done === true) return 1;
  return wanted.done === true ? -1 : Buffer.compare(own.value.key, wanted.value.key);
}

function* keysOf(entries: Iterable<RangeEntry>): Generator<Found, void, undefined> {
  for (const entry of entries) if (entry.type === 'key') yield entry;
}
