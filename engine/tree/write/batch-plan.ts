/**
 * Makes sure, before a batch changes anything, of all that it will need: that the frames it changes are resident,
 * pinned and changeable, and that its splits will find frames. REQUIRES the tree lock.
 */
import { END_FOUND } from '../../art/descent.js';
import { leafBytes } from '../../art/layout.js';
import { LEAST_BELOW_BYTES } from '../../art/split-plan.js';
import { SpinneyError } from '../../errors.js';
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../../limits.js';
import { startsWith } from '../state/bound.js';
import { NEED_FRAMES, type TreeState } from '../state/state.js';
import type { Change, Graft } from './changes.js';
import type { Grafting } from './grafting.js';
import { type Mutation, sizeOf } from './mutation.js';
import type { Splitting } from './splitting.js';

/** Frames of the cache's dirty share that a batch leaves for splits. */
const SPARE_TARGETS = 3;
/** An inner node that grows takes its new block before it gives back the old one, and is so much larger then. */
const NODE_BYTES = 1024;
const NODE_GROWTH_BYTES = 320;
/** Splitting makes so much room in a frame, whatever is in it: enough for the largest put. */
const MOST_ROOM_BYTES = 2 * MAX_KEY_BYTES + MAX_VALUE_BYTES + 2 * NODE_BYTES;

/** What a batch adds to one frame, and a key by which the way leads there. */
interface Target {
  key: Uint8Array;
  /** Blobs on that way. */
  depth: number;
  bytes: number;
  puts: number;
  /** Keys that it loses, if the batch has no grafts. */
  removals: number;
}

export class BatchPlan {
  readonly #state: TreeState;
  readonly #mutation: Mutation;
  readonly #splitting: Splitting;
  readonly #grafting: Grafting;
  readonly #targets = new Map<number, Target>();

  constructor(state: TreeState, mutation: Mutation, splitting: Splitting, grafting: Grafting) {
    this.#state = state;
    this.#mutation = mutation;
    this.#splitting = splitting;
    this.#grafting = grafting;
  }

  /**
   * Throws a Need where something must be waited for, ERR_BATCH_TOO_LARGE where the cache is too small for the batch.
   * `maySplit`: full targets may be split beforehand, which can need more frames than the cache has beside the targets.
   */
  prepare(changes: readonly Change[], maySplit: boolean): void {
    const { cache } = this.#state;
    const mutation = this.#mutation;
    for (;;) {
      const framesForGrafts = this.#pinTargets(changes);
      this.#prepareTargets();
      const cramped = this.#findCramped(framesForGrafts, maySplit);
      if (cramped === undefined) return;
      // Changes no contents.
      cache.unpinAll();
      mutation.descend(cramped.key);
      mutation.prepare(mutation.target);
      this.#splitting.makeRoom(mutation.levels - 1, cramped.bytes);
      cache.unpinAll();
    }
  }

  /** Notes what each frame will take in; returns the frames that grafts need beside those. */
  #pinTargets(changes: readonly Change[]): number {
    const mutation = this.#mutation;
    const grafts: Graft[] = [];
    const graftTargets: { graft: Graft; targets: Target[] }[] = [];
    // What the batch has brought so far, under the names of this point of it: a graft may take it along.
    const brought: { key: Uint8Array; bytes: number }[] = [];
    const hasGrafts = changes.some((change) => 'source' in change);
    let frames = 0;
    this.#targets.clear();
    for (const change of changes) {
      const isGraft = 'source' in change;
      const key = nameBefore(isGraft ? change.destination : change.key, grafts);
      mutation.descend(key);
      for (let level = 0; level < mutation.levels; level++) mutation.handOver(mutation.path[level] as number);
      const target = this.#target(mutation.target, key, mutation.levels);
      if (isGraft) {
        const { source, destination } = change;
        let added = 0;
        for (const piece of brought) {
          if (!startsWith(piece.key, source)) continue;
          added += piece.bytes + NODE_BYTES;
          piece.key = Buffer.concat([destination, piece.key.subarray(source.length)]);
        }
        const from = nameBefore(source, grafts);
        const needs = this.#grafting.prepare(from, destination, added);
        grafts.push(change);
        if (needs.index < 0 && added === 0) continue;
        const targets = [target];
        if (needs.index >= 0) targets.push(this.#target(needs.index, from, needs.depth));
        graftTargets.push({ graft: change, targets });
        brought.push({ key: destination, bytes: needs.moved });
        frames += needs.frames;
        take(target, needs.bytes);
      } else if (change.value === undefined) {
        if (!hasGrafts && mutation.at.end === END_FOUND) target.removals++;
      } else {
        if (!hasGrafts) {
          this.#takePut(target, change.key, change.value);
          continue;
        }
        const bytes = sizeOf(change.key, change.value);
        brought.push({ key: change.key, bytes });
        take(target, bytes);
        // What is put below either name of a graft may come to stand in the frames that the graft changes.
        for (const { graft, targets } of graftTargets) {
          if (!startsWith(change.key, graft.destination) && !startsWith(change.key, graft.source)) continue;
          for (const other of targets) if (other !== target) take(other, bytes);
        }
      }
    }
    return frames;
  }

