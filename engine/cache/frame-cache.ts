/**
 * The frames that hold blobs in memory, which blob is in which, and which of them may leave.
 *
 * Rules
 * - Everything but `find`, `validate` and the reading of a frame's bytes happens under the tree lock.
 * - A frame has a version word, odd while it is being changed and never reset. A reader takes the version, checks
 *   that the frame holds the blob it came for, reads, and validates the version. `M_BLOB` changes only in steps
 *   that change the version too.
 * - The page table may miss a blob that is resident (a reader can look while an entry moves): a miss is looked up
 *   again under the lock before anything is concluded from it.
 * - Only frames without flags are evicted: dirty, captured and pinned ones stay.
 */
import { Frame } from '../art/frame.js';
import { BLOB_SIZE } from '../limits.js';
import {
  C_CLOCK_HAND,
  C_DIRTY,
  C_FREE_FRAMES,
  C_FRESH_FRAMES,
  C_HELD,
  type Control,
} from '../shared/control.js';

// Words of a frame's row.
const M_VERSION = 0;
const M_BLOB = 1;
const M_FLAGS = 2;
const M_USED = 3;
const M_NEXT_FREE = 4;
const ROW = 8;

/** Changed since the last capture. */
export const DIRTY = 1;
/** Part of the checkpoint round under way. */
export const CAPTURED = 2;
/** Captured, and its image as of the capture is already copied. */
export const COPIED = 4;
/** On the way of the operation that holds the tree lock. */
const PINNED = 8;

export interface FrameCacheHandle {
  frames: SharedArrayBuffer;
  rows: SharedArrayBuffer;
  table: SharedArrayBuffer;
}

export class FrameCache {
  readonly count: number;
  /** Dirty and captured frames together stay below this, so that there is always one to evict. */
  readonly heldLimit: number;
  /** Most blobs on a way down that must be resident as a whole; the rest is left for other uses. */
  readonly longestPath: number;
  readonly handle: FrameCacheHandle;
  readonly #control: Control;
  readonly #rows: Int32Array;
  readonly #table: Int32Array;
  readonly #tableMask: number;
  readonly #frames: (Frame | undefined)[] = [];
  readonly #pinned: number[] = [];

  /** `bytes` makes a new cache of so many bytes; a handle attaches to one. */
  constructor(control: Control, from: { bytes: number } | FrameCacheHandle) {
    this.#control = control;
    if ('bytes' in from) {
      const count = Math.floor(from.bytes / BLOB_SIZE);
      let entries = 64;
      while (entries < count * 4) entries *= 2;
      this.handle = {
        frames: new SharedArrayBuffer(count * BLOB_SIZE),
        rows: new SharedArrayBuffer(count * ROW * 4),
        table: new SharedArrayBuffer(entries * 8),
      };
    } else this.handle = from;
    this.count = this.handle.frames.byteLength / BLOB_SIZE;
    this.heldLimit = Math.floor((this.count * 3) / 4);
    this.longestPath = this.count - 2;
    this.#rows = new Int32Array(this.handle.rows);
    this.#table = new Int32Array(this.handle.table);
    this.#tableMask = this.#table.length / 2 - 1;
    for (let i = 0; i < this.count; i++) this.#frames.push(undefined);
  }

  get bytes(): number {
    return this.count * BLOB_SIZE;
  }

  frame(index: number): Frame {
    const frame = this.#frames[index];
    return frame === undefined ? this.#makeFrame(index) : frame;
  }

