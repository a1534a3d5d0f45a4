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
import type { Change, Graft, NetChange } from './changes.js';
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
  readonly frame: number;
  readonly key: Uint8Array;
  /** Blobs on that way. */
  readonly depth: number;
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
  /** In the order in which the batch comes to them: they are gone through more often than looked up. */
  #targets: Target[] = [];
  readonly #targetOf = new Map<number, Target>();

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
    this.#targets = [];
    this.#targetOf.clear();
    for (const change of changes) if ('source' in change) return this.#pinWithGrafts(changes);
    for (const { key, value } of changes as readonly NetChange[]) {
      const target = this.#pinTarget(key);
      if (value !== undefined) this.#takePut(target, key, value);
      else if (this.#mutation.at.end === END_FOUND) target.removals++;
    }
    return 0;
  }

  /** As `#pinTargets`, of a batch with grafts. */
  #pinWithGrafts(changes: readonly Change[]): number {
    const grafts: Graft[] = [];
    const graftTargets: { graft: Graft; targets: Target[] }[] = [];
    // What the batch has brought so far, under the names of this point of it: a graft may take it along.
    const brought: { key: Uint8Array; bytes: number }[] = [];
    let frames = 0;
    for (const change of changes) {
      const isGraft = 'source' in change;
      const key = nameBefore(isGraft ? change.destination : change.key, grafts);
      const target = this.#pinTarget(key);
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
      } else if (change.value !== undefined) {
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

  /** The frame where the way to the key ends. Those on the way stay as they are for who needs them so. */
  #pinTarget(key: Uint8Array): Target {
    const mutation = this.#mutation;
    mutation.descend(key);
    for (let level = 0; level < mutation.levels; level++) mutation.handOver(mutation.path[level] as number);
    return this.#target(mutation.target, key, mutation.levels);
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
    const last = this.#targets.at(-1);
    if (last?.frame === index) return last;
    const known = this.#targetOf.get(index);
    if (known !== undefined) return known;
    if (this.#targets.length >= this.#state.cache.heldLimit - SPARE_TARGETS) throw batchTooWide(this.#state);
    const target = { frame: index, key, depth, bytes: 0, puts: 0, removals: 0 };
    this.#targets.push(target);
    this.#targetOf.set(index, target);
    return target;
  }

  /** Makes the targets ones that may be changed. What becomes empty leaves the tree, which changes what is above it. */
  #prepareTargets(): void {
    const { cache } = this.#state;
    const mutation = this.#mutation;
    let slots = 0;
    let above = 0;
    for (const target of this.#targets) {
      if (this.#becomesEmpty(target)) above = cache.pinned - this.#targets.length;
      else if (!mutation.isDirty(target.frame)) slots++;
    }
    if (slots + above > 0) mutation.needSlots(slots + above, 0);
    for (const { frame } of this.#targets) mutation.prepareGiven(frame);
  }

  #becomesEmpty({ frame, puts, removals }: Target): boolean {
    if (removals === 0 || puts > 0) return false;
    const { leaves, crossings } = this.#state.cache.frame(frame);
    return removals === leaves && crossings === 0;
  }

  /**
   * Sees that splits will find frames and returns undefined; or returns a target that is to be split beforehand, if that
   * may be, since it can be done with an eye to neighbours then, which keeps blobs fuller.
   */
  #findCramped(framesForGrafts: number, maySplit: boolean): { key: Uint8Array; bytes: number } | undefined {
    const { cache } = this.#state;
    let frames = framesForGrafts;
    for (const { frame, key, depth, bytes, puts } of this.#targets) {
      const needed = bytes + puts * NODE_BYTES;
      if (puts === 0 || this.#splitting.hasRoom(frame, needed)) continue;
      if (needed <= MOST_ROOM_BYTES && maySplit) return { key, bytes: needed };
      // It may split once, and once more for each part of a blob that is added.
      const parts = 1 + Math.ceil((bytes + puts * NODE_GROWTH_BYTES) / LEAST_BELOW_BYTES);
      frames += parts;
      if (depth - 1 + cache.frame(frame).height + parts > cache.longestPath) throw batchTooWide(this.#state);
    }
    if (frames === 0) return undefined;
    // Each blob above them may have to split with them.
    const wanted = frames + cache.pinned - this.#targets.length + 2;
    if (cache.pinned + wanted > cache.count) throw batchTooWide(this.#state);
    if (cache.available(wanted) < wanted) throw NEED_FRAMES;
    this.#mutation.needSlots(wanted + cache.pinned - this.#targets.length, wanted);
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
