/** Objects for a caller of the filesystem layer to own and to use again and again. */
import type { AttributeChange, Attributes } from './types.js';

/** An object to receive attributes, all zero. */
export function newAttributes(): Attributes {
  return {
    ino: 0,
    mode: 0,
    nlink: 0,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: 0,
    blocks: 0,
    atimeSeconds: 0,
    atimeNanos: 0,
    mtimeSeconds: 0,
    mtimeNanos: 0,
    ctimeSeconds: 0,
    ctimeNanos: 0,
    btimeSeconds: 0,
    btimeNanos: 0,
    live: false,
    changesUnseen: false,
  };
}

/** A change of nothing. */
export function newChange(): AttributeChange {
  return {
    valid: 0,
    mode: 0,
    uid: 0,
    gid: 0,
    size: 0,
    atimeSeconds: 0,
    atimeNanos: 0,
    mtimeSeconds: 0,
    mtimeNanos: 0,
    ctimeSeconds: 0,
    ctimeNanos: 0,
    handle: 0,
  };
}
