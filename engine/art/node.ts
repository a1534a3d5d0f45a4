/**
 * Inner nodes inside one frame: finding, adding and removing children, growing and shrinking.
 *
 * A "slot" is the byte offset of the u16 that points to a node: in its parent, in the header (the root's), or a
 * node's terminator. Changing what is there is done by writing its slot.
 * The source of the node kinds: Leis et al., "The Adaptive Radix Tree", ICDE 2013.
 */
import type { Frame } from './frame.js';
import {
  capacityOf,
  childrenOffset,
  innerBytes,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N16,
  KIND_N48,
  KIND_N256,
  kindFor,
  N_COUNT,
  N_KEYS,
  N_PREFIX_LENGTH,
  N_TERMINATOR,
  N4_CHILDREN,
  N16_CHILDREN,
  N48_CHILDREN,
  N48_INDEX,
  N256_CHILDREN,
  prefixOffset,
} from './layout.js';

/** Slot of the child of `node` for `byte`, or 0. In an N256 an absent child is 0 too. */
export function findChild(frame: Frame, node: number, byte: number): number {
  const u8 = frame.u8;
  switch (u8[node] & 15) {
    case KIND_N4: {
      const count = frame.u16[(node + N_COUNT) >> 1];
      for (let i = 0; i < count && i < 4; i++) {
        if (u8[node + N_KEYS + i] === byte) return node + N4_CHILDREN + i * 2;
      }
      return 0;
    }
    case KIND_N16: {
      const keys = node + N_KEYS;
      // Digits and letters often come without gaps: the guess saves the loop, and its end, which is badly predicted.
      const guess = byte - u8[keys];
      const count = frame.u16[(node + N_COUNT) >> 1];
      if (guess >= 0 && guess < count && u8[keys + guess] === byte) return node + N16_CHILDREN + guess * 2;
      for (let i = 0; i < count && i < 16; i++) {
        if (u8[keys + i] === byte) return node + N16_CHILDREN + i * 2;
      }
      return 0;
    }
    case KIND_N48: {
      const index = u8[node + N48_INDEX + byte];
      return index === 0 ? 0 : node + N48_CHILDREN + (index - 1) * 2;
    }
    case KIND_N256: {
      const slot = node + N256_CHILDREN + byte * 2;
      return frame.u16[slot >> 1] === 0 ? 0 : slot;
    }
    default:
      return 0;
  }
}

/**
 * The smallest byte >= `from` under which `node` has a child, or -1. The slot is then `findChild(...)`.
 * Used by walks in key order; `from` may be 256.
 */
export function nextChildByte(frame: Frame, node: number, from: number): number {
  const u8 = frame.u8;
  const kind = u8[node] & 15;
  if (kind === KIND_N4 || kind === KIND_N16) {
    const count = frame.u16[(node + N_COUNT) >> 1];
    for (let i = 0; i < count && i < 16; i++) {
      const byte = u8[node + N_KEYS + i];
      if (byte >= from) return byte;
    }
    return -1;
  }
  if (kind === KIND_N48) {
    for (let byte = from; byte < 256; byte++) if (u8[node + N48_INDEX + byte] !== 0) return byte;
    return -1;
  }
  if (kind === KIND_N256) {
    const base = (node + N256_CHILDREN) >> 1;
    for (let byte = from; byte < 256; byte++) if (frame.u16[base + byte] !== 0) return byte;
  }
  return -1;
}

/** Offset of the child of `node` for `byte`; REQUIRES that it has one. */
export function childOf(frame: Frame, node: number, byte: number): number {
  return frame.u16[findChild(frame, node, byte) >> 1] << 3;
}

/** Whether the walk continues in another blob there. */
export function isCrossing(frame: Frame, node: number): boolean {
  return (frame.u8[node] & 15) === KIND_CROSSING;
}

/** Stands in a child slot until the child is there; any non-zero pointer does. */
export const PLACEHOLDER = 0xffff;

/** Whether one more child fits without growing. */
export function hasRoom(frame: Frame, node: number): boolean {
  return frame.u16[(node + N_COUNT) >> 1] < capacityOf(frame.u8[node] & 15);
}

/** Writes a new inner node's head; children, prefix bytes and terminator are the caller's. */
export function initInner(frame: Frame, node: number, kind: number, prefixLength: number): void {
  const end = node + prefixOffset(kind);
  frame.u8.fill(0, node, end);
  frame.u8[node] = kind;
  frame.u8[node + N_PREFIX_LENGTH] = prefixLength;
}

/** Adds a child; REQUIRES hasRoom and no child under `byte` yet. */
export function addChild(frame: Frame, node: number, byte: number, pointer: number): void {
  const { u8, u16 } = frame;
  const kind = u8[node] & 15;
  const countAt = (node + N_COUNT) >> 1;
  const count = u16[countAt];
  if (kind === KIND_N4 || kind === KIND_N16) {
    const children = (node + (kind === KIND_N4 ? N4_CHILDREN : N16_CHILDREN)) >> 1;
    const keys = node + N_KEYS;
    let i = count;
    while (i > 0 && u8[keys + i - 1] > byte) {
      u8[keys + i] = u8[keys + i - 1];
      u16[children + i] = u16[children + i - 1];
      i--;
    }
    u8[keys + i] = byte;
    u16[children + i] = pointer;
  } else if (kind === KIND_N48) {
    const children = (node + N48_CHILDREN) >> 1;
    let i = count < 48 && u16[children + count] === 0 ? count : 0;
    while (u16[children + i] !== 0) i++;
    u16[children + i] = pointer;
    u8[node + N48_INDEX + byte] = i + 1;
  } else {
    u16[((node + N256_CHILDREN) >> 1) + byte] = pointer;
  }
  u16[countAt] = count + 1;
}

