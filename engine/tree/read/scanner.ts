/**
 * Walks the tree in key order and collects entries, a batch at a time.
 *
 * Optimistic like reader.ts, but validated by the stretch: within one frame the walk goes on without looking at versions,
 * and what it gathered there counts only once the versions of all frames on the way have been validated. That happens
 * before a crossing is followed, before a frame is left, at the end of a batch and every LONGEST_STRETCH steps. When one
 * changed, what was gathered since the last validation is dropped and the walk starts again after the last entry that
 * counts. So a key that was there throughout is neither missed nor repeated. Whatever a stretch reads from a frame under
 * change, it stays inside the frame and ends.
 */

import type { RangeEntry } from '../../api.js';
import {
  H_ROOT,
  KIND_CROSSING,
  KIND_LEAF,
  KIND_N4,
  KIND_N16,
  KIND_N48,
  KIND_N256,
  N_COUNT,
  N_KEYS,
  N_TERMINATOR,
  N4_CHILDREN,
  N16_CHILDREN,
  N48_CHILDREN,
  N48_INDEX,
  N256_CHILDREN,
  X_BLOB_ID,
} from '../../art/layout.js';
import { findChild, positionAfter } from '../../art/node.js';
import { S_RESTARTS } from '../../shared/control.js';
import { Attempts } from '../state/attempts.js';
import { type Bound, boundAfter } from '../state/bound.js';
import { type TreeState, tooDeep } from '../state/state.js';
import type { Reader } from './reader.js';
import { Entries } from './scan/entries.js';
import { isInhabited } from './scan/inhabited.js';
import { MissingBlob } from './scan/missing-blob.js';
import { Way } from './way.js';

/** Steps without a validation, so that a walk through a frame under change ends. */
const LONGEST_STRETCH = 4096;

export interface ScanOptions {
  prefix: Uint8Array;
  /** A byte, or -1 for none. */
  delimiter: number;
  keysOnly: boolean;
}

/** Outcomes of `#seek`, `#follow` and `#run`. */
const CHANGED = 0;
const ON_THE_WAY = 1;
const NOTHING = 2;
const ENDED = 3;
const FULL = 4;

/** Scans in the order of keys; see Scanner. */
export interface Scans {
  collect(bound: Bound, limit: number, options: ScanOptions, out: RangeEntry[]): Bound | undefined;
  count(bound: Bound, limit: number, prefix: Uint8Array): { keys: number; next: Bound | undefined };
}

export class Scanner implements Scans {
  readonly #state: TreeState;
  readonly #entries: Entries;
  readonly #attempts = new Attempts();
  readonly #way: Way;
  /** A leaf in the innermost frame that comes next, before all that the nodes lead to, and the length of the way to it. */
  #leaf = 0;
  #leafDepth = 0;
  /** Set by #follow: the child that was looked for, in the innermost frame. */
  #child = 0;
  /** The crossing followed last, in which frame of which version; and the frame it led to, with its version then. */
  #crossing = 0;
  #crossingFrame = -1;
  #crossingVersion = 0;
  #below = 0;
  #belowVersion = 0;
  /** Entries or keys that count. */
  #sure = 0;
  #counted = 0;
  /** Where those counted that are sure end, once a frame was left for another since the walk began. */
  #countedTo: Bound | undefined;
  /** The bound that the way stands at, if nothing has changed since. */
  #standsAt: Bound | undefined;
  readonly #missing: MissingBlob;

  constructor(state: TreeState, reader: Reader) {
    this.#state = state;
    this.#way = new Way(state.cache);
    this.#entries = new Entries(state, this.#way);
    this.#missing = new MissingBlob(state, reader, this.#way);
  }

  /**
   * Appends up to `limit` entries from `bound` on to `out`. Returns the bound to go on from, or undefined at the
   * end of the range.
   */
  collect(bound: Bound, limit: number, options: ScanOptions, out: RangeEntry[]): Bound | undefined {
    const full = out.length + limit;
    this.#sure = out.length;
    let from: Bound | undefined = bound;
    for (this.#attempts.reset(); from !== undefined; this.#attempts.failed()) {
      const before = out.length;
      const outcome = this.#walk(from, full, options, out, this.#attempts.exclusive);
      if (outcome === ENDED) return undefined;
      if (outcome === FULL || out.length > before) from = boundAfter(out[out.length - 1] as RangeEntry);
      if (outcome === FULL) {
        this.#standsAt = from;
        return from;
      }
      if (out.length > before) this.#attempts.reset();
      this.#miss();
    }
    return undefined;
  }

