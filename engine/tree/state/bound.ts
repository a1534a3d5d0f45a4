/** Places in the order of keys, and how walks begin and go on there. */
import type { Key, RangeEntry } from '../../api.js';
import { prefixBytes } from './arguments.js';

/** Where a walk begins: at `key` (inclusive), or after it. */
export interface Bound {
  key: Uint8Array;
  inclusive: boolean;
}

export function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  const { length } = prefix;
  if (key.length < length) return false;
  for (let i = 0; i < length; i++) if (key[i] !== prefix[i]) return false;
  return true;
}

/** The first key after all that begin with `prefix`, or undefined when there is none such. */
export function successor(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const next = new Uint8Array(prefix.subarray(0, length));
  next[length - 1] = (next[length - 1] as number) + 1;
  return next;
}

/** The bound after an entry; undefined when nothing can follow it. */
export function boundAfter(entry: RangeEntry): Bound | undefined {
  return entry.type === 'key' ? { key: entry.key, inclusive: false } : boundBehind(entry.prefix);
}

/** The bound behind all keys that begin with `prefix`; undefined when nothing can follow them. */
export function boundBehind(prefix: Uint8Array): Bound | undefined {
  const next = successor(prefix);
  return next === undefined ? undefined : { key: next, inclusive: true };
}

/** Where a range begins: at its prefix, or after `startAfter` where that is later. `delimiter` is a byte, or -1. */
export function startOf(
  prefix: Uint8Array,
  delimiter: number,
  startAfter: Key | undefined,
): Bound | undefined {
  const atPrefix: Bound = { key: prefix, inclusive: true };
  if (startAfter === undefined) return atPrefix;
  const after = prefixBytes(startAfter);
  if (after.length === 0 || Buffer.compare(after, prefix) < 0) return atPrefix;
  const isRolledUp =
    delimiter >= 0 &&
    after.length > prefix.length &&
    after.indexOf(delimiter, prefix.length) === after.length - 1 &&
    Buffer.compare(after.subarray(0, prefix.length), prefix) === 0;
  if (!isRolledUp) return { key: after, inclusive: false };
  const next = successor(after);
  return next === undefined ? undefined : { key: next, inclusive: true };
}