/** Takes the child under `byte` out of the node; what it points to is untouched. */
export function removeChild(frame: Frame, node: number, byte: number): void {
  const { u8, u16 } = frame;
  const kind = u8[node] & 15;
  const countAt = (node + N_COUNT) >> 1;
  const count = u16[countAt];
  if (kind === KIND_N4 || kind === KIND_N16) {
    const children = (node + (kind === KIND_N4 ? N4_CHILDREN : N16_CHILDREN)) >> 1;
    const keys = node + N_KEYS;
    let i = 0;
    while (u8[keys + i] !== byte) i++;
    for (; i < count - 1; i++) {
      u8[keys + i] = u8[keys + i + 1];
      u16[children + i] = u16[children + i + 1];
    }
    u8[keys + count - 1] = 0;
    u16[children + count - 1] = 0;
  } else if (kind === KIND_N48) {
    const index = u8[node + N48_INDEX + byte];
    u8[node + N48_INDEX + byte] = 0;
    u16[((node + N48_CHILDREN) >> 1) + index - 1] = 0;
  } else {
    u16[((node + N256_CHILDREN) >> 1) + byte] = 0;
  }
  u16[countAt] = count - 1;
}

/**
 * Copies the node at `from` into the block at `to` as another kind; children, terminator and prefix are kept.
 * REQUIRES that the kind holds them all and that the block has innerBytes(kind, prefixLength).
 */
export function convert(frame: Frame, from: number, to: number, kind: number): void {
  const { u8, u16 } = frame;
  const prefixLength = u8[from + N_PREFIX_LENGTH];
  initInner(frame, to, kind, prefixLength);
  u16[(to + N_TERMINATOR) >> 1] = u16[(from + N_TERMINATOR) >> 1];
  for (let byte = nextChildByte(frame, from, 0); byte >= 0; byte = nextChildByte(frame, from, byte + 1)) {
    addChild(frame, to, byte, u16[findChild(frame, from, byte) >> 1]);
  }
  const source = from + prefixOffset(u8[from] & 15);
  u8.copyWithin(to + prefixOffset(kind), source, source + prefixLength);
}

/** The kind to which a node with so many children shrinks: 37, 12 and 3 leave room to grow again (hysteresis). */
export function shrunkKind(kind: number, children: number): number {
  if (kind === KIND_N256) return children <= 37 ? kindFor(children) : kind;
  if (kind === KIND_N48) return children <= 12 ? kindFor(children) : kind;
  if (kind === KIND_N16) return children <= 3 ? KIND_N4 : kind;
  return kind;
}

/** Shortens the node's prefix by its first `cut` bytes, in place, and frees the tail of its block. */
export function cutPrefix(frame: Frame, node: number, cut: number): void {
  const u8 = frame.u8;
  const kind = u8[node] & 15;
  const length = u8[node + N_PREFIX_LENGTH];
  const before = innerBytes(kind, length);
  const after = innerBytes(kind, length - cut);
  const prefix = node + prefixOffset(kind);
  u8.copyWithin(prefix, prefix + cut, prefix + length);
  u8[node + N_PREFIX_LENGTH] = length - cut;
  if (after < before) frame.free(node + after, before - after);
}

/** Longest way that is gone to see whether something is below a node. */
const MOST_LOOKS = 32;

/** The leaf or crossing to which the first children of the node and of those below lead; 0: none is near. */
export function firstBelow(frame: Frame, node: number): number {
  const { u8, u16 } = frame;
  let at = node;
  for (let step = 0; step < MOST_LOOKS && at !== 0; step++) {
    const kind = u8[at] & 15;
    if (kind === KIND_LEAF || kind === KIND_CROSSING) return at;
    const terminator = u16[(at + N_TERMINATOR) >> 1];
    if (terminator !== 0) return terminator << 3;
    if (kind === KIND_N4) at = u16[(at + N4_CHILDREN) >> 1] << 3;
    else if (kind === KIND_N16) at = u16[(at + N16_CHILDREN) >> 1] << 3;
    else {
      const byte = nextChildByte(frame, at, 0);
      if (byte < 0) return 0;
      at = u16[findChild(frame, at, byte) >> 1] << 3;
    }
  }
  return 0;
}

/** The position of the first child of `node` after `byte`. */
export function positionAfter(frame: Frame, node: number, byte: number): number {
  const kind = frame.u8[node] & 15;
  if (kind !== KIND_N4 && kind !== KIND_N16) return byte + 1;
  const count = frame.u16[(node + N_COUNT) >> 1];
  let at = 0;
  while (at < count && at < 16 && frame.u8[node + N_KEYS + at] <= byte) at++;
  return at;
}

/**
 * Puts the node's terminator and children on the stack, in no particular order, once for each byte; returns its new top.
 * REQUIRES room for 257 more.
 */
export function pushBelow(frame: Frame, node: number, stack: Int32Array, from: number): number {
  const { u8, u16 } = frame;
  const kind = u8[node] & 15;
  if (kind === KIND_LEAF || kind === KIND_CROSSING) return from;
  let top = from;
  const terminator = u16[(node + N_TERMINATOR) >> 1];
  if (terminator !== 0) stack[top++] = terminator << 3;
  const isSparse = kind === KIND_N48 || kind === KIND_N256;
  const children = (node + childrenOffset(kind)) >> 1;
  const slots = isSparse ? capacityOf(kind) : u16[(node + N_COUNT) >> 1];
  for (let i = 0; i < slots; i++) {
    const child = u16[children + i];
    if (child !== 0) stack[top++] = child << 3;
  }
  return top;
}
