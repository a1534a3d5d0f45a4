/**
 * The frames that hold blobs in memory, which blob is in which, and which of them may leave; and behind them the frames
 * that hold images for views.
 *
 * Rules
 * - Everything but what readers and writers of single keys do (`find`, `version`, `holds`, `touch`, `isReady`, `tryLatch`
 *   and what follows it, and the reading of a frame's bytes) is done by the thread that has the tree lock for itself.
 * - A frame has a version word, odd while it is being changed and never reset. A reader takes the version, checks
 *   that the frame holds the blob it came for, reads, and validates the version. `M_BLOB` changes only in steps
 *   that change the version too.
 * - The page table may miss a blob that is resident: a miss is looked up again under the lock before anything is
 *   concluded from it.
 * - Only frames without flags are evicted: dirty, captured and pinned ones stay.
 */
import { Frame } from '../art/frame.js';
import { BLOB_SIZE } from '../limits.js';
import {
  C_CLOCK_HAND,
  C_DIRTY,
  C_FREE_FRAMES,
  C_FREE_SLOTS,
  C_FRESH_FRAMES,
  C_HELD,
  C_MAY_BE_DIRTY,
  C_VIEW_EPOCH,
  type Control,
  NO_PACE,
} from '../shared/control.js';
import { heldLimitOf } from './held-frames.js';
import { PageTable } from './page-table.js';
import { ViewImages } from './view-images.js';

// Words of a frame's row.
const M_VERSION = 0;
const M_BLOB = 1;
const M_FLAGS = 2;
const M_USED = 3;
const M_NEXT_FREE = 4;
/** All views that began up to this epoch have the blob's image, or need none. */
const M_EPOCH = 5;
/** A cache line, so that writers in different frames do not meet. */
const ROW = 16;

/**
 * Bytes from one frame to the next. What all readers of a blob come by (its header, its topmost nodes) is near its
 * beginning; were that at the same distance everywhere, a power of two, all of it would compete for a few lines of the
 * processor's caches. The odd number of lines in between spreads it.
 */
const STRIDE = BLOB_SIZE + 65 * 64;
/** Frames for the images of views, for each frame of the cache, and at least. */
const IMAGES_SHARE = 1 / 4;
const LEAST_IMAGES = 16;

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
  images: SharedArrayBuffer;
  views: SharedArrayBuffer;
}

export class FrameCache {
  readonly count: number;
  /** Dirty and captured frames together stay below this; see held-frames.ts. */
  readonly heldLimit: number;
  /** Most blobs on a way down that must be resident as a whole; the rest is left for other uses. */
  readonly longestPath: number;
  readonly handle: FrameCacheHandle;
  readonly views: ViewImages;
  readonly #control: Control;
  readonly #rows: Int32Array;
  readonly #table: PageTable;
  /** The epoch as of which blobs are found; 0: as they are. */
  #epoch = 0;
  readonly #frames: (Frame | undefined)[];
  readonly #pinned: number[] = [];