  /** Counts keys from `bound` on that begin with the prefix, up to `limit`; the rest begins at `next`, if there is one. */
  count(bound: Bound, limit: number, prefix: Uint8Array): { keys: number; next: Bound | undefined } {
    const options = { prefix, delimiter: -1, keysOnly: true };
    let keys = 0;
    let from = bound;
    for (this.#attempts.reset(); keys < limit; this.#attempts.failed()) {
      this.#sure = 0;
      this.#countedTo = undefined;
      const outcome = this.#walk(from, limit - keys, options, undefined, this.#attempts.exclusive);
      if (outcome === ENDED) return { keys: keys + this.#counted, next: undefined };
      if (outcome === FULL) {
        const next = { key: this.#way.key.slice(0, this.#leafDepth), inclusive: false };
        this.#standsAt = next;
        return { keys: keys + this.#counted, next };
      }
      if (this.#countedTo !== undefined) {
        keys += this.#sure;
        from = this.#countedTo;
        this.#attempts.reset();
      }
      this.#miss();
    }
    return { keys, next: from };
  }

  /** After an attempt that met a change, or a blob that was not resident. */
  #miss(): void {
    const attempts = this.#attempts;
    const { control, counters, cache } = this.#state;
    control.counters[counters + S_RESTARTS] = (control.counters[counters + S_RESTARTS] as number) + 1;
    if (this.#missing.id !== 0 && ++attempts.loads > cache.count) {
      attempts.loads = 0;
      this.#missing.makeRoom();
    }
  }

  /**
   * As #attempt. Once too many attempts met changes it is made under the tree lock, when nothing changes; a caller
   * may hold that lock already. What is missing is loaded afterwards.
   */
  #walk(
    from: Bound,
    full: number,
    options: ScanOptions,
    out: RangeEntry[] | undefined,
    exclusive: boolean,
  ): number {
    const state = this.#state;
    const missing = this.#missing;
    missing.id = 0;
    if (state.treeLock.held) {
      const outcome = this.#attempt(from, full, options, out);
      if (missing.id !== 0) state.resident(missing.id);
      return outcome;
    }
    if (exclusive) state.lockTree();
    let outcome: number;
    try {
      outcome = this.#attempt(from, full, options, out);
    } finally {
      if (exclusive) state.treeLock.unlock();
    }
    if (missing.id !== 0) missing.load(full - this.#sure > 1);
    return outcome;
  }

  #attempt(from: Bound, full: number, options: ScanOptions, out: RangeEntry[] | undefined): number {
    const way = this.#way;
    this.#counted = 0;
    const stands = this.#standsAt === from && way.isValid();
    this.#standsAt = undefined;
    let outcome = stands ? ON_THE_WAY : this.#seek(from, options);
    if (outcome === ON_THE_WAY) outcome = this.#run(full, options, out);
    if (outcome !== CHANGED && outcome !== NOTHING && way.isValid()) return outcome;
    if (out !== undefined) out.length = this.#sure;
    return CHANGED;
  }

  /** Goes to where the range begins. ENDED: nothing is there; REQUIRES a validation then. */
  #seek(from: Bound, { prefix, delimiter }: ScanOptions): number {
    const way = this.#way;
    const { cache } = this.#state;
    const { key: target, inclusive } = from;
    way.depth = 0;
    way.level = -1;
    this.#leaf = 0;
    this.#crossing = 0;
    for (let i = 0; i < prefix.length; i++) if (target[i] !== prefix[i]) return ENDED;
    const rootId = this.#state.root;
    const root = cache.find(rootId);
    if (root < 0) {
      if (!this.#state.hasRoot) return ENDED;
      this.#missing.isRoot();
      return CHANGED;
    }
    const version = cache.version(root);
    if ((version & 1) !== 0 || !cache.holds(root, rootId)) return CHANGED;
    way.pushFrame(root, version);
    let frame = cache.frame(root);
    let node = (frame.u16[H_ROOT >> 1] as number) << 3;
    if (node === 0) return ENDED;
    let length = 0;
    for (;;) {
      const isLeaf = ((frame.u8[node] as number) & 15) === KIND_LEAF;
      const total = way.spell(frame, node, length);
      const common = Math.min(total, target.length);
      const key = way.key;
      let same = length;
      while (same < common && key[same] === target[same]) same++;
      if (same < common) {
        if ((key[same] as number) < (target[same] as number)) return ON_THE_WAY;
        if (same < prefix.length) return ENDED;
      }
      const isAfter = same < common || total > target.length;
      if (isLeaf) {
        if (isAfter || (total === target.length && inclusive)) {
          this.#leaf = node;
          this.#leafDepth = length;
        }
        return ON_THE_WAY;
      }
      if (isAfter || total === target.length) {
        way.pushNode(
          node,
          total,
          isAfter || inclusive ? -1 : 0,
          way.delimiterAt(prefix.length, total, delimiter),
        );
        return ON_THE_WAY;
      }
      const byte = target[total] as number;
      const cut = way.delimiterAt(prefix.length, total, delimiter);
      way.pushNode(node, total, positionAfter(frame, node, byte), cut);
      const slot = findChild(frame, node, byte);
      if (slot === 0) return ON_THE_WAY;
      this.#child = (frame.u16[slot >> 1] as number) << 3;
      way.reserve(total + 1);
      way.key[total] = byte;
      const outcome = this.#follow(byte, undefined);
      if (outcome === NOTHING) return ON_THE_WAY;
      if (outcome === CHANGED) return CHANGED;
      frame = cache.frame(way.frames[way.level]!);
      node = this.#child;
      length = total + 1;
    }
  }

  /**
   * Goes on along the way until `full` entries are in `out` (or so many keys are counted) or the range ends. What was
   * gathered since the last validation is the caller's to validate.
   */
  #run(full: number, options: ScanOptions, out: RangeEntry[] | undefined): number {
    const way = this.#way;
    const { cache } = this.#state;
    const { prefix, delimiter } = options;
    let frame = cache.frame(way.frames[way.level]!);
    let level = way.level;
    let stretch = LONGEST_STRETCH;
    for (;;) {
      if (this.#leaf !== 0) {
        const leaf = this.#leaf;
        this.#leaf = 0;
        const length = way.spell(frame, leaf, this.#leafDepth);
        this.#leafDepth = length;
        if (out === undefined) this.#counted++;
        else {
          const cut = way.delimiterAt(prefix.length, length, delimiter);
          if (cut >= 0) this.#entries.rollUp(cut, out);
          else if (!this.#entries.give(frame, leaf, length, options.keysOnly, out)) return CHANGED;
        }
        if ((out === undefined ? this.#counted : out.length) >= full) return FULL;
      }
      const top = way.depth - 1;
      if (top < 0) return ENDED;
      if (way.levels[top] !== level) {
        // Leaving frames: what came from them must count before they are forgotten.
        if (!this.#settle(out)) return CHANGED;
        level = way.levels[top]!;
        way.level = level;
        frame = cache.frame(way.frames[level]!);
      }
      if (--stretch === 0) {
        if (!this.#settle(out)) return CHANGED;
        stretch = LONGEST_STRETCH;
      }
      const length = way.lengths[top]!;
      // The way to the prefix leads through this node: all its other children come after it.
      if (length < prefix.length) return ENDED;
      const node = way.nodes[top]!;
      const { u8, u16 } = frame;
      const at = way.positions[top]!;
      let byte = 0;
      let child = 0;
      if (at < 0) {
        way.positions[top] = 0;
        child = u16[(node + N_TERMINATOR) >> 1]! << 3;
        if (child !== 0) {
          this.#leaf = child;
          this.#leafDepth = length;
        }
        continue;
      }
      const kind = u8[node]! & 15;
      if (kind === KIND_N4 || kind === KIND_N16) {
        if (at < u16[(node + N_COUNT) >> 1]! && at < 16) {
          byte = u8[node + N_KEYS + at]!;
          child = u16[((node + (kind === KIND_N4 ? N4_CHILDREN : N16_CHILDREN)) >> 1) + at]! << 3;
          way.positions[top] = at + 1;
        }
      } else if (kind === KIND_N48) {
        byte = at;
        while (byte < 256 && u8[node + N48_INDEX + byte] === 0) byte++;
        if (byte < 256) {
          child = u16[((node + N48_CHILDREN) >> 1) + u8[node + N48_INDEX + byte]! - 1]! << 3;
          way.positions[top] = byte + 1;
        }
      } else if (kind === KIND_N256) {
        const children = (node + N256_CHILDREN) >> 1;
        byte = at;
        while (byte < 256 && u16[children + byte] === 0) byte++;
        if (byte < 256) {
          child = u16[children + byte]! << 3;
          way.positions[top] = byte + 1;
        }
      } else return CHANGED;
      if (child === 0) {
        way.depth = top;
        continue;
      }
      if (length + 1 > way.key.length) way.reserve(length + 1);
      way.key[length] = byte;
      let childKind = u8[child]! & 15;
      if (childKind === KIND_CROSSING) {
        this.#child = child;
        const outcome = this.#follow(byte, out);
        if (out === undefined && (outcome !== CHANGED || this.#missing.id !== 0)) {
          this.#sure = this.#counted;
          this.#countedTo = { key: way.key.slice(0, length + 1), inclusive: true };
        }
        if (outcome === CHANGED) return CHANGED;
        if (outcome === NOTHING) {
          if (!this.#settle(out)) return CHANGED;
          way.level = level;
          continue;
        }
        level = way.level;
        frame = cache.frame(way.frames[level]!);
        child = this.#child;
        childKind = frame.u8[child]! & 15;
      }
      if (childKind === KIND_LEAF) {
        this.#leaf = child;
        this.#leafDepth = length + 1;
        continue;
      }
      let cut = -1;
      if (delimiter >= 0) {
        cut = way.cuts[top]!;
        if (cut < 0) cut = byte === delimiter ? length : way.spellTo(delimiter, frame, child, length + 1);
        if (cut >= 0 && out !== undefined && isInhabited(cache, frame, child)) {
          this.#entries.rollUp(cut, out);
          if (out.length >= full) return FULL;
          continue;
        }
      }
      way.pushNode(child, way.spell(frame, child, length + 1), -1, cut);
    }
  }

  /**
   * While #child is a crossing, goes to the blob's own child for `byte`: NOTHING when it has none, CHANGED also when
   * the blob is not resident. The frames before are validated with that, and what was gathered in them counts.
   */
  #follow(byte: number, out: RangeEntry[] | undefined): number {
    const way = this.#way;
    const { cache } = this.#state;
    for (;;) {
      const index = way.frames[way.level]!;
      const frame = cache.frame(index);
      const child = this.#child;
      if ((frame.u8[child]! & 15) !== KIND_CROSSING) return ON_THE_WAY;
      const isLast =
        child === this.#crossing &&
        index === this.#crossingFrame &&
        way.versions[way.level] === this.#crossingVersion;
      if (isLast && out !== undefined) {
        // Children under several bytes share a crossing. That the frames are as they were is still to be validated.
        if (!this.#enter(this.#below, this.#belowVersion, byte)) return NOTHING;
        continue;
      }
      const blobId = frame.u32[(child + X_BLOB_ID) >> 2]!;
      const below = cache.find(blobId);
      if (below < 0) {
        // What was gathered counts, since the blob may turn out to be unreadable.
        if (!this.#settle(out)) return CHANGED;
        if (way.level + 1 > cache.longestPath) throw tooDeep(this.#state);
        this.#missing.isBelow(index, way.versions[way.level]!, blobId);
        return CHANGED;
      }
      const version = cache.version(below);
      if ((version & 1) !== 0 || !cache.holds(below, blobId)) return CHANGED;
      if (!this.#settle(out)) return CHANGED;
      cache.touch(below);
      this.#crossing = child;
      this.#crossingFrame = index;
      this.#crossingVersion = way.versions[way.level]!;
      this.#below = below;
      this.#belowVersion = version;
      if (!this.#enter(below, version, byte)) return NOTHING;
    }
  }

  /** Goes to the frame of a blob, and to its root node's child for `byte`; false: there is none. */
  #enter(index: number, version: number, byte: number): boolean {
    this.#way.pushFrame(index, version);
    const frame = this.#state.cache.frame(index);
    const slot = findChild(frame, frame.root << 3, byte);
    if (slot === 0) return false;
    this.#child = frame.u16[slot >> 1]! << 3;
    return true;
  }

  /** If nothing on the way has changed, what was gathered counts. */
  #settle(out: RangeEntry[] | undefined): boolean {
    if (!this.#way.isValid()) return false;
    if (out !== undefined) this.#sure = out.length;
    return true;
  }
}