  /** What stands where the descent ended is what the put will find: without grafts each key is changed once. */
  #takePut(target: Target, key: Uint8Array, value: Uint8Array): void {
    const { end, frame, node } = this.#mutation.at;
    if (end !== END_FOUND) {
      take(target, sizeOf(key, value));
      return;
    }
    const keyLength = frame.leafKeyLength(node);
    const bytes = leafBytes(keyLength, value.length);
    if (bytes <= leafBytes(keyLength, frame.leafValueLength(node))) return;
    take(target, bytes);
  }

  #target(index: number, key: Uint8Array, depth: number): Target {
    const known = this.#targets.get(index);
    if (known !== undefined) return known;
    if (this.#targets.size >= this.#state.cache.heldLimit - SPARE_TARGETS) throw batchTooWide(this.#state);
    const target = { key, depth, bytes: 0, puts: 0, removals: 0 };
    this.#targets.set(index, target);
    return target;
  }

  /** Makes the targets ones that may be changed. What becomes empty leaves the tree, which changes what is above it. */
  #prepareTargets(): void {
    const { cache } = this.#state;
    const mutation = this.#mutation;
    let slots = 0;
    let above = 0;
    for (const [index, target] of this.#targets) {
      if (this.#becomesEmpty(index, target)) above = cache.pinned - this.#targets.size;
      else if (!mutation.isDirty(index)) slots++;
    }
    if (slots + above > 0) mutation.needSlots(slots + above, 0);
    for (const index of this.#targets.keys()) mutation.prepareGiven(index);
  }

  #becomesEmpty(index: number, { puts, removals }: Target): boolean {
    const frame = this.#state.cache.frame(index);
    return removals > 0 && puts === 0 && removals === frame.leaves && frame.crossings === 0;
  }

  /**
   * Sees that splits will find frames and returns undefined; or returns a target that is to be split beforehand, if that
   * may be, since it can be done with an eye to neighbours then, which keeps blobs fuller.
   */
  #findCramped(framesForGrafts: number, maySplit: boolean): { key: Uint8Array; bytes: number } | undefined {
    const { cache } = this.#state;
    let frames = framesForGrafts;
    for (const [index, { key, depth, bytes, puts }] of this.#targets) {
      const needed = bytes + puts * NODE_BYTES;
      if (puts === 0 || this.#splitting.hasRoom(index, needed)) continue;
      if (needed <= MOST_ROOM_BYTES && maySplit) return { key, bytes: needed };
      // It may split once, and once more for each part of a blob that is added.
      const parts = 1 + Math.ceil((bytes + puts * NODE_GROWTH_BYTES) / LEAST_BELOW_BYTES);
      frames += parts;
      if (depth - 1 + cache.frame(index).height + parts > cache.longestPath) throw batchTooWide(this.#state);
    }
    if (frames === 0) return undefined;
    // Each blob above them may have to split with them.
    const wanted = frames + cache.pinned - this.#targets.size + 2;
    if (cache.pinned + wanted > cache.count) throw batchTooWide(this.#state);
    if (cache.available(wanted) < wanted) throw NEED_FRAMES;
    this.#mutation.needSlots(wanted + cache.pinned - this.#targets.size, wanted);
    return undefined;
  }
}

function take(target: Target, bytes: number): void {
  target.bytes += bytes;
  target.puts++;
}

export function batchTooWide(state: TreeState): SpinneyError {
  return new SpinneyError(
    'ERR_BATCH_TOO_LARGE',
    `Cannot do the batch in ${state.options.place}: it touches more blobs than a cache of ${state.cache.bytes} bytes holds at once`,
  );
}

/** The name that what is now under `key` had before the grafts. */
function nameBefore(key: Uint8Array, grafts: readonly Graft[]): Uint8Array {
  let name = key;
  for (let i = grafts.length - 1; i >= 0; i--) {
    const { source, destination } = grafts[i] as Graft;
    if (startsWith(name, destination)) name = Buffer.concat([source, name.subarray(destination.length)]);
  }
  return name;
}