  /** `bytes` makes a new cache of so many bytes; a handle attaches to one; `frames` are another's on the same memory. */
  constructor(
    control: Control,
    from: { bytes: number } | FrameCacheHandle,
    frames: (Frame | undefined)[] = [],
  ) {
    this.#control = control;
    this.#frames = frames;
    if ('bytes' in from) {
      const count = Math.floor(from.bytes / BLOB_SIZE);
      const images = Math.max(LEAST_IMAGES, Math.floor(count * IMAGES_SHARE));
      this.handle = {
        frames: new SharedArrayBuffer(count * STRIDE),
        rows: new SharedArrayBuffer((count + images) * ROW * 4),
        table: new PageTable(count).buffer,
        images: new SharedArrayBuffer(images * STRIDE),
        views: new ViewImages(control, images).buffer,
      };
    } else this.handle = from;
    const { rows, table, views } = this.handle;
    const images = this.handle.images.byteLength / STRIDE;
    this.count = this.handle.frames.byteLength / STRIDE;
    this.heldLimit = heldLimitOf(this.count);
    if ('bytes' in from) this.pace = NO_PACE;
    this.longestPath = this.count - 2;
    this.#rows = new Int32Array(rows);
    this.#table = new PageTable(this.count, table);
    this.views = new ViewImages(control, images, views);
    while (this.#frames.length < this.count + images) this.#frames.push(undefined);
  }

  /** The same cache for the reads of views. */
  forViews(): FrameCache {
    return new FrameCache(this.#control, this.handle, this.#frames);
  }

  /** Blobs are found as the view of this epoch sees them from now on; for reading only. */
  seeAsOf(epoch: number): void {
    this.#epoch = epoch;
  }

  get bytes(): number {
    return this.count * BLOB_SIZE;
  }

  frame(index: number): Frame {
    const frame = this.#frames[index];
    return frame === undefined ? this.#makeFrame(index) : frame;
  }

  #makeFrame(index: number): Frame {
    const frame =
      index < this.count
        ? new Frame(this.handle.frames, index * STRIDE)
        : new Frame(this.handle.images, (index - this.count) * STRIDE);
    this.#frames[index] = frame;
    return frame;
  }

  /** The frame that holds the blob, or -1. Without the lock, a hint that `holds` must confirm. */
  find(blobId: number): number {
    if (this.#epoch !== 0) {
      const slot = this.views.find(blobId, this.#epoch);
      if (slot >= 0) return this.count + slot;
    }
    return this.#table.find(blobId);
  }

  /** The frame's version; odd: it is being changed. */
  version(index: number): number {
    return Atomics.load(this.#rows, index * ROW + M_VERSION);
  }

  /** Whether the frame holds the blob; to be asked between taking the version and validating it, as its bytes are. */
  holds(index: number, blobId: number): boolean {
    if (this.#rows[index * ROW + M_BLOB] !== blobId) return false;
    // An image is announced before the blob changes: where there is none after the version was taken, that version will do.
    return this.#epoch === 0 || index >= this.count || this.views.find(blobId, this.#epoch) < 0;
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

  /** Whether a writer of a single key may change the frame as it is: it is dirty, and nobody needs its image. */
  isReady(index: number): boolean {
    const at = index * ROW;
    const isDirty = ((this.#rows[at + M_FLAGS] as number) & DIRTY) !== 0;
    return isDirty && this.#rows[at + M_EPOCH] === this.#control.words[C_VIEW_EPOCH];
  }

  /** Latches the frame if it still has this version. */
  tryLatch(index: number, version: number): boolean {
    const at = index * ROW + M_VERSION;
    return Atomics.compareExchange(this.#rows, at, version, (version + 1) | 0) === version;
  }

  /** Ends a latch under which nothing was changed: the frame has the version again that it had before. */
  releaseUnchanged(index: number, version: number): void {
    Atomics.store(this.#rows, index * ROW + M_VERSION, version);
  }

  /** Begins a view by the thread of this number; as `ViewImages.begin`. */
  beginView(thread: number): number {
    if (this.views.mayRenumber) {
      for (let at = M_EPOCH; at < this.#rows.length; at += ROW) this.#rows[at] = 0;
      this.#control.words[C_VIEW_EPOCH] = 0;
    }
    return this.views.begin(thread);
  }

  /** Before a blob changes or leaves the tree: keeps its image if a view needs it. */
  keepForViews(index: number): void {
    const rows = this.#rows;
    const epoch = this.#control.words[C_VIEW_EPOCH] as number;
    const since = rows[index * ROW + M_EPOCH] as number;
    if (since === epoch) return;
    const blobId = rows[index * ROW + M_BLOB] as number;
    const slot = this.views.take(blobId, since);
    if (slot >= 0) {
      const image = this.count + slot;
      this.latch(image);
      Atomics.store(rows, image * ROW + M_BLOB, blobId);
      this.frame(image).u8.set(this.frame(index).u8);
      this.unlatch(image);
      this.views.announce(slot, blobId, since);
    }
    rows[index * ROW + M_EPOCH] = epoch;
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

  /** Sets and clears flags, and keeps the counts of dirty and held frames, and of slots that no dirty frame will need. */
  setFlags(index: number, set: number, clear: number): void {
    const at = index * ROW + M_FLAGS;
    const before = this.#rows[at] as number;
    const after = (before | set) & ~clear;
    this.#rows[at] = after;
    const words = this.#control.words;
    const dirty = (after & DIRTY) - (before & DIRTY);
    if (dirty !== 0) {
      Atomics.add(words, C_DIRTY, dirty);
      Atomics.sub(words, C_FREE_SLOTS, dirty);
    }
    const held = ((after & (DIRTY | CAPTURED)) !== 0 ? 1 : 0) - ((before & (DIRTY | CAPTURED)) !== 0 ? 1 : 0);
    if (held !== 0) Atomics.add(words, C_HELD, held);
  }

  /** Number of frames that are dirty or captured. */
  get held(): number {
    return Atomics.load(this.#control.words, C_HELD);
  }

  /** Number of dirty frames. */
  get dirty(): number {
    return Atomics.load(this.#control.words, C_DIRTY);
  }

  /** How many frames may be dirty at the moment; NO_PACE: any number below `heldLimit`. */
  get pace(): number {
    return Atomics.load(this.#control.words, C_MAY_BE_DIRTY);
  }

  set pace(frames: number) {
    Atomics.store(this.#control.words, C_MAY_BE_DIRTY, Math.min(frames, NO_PACE));
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

  /** Whether there is a frame that holds no blob. */
  get hasUnused(): boolean {
    const words = this.#control.words;
    return words[C_FREE_FRAMES] !== 0 || (words[C_FRESH_FRAMES] as number) < this.count;
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

  /** Puts the blob whose image the obtained frame now holds into the page table. `isNew`: it was just made. */
  install(index: number, blobId: number, isNew: boolean): void {
    this.#setBlob(index, blobId);
    this.#rows[index * ROW + M_USED] = 1;
    this.#rows[index * ROW + M_EPOCH] = isNew ? (this.#control.words[C_VIEW_EPOCH] as number) : 0;
    this.#table.add(blobId, index);
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
    this.#table.remove(blobId);
  }

  /** Changes what the frame holds, and with it the version; one that is latched stays so until its change ends. */
  #setBlob(index: number, blobId: number): void {
    const wasLatched = this.isLatched(index);
    if (!wasLatched) this.latch(index);
    Atomics.store(this.#rows, index * ROW + M_BLOB, blobId);
    if (!wasLatched) this.unlatch(index);
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
