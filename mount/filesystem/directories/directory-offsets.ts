/**
 * Offsets in a directory, which clients keep and come back with.
 *
 * `.` is followed by offset 1 and `..` by 2. The offset after any other entry is made of a hash of its name and a hint:
 * about the how-manieth of the listing it was. So an offset means the same place in every handle of the directory,
 * whatever is made and removed there: the kernel gives offsets from the listing that it keeps of one handle to all
 * others, and an offset that is not in a newer listing must not be taken for another entry's. Two entries can share
 * one only if their hashes are equal and their hints too.
 *
 * Below 2^53: 14 bits of hint, 39 of hash. A hint is the ordinal, from 1, as a floating number: exact up to 2,047, then
 * with 11 significant bits. Beyond 2^25 all have the last one.
 */
export const AFTER_DOT = 1;
export const AFTER_DOT_DOT = 2;
/** Offsets from here on are none of ours. */
export const NO_OFFSET = 2 ** 53;

const HASHES = 2 ** 39;
const MANTISSA_BITS = 10;
const LAST_HINT = 2 ** 14 - 1;
const LAST_ORDINAL = 2 ** 25 - 1;

/** The offset after the entry `name`, the `ordinal`-th of a listing. */
export function offsetAfter(name: Uint8Array, ordinal: number): number {
  return hintOf(ordinal) * HASHES + hashOf(name);
}

export function hashIn(offset: number): number {
  return offset % HASHES;
}

/** First and last ordinal that an entry followed by this offset may have had. */
export function ordinalsIn(offset: number): { first: number; last: number } {
  const hint = Math.floor(offset / HASHES);
  return {
    first: ordinalOf(hint),
    last: hint >= LAST_HINT ? Number.POSITIVE_INFINITY : ordinalOf(hint + 1) - 1,
  };
}

/** 39 bits. */
export function hashOf(name: Uint8Array): number {
  let low = 0x811c9dc5;
  let high = 0x9e3779b9;
  for (let i = 0; i < name.length; i++) {
    low = Math.imul(low ^ name[i]!, 0x01000193);
    high = Math.imul(high ^ low, 0x85ebca6b) ^ (high >>> 13);
  }
  low = Math.imul(low ^ (low >>> 15), 0xc2b2ae35);
  return ((low ^ (low >>> 13)) >>> 0) + ((high ^ (high >>> 16)) & 0x7f) * 0x1_0000_0000;
}

function hintOf(ordinal: number): number {
  const capped = Math.min(ordinal, LAST_ORDINAL);
  const shift = Math.max(0, 31 - Math.clz32(capped) - MANTISSA_BITS);
  return (shift << MANTISSA_BITS) + (capped >>> shift);
}

/** The least ordinal that has this hint. */
function ordinalOf(hint: number): number {
  const shift = Math.max(0, (hint >>> MANTISSA_BITS) - 1);
  return (hint - (shift << MANTISSA_BITS)) * 2 ** shift;
}