  #makeFrame(index: number): Frame {
    const frame = new Frame(this.handle.frames, index * BLOB_SIZE);
    this.#frames[index] = frame;
    return frame;
  }

  /** The frame that holds the blob, or -1. Without the lock, a hint that `holds` must confirm. */
  find(blobId: number): number {
    const table = this.#table;
    const mask = this.#tableMask;
    let at = (Math.imul(blobId, 0x9e3779b1) >>> 7) & mask;
    for (let step = 0; step <= mask; step++) {
      const id = Atomics.load(table, at * 2);
      if (id === blobId) return Atomics.load(table, at * 2 + 1);
      if (id === 0) return -1;
      at = (at + 1) & mask;
    }
    return -1;
  }

  /** The frame's version; odd: it is being changed. */
  version(index: number): number {
    return Atomics.load(this.#rows, index * ROW + M_VERSION);
  }

  /** Whether the frame holds the blob; to be asked between taking the version and validating it. */
  holds(index: number, blobId: number): boolean {
    return Atomics.load(this.#rows, index * ROW + M_BLOB) === blobId;
  }

  /** Notes a use, for the clock. */
  touch(index: number): void {
    const at = index * ROW + M_USED;
    if (this.#rows[at] === 0) this.#rows[at] = 1;
  }

  /** Begins a change: readers of the frame will start again. */
  latch(index: number): void {
    Atomics.add(this.#rows, index * ROW + M_VERSION, 1);
  }

  /** Ends the change. */
  unlatch(index: number): void {
    Atomics.add(this.#rows, index * ROW + M_VERSION, 1);
  }

  isLatched(index: number): boolean {
    return (this.version(index) & 1) === 1;
  }

  flags(index: number): number {
    return this.#rows[index * ROW + M_FLAGS] as number;
  }

  blobIn(index: number): number {
    return this.#rows[index * ROW + M_BLOB] as number;
  }

  /** Keeps the frame where it is until `unpinAll`. */
  pin(index: number): void {
    const at = index * ROW + M_FLAGS;
    const flags = this.#rows[at] as number;
    if ((flags & PINNED) !== 0) return;
    this.#rows[at] = flags | PINNED;
    this.#pinned.push(index);
  }

  get pinned(): number {
    return this.#pinned.length;
  }

  unpinAll(): void {
    for (let i = this.#pinned.pop(); i !== undefined; i = this.#pinned.pop()) {
      const at = i * ROW + M_FLAGS;
      this.#rows[at] = (this.#rows[at] as number) & ~PINNED;
    }
  }

  /** Sets and clears flags, and keeps the counts of dirty and held frames. */
  setFlags(index: number, set: number, clear: number): void {
    const at = index * ROW + M_FLAGS;
    const before = this.#rows[at] as number;
    const after = (before | set) & ~clear;
    this.#rows[at] = after;
    const words = this.#control.words;
    const dirty = (after & DIRTY) - (before & DIRTY);
    if (dirty !== 0) Atomics.add(words, C_DIRTY, dirty);
    const held = ((after & (DIRTY | CAPTURED)) !== 0 ? 1 : 0) - ((before & (DIRTY | CAPTURED)) !== 0 ? 1 : 0);
    if (held !== 0) Atomics.add(words, C_HELD, held);
  }

  /** Number of frames that are dirty or captured. */
  get held(): number {
    return Atomics.load(this.#control.words, C_HELD);
  }

  /** Takes a frame out of use for the caller, evicting one if need be; -1 when none may leave. */
  obtain(): number {
    const words = this.#control.words;
    const rows = this.#rows;
    const free = words[C_FREE_FRAMES] as number;
    if (free !== 0) {
      words[C_FREE_FRAMES] = rows[(free - 1) * ROW + M_NEXT_FREE] as number;
      return free - 1;
    }
    const fresh = words[C_FRESH_FRAMES] as number;
    if (fresh < this.count) {
      words[C_FRESH_FRAMES] = fresh + 1;
      return fresh;
    }
    let hand = words[C_CLOCK_HAND] as number;
    for (let step = 0; step < this.count * 3; step++) {
      const index = hand;
      hand = hand + 1 === this.count ? 0 : hand + 1;
      if (rows[index * ROW + M_FLAGS] !== 0 || rows[index * ROW + M_BLOB] === 0) continue;
      // The third time round use counts no more: readers, who note theirs without the lock, would win for ever.
      if (rows[index * ROW + M_USED] !== 0 && step < this.count * 2) {
        rows[index * ROW + M_USED] = 0;
        continue;
      }
      words[C_CLOCK_HAND] = hand;
      this.#empty(index);
      return index;
    }
    words[C_CLOCK_HAND] = hand;
    return -1;
  }

  /** How many frames `obtain` could give now, counted up to `enough`. */
  available(enough: number): number {
    const words = this.#control.words;
    let count = this.count - (words[C_FRESH_FRAMES] as number);
    for (let free = words[C_FREE_FRAMES] as number; free !== 0 && count < enough; ) {
      count++;
      free = this.#rows[(free - 1) * ROW + M_NEXT_FREE] as number;
    }
    for (let i = 0; i < this.count && count < enough; i++) {
      if (this.#rows[i * ROW + M_FLAGS] === 0 && this.#rows[i * ROW + M_BLOB] !== 0) count++;
    }
    return count;
  }

  /** Puts the blob whose image the obtained frame now holds into the page table. */
  install(index: number, blobId: number): void {
    this.#setBlob(index, blobId);
    this.#rows[index * ROW + M_USED] = 1;
    const table = this.#table;
    const mask = this.#tableMask;
    let at = (Math.imul(blobId, 0x9e3779b1) >>> 7) & mask;
    while (table[at * 2] !== 0) at = (at + 1) & mask;
    Atomics.store(table, at * 2 + 1, index);
    Atomics.store(table, at * 2, blobId);
  }

  /** Gives back an obtained frame that was not installed. */
  giveBack(index: number): void {
    const words = this.#control.words;
    this.#rows[index * ROW + M_NEXT_FREE] = words[C_FREE_FRAMES] as number;
    words[C_FREE_FRAMES] = index + 1;
  }

  /** The blob in the frame is gone from the tree: forgets it, its flags included. */
  drop(index: number): void {
    const at = this.#pinned.indexOf(index);
    if (at >= 0) this.#pinned.splice(at, 1);
    this.setFlags(index, 0, DIRTY | CAPTURED | COPIED | PINNED);
    this.#empty(index);
    this.giveBack(index);
  }

  #empty(index: number): void {
    const rows = this.#rows;
    const blobId = rows[index * ROW + M_BLOB] as number;
    this.#setBlob(index, 0);
    this.#removeEntry(blobId);
  }

  /** Changes what the frame holds, and with it the version; one that is latched stays so until its change ends. */
  #setBlob(index: number, blobId: number): void {
    const wasLatched = this.isLatched(index);
    if (!wasLatched) this.latch(index);
    Atomics.store(this.#rows, index * ROW + M_BLOB, blobId);
    if (!wasLatched) this.unlatch(index);
  }

  /** Linear probing without tombstones: later entries of the run move back over the hole. */
  #removeEntry(blobId: number): void {
    const table = this.#table;
    const mask = this.#tableMask;
    let at = (Math.imul(blobId, 0x9e3779b1) >>> 7) & mask;
    while (table[at * 2] !== blobId) at = (at + 1) & mask;
    let hole = at;
    for (;;) {
      at = (at + 1) & mask;
      const id = table[at * 2] as number;
      if (id === 0) break;
      const home = (Math.imul(id, 0x9e3779b1) >>> 7) & mask;
      if (((at - home) & mask) < ((at - hole) & mask)) continue;
      Atomics.store(table, hole * 2 + 1, table[at * 2 + 1] as number);
      Atomics.store(table, hole * 2, id);
      hole = at;
    }
    Atomics.store(table, hole * 2, 0);
  }

  /** Calls `visit` for each resident blob. */
  eachResident(visit: (index: number, blobId: number) => void): void {
    const fresh = this.#control.words[C_FRESH_FRAMES] as number;
    for (let i = 0; i < fresh; i++) {
      const blobId = this.#rows[i * ROW + M_BLOB] as number;
      if (blobId !== 0) visit(i, blobId);
    }
  }
}
