/**
 * Making room in a full frame: by rewriting it without gaps where that gains enough, else by dividing what is in it; see
 * art/split.ts for how. Tried in this order: a share goes to the emptiest blob that the same node leads to (as B*-trees
 * do), to the parent, to a new blob beside, and only where none of that can be to one below. Before that makes the tree
 * taller, shares of many nodes go down to blobs that are there. REQUIRES the tree lock, as everything about mutations.
 */
import type { Frame } from '../../art/frame.js';
import { DATA_BYTES } from '../../art/layout.js';
import {
  crossingBlobId,
  crossingsByNode,
  eachChildCrossing,
  exactHeight,
  writeCrossingHeight,
} from '../../art/rewrite.js';
import {
  type Above,
  lift,
  moveBelow,
  moveBeside,
  moveUp,
  type Neighbour,
  roomBeside,
} from '../../art/split.js';
import {
  planLeaves,
  planRun,
  planSplit,
  ROOT_GROWTH_BYTES,
  roomToLift,
  type SplitPlan,
} from '../../art/split-plan.js';
import { UnreadableBlobError } from '../../errors.js';
import { type TreeState, tooDeep } from '../state/state.js';
import type { Mutation } from './mutation.js';

/** A full frame is rewritten in place, not split, when that frees at least this much of it. */
const WORTH_REPACKING = Math.floor(DATA_BYTES * 0.05);

/** Room that neighbours have after they shared. */
const SHARED_ROOM = Math.floor(DATA_BYTES * 0.12);

/** A run goes to the parent only where that node leads to so few blobs, and has no more of its children itself. */
const MOST_NEIGHBOURS = 3;
const MOST_ABOVE = Math.floor(DATA_BYTES * 0.35);
/**
 * Full parents are what makes a tree of blobs tall: the root blob, where all that is new to the nodes in it begins, keeps more
 * room and is not divided for it; and to none in a tree of this height more go, once there are so many blobs that the fill
 * of each matters less.
 */
const FULL_ROOT = Math.floor(DATA_BYTES * 0.6);
const TALL = 4;
const MANY_BLOBS = 256;
/** So much goes there at a time, and not beyond this fill. */
const MOVED_UP = Math.floor(DATA_BYTES * 0.2);
const FULL_PARENT = Math.floor(DATA_BYTES * 0.85);
/** What moves below goes to a blob that is there as long as that stays below this. */
const MOST_BELOW = Math.floor(DATA_BYTES * 0.95);
/** Runs that are handed down at once, and what they must come to. */
const MOST_RUNS = 8;
const LEAST_HANDED_DOWN = Math.floor(DATA_BYTES * 0.05);
/** Frames that may become dirty after that. */
const FRAMES_LEFT = 4;
/** What one operation splits beyond this goes to new blobs, so that it comes to an end whatever moves to and fro. */
const MOST_SHARING_STEPS = 8;
/** A full parent is divided, instead of a blob below it, when that is to the good of so many. */
const LEAST_CROSSINGS = 4;

export class Splitting {
  readonly #state: TreeState;
  readonly #mutation: Mutation;
  /** The LSN at which the last split was, and how many there were at it before. */
  #splitAt = -1;
  #splits = 0;

  constructor(state: TreeState, mutation: Mutation) {
    this.#state = state;
    this.#mutation = mutation;
  }

  /** Whether puts of `bytes` in all fit into the frame without a split, be it rewritten in place. */
  hasRoom(index: number, bytes: number): boolean {
    const frame = this.#state.cache.frame(index);
    return frame.bumpBytes >= bytes || frame.freeBytes >= WORTH_REPACKING + bytes;
  }

  /** Gives the frame at this level of the path, which is prepared, room for `bytes` more. The path is void then. */
  makeRoom(level: number, bytes: number): void {
    const mutation = this.#mutation;
    const index = mutation.path[level] as number;
    const frame = this.#state.cache.frame(index);
    if (frame.freeBytes >= WORTH_REPACKING + bytes) mutation.repack(index, []);
    else this.#split(level, bytes);
    if (!mutation.committed) mutation.endChanges();
  }

  /** Divides the frame at this level of the path, which is prepared, so that it comes nearer to room for `bytes` more. */
  #split(level: number, bytes: number): void {
    const lsn = this.#state.lsn();
    this.#splits = lsn === this.#splitAt ? this.#splits + 1 : 0;
    this.#splitAt = lsn;
    const frame = this.#state.cache.frame(this.#mutation.path[level] as number);
    // A full frame has a plan.
    this.#divide(level, planSplit(frame, this.#mutation.byteAt(level)) as SplitPlan, bytes);
  }

  /** A committed mutation has made sure only of new blobs. */
  get #mayShare(): boolean {
    return !this.#mutation.committed && this.#splits < MOST_SHARING_STEPS;
  }

  #divide(level: number, plan: SplitPlan, bytes: number): void {
    const mutation = this.#mutation;
    const frame = this.#state.cache.frame(mutation.path[level] as number);
    if (level > 0) {
      if (plan.node === frame.root << 3) {
        this.#splitBeside(level, plan, bytes);
        return;
      }
      const room = roomToLift(frame, plan);
      if (room > 0) {
        this.#lift(level, plan, room);
        return;
      }
    }
    this.#splitBelow(level, plan);
  }

  /** Whether the parent of the frame at this level has room; if not, only makes some there. */
  #hasRoomAbove(level: number, bytes: number): boolean {
    const mutation = this.#mutation;
    const parent = mutation.path[level - 1] as number;
    mutation.prepare(parent);
    if (this.#state.cache.frame(parent).bumpBytes >= bytes) return true;
    this.makeRoom(level - 1, bytes);
    return false;
  }

  #lift(level: number, plan: SplitPlan, room: number): void {
    const mutation = this.#mutation;
    if (!this.#hasRoomAbove(level, room)) return;
    const index = mutation.path[level] as number;
    mutation.change(index);
    mutation.change(mutation.path[level - 1] as number);
    lift(this.#state.cache.frame(index), plan.node, mutation.above(level - 1), this.#state.measure);
    this.#settle(level);
  }

  /**
   * Moves a run away from the root node: to a neighbour that has room, or to the parent if it is one of few, else to a
   * new blob that hangs from the parent.
   */
  #splitBeside(level: number, plan: SplitPlan, bytes: number): void {
    const mutation = this.#mutation;
    const { cache } = this.#state;
    const index = mutation.path[level] as number;
    const frame = cache.frame(index);
    if (!this.#hasRoomAbove(level, roomBeside(frame))) return;
    const above = mutation.above(level - 1);
    const mayShare = this.#mayShare;
    if (mayShare) {
      const shared = this.#shareBeside(frame, above, bytes);
      if (shared !== undefined) {
        mutation.change(index);
        mutation.change(mutation.path[level - 1] as number);
        moveBeside(frame, shared.plan, shared.to, above, this.#state.measure);
        this.#settle(level);
        return;
      }
      if (this.#shareAbove(level, above, bytes)) return;
    }
    const fresh = mutation.newBlobFrame();
    const blobId = mutation.format(fresh);
    mutation.change(index);
    mutation.change(mutation.path[level - 1] as number);
    const to = cache.frame(fresh);
    // What the parent has of the same node goes along.
    const leaves = mayShare ? planLeaves(above.frame, above.node) : undefined;
    const rest = leaves?.bytes ?? 0;
    const run =
      (rest > 0 ? planRun(frame, plan.node, (frame.liveBytes - rest) >> 1, 1, DATA_BYTES >> 1) : undefined) ??
      plan;
    const { measure } = this.#state;
    const crossing = moveBeside(frame, run, { frame: to, crossing: 0 }, above, measure);
    if (leaves !== undefined && to.bumpBytes >= rest + ROOT_GROWTH_BYTES) {
      moveBelow(above.frame, leaves, { frame: to, crossing }, measure);
    }
    mutation.adopt(fresh, blobId);
    this.#settle(level);
  }

  /** Moves a run to the parent. False: that is not the place for it. */
  #shareAbove(level: number, above: Above, bytes: number): boolean {
    const mutation = this.#mutation;
    const { cache } = this.#state;
    const index = mutation.path[level] as number;
    const frame = cache.frame(index);
    const parent = above.frame;
    let neighbours = 0;
    eachChildCrossing(parent, above.node, () => {
      neighbours++;
    });
    const isTall =
      cache.frame(mutation.path[0] as number).height >= TALL && this.#state.blobCount > MANY_BLOBS;
    if (neighbours > MOST_NEIGHBOURS || isTall) return false;
    const there = planLeaves(parent, above.node)?.bytes ?? 0;
    if (there > MOST_ABOVE) return false;
    const least = frame.liveBytes - (DATA_BYTES - SHARED_ROOM - bytes);
    const plan = planRun(frame, frame.root << 3, MOVED_UP, least, 2 * MOVED_UP);
    if (plan === undefined || plan.height > 1) return false;
    if (level === 1 && parent.liveBytes + plan.bytes > FULL_ROOT) return false;
    if (parent.liveBytes + plan.bytes > FULL_PARENT) {
      if (parent.crossings < LEAST_CROSSINGS) return false;
      const division = planSplit(parent, mutation.byteAt(level - 1));
      if (division === undefined) return false;
      // So much that the run has room there then, in whichever part this blob is.
      this.#divide(level - 1, division, plan.bytes + DATA_BYTES - SHARED_ROOM - FULL_PARENT);
      return true;
    }
    if (parent.bumpBytes < plan.bytes) {
      mutation.repack(mutation.path[level - 1] as number, []);
      return true;
    }
    mutation.change(index);
    mutation.change(mutation.path[level - 1] as number);
    moveUp(frame, plan, above, this.#state.measure);
    this.#settle(level);
    return true;
  }

  /** A run of the root node's children, and the neighbour that takes it, so that both have room for `bytes` more. */
  #shareBeside(frame: Frame, above: Above, bytes: number): { plan: SplitPlan; to: Neighbour } | undefined {
    const mutation = this.#mutation;
    const most = DATA_BYTES - SHARED_ROOM - bytes;
    const neighbour = this.#emptiest(above.frame, above.node, above.crossing, most * 2 - frame.liveBytes);
    if (neighbour === undefined) return undefined;
    const { liveBytes } = this.#state.cache.frame(neighbour.index);
    const plan = planRun(
      frame,
      frame.root << 3,
      (frame.liveBytes - liveBytes) >> 1,
      frame.liveBytes - most,
      most - liveBytes - ROOT_GROWTH_BYTES,
    );
    if (plan === undefined) return undefined;
    return { plan, to: mutation.receive(neighbour, plan.bytes) };
  }

  /**
   * Of the blobs that the node leads to, save through the crossing `except`, the one with the least bytes, if it has at
   * most `most`; it is resident and prepared then.
   */
  #emptiest(
    frame: Frame,
    node: number,
    except: number,
    most: number,
  ): { index: number; crossing: number } | undefined {
    const unreadable = new Set<number>();
    for (;;) {
      const found = this.#emptiestBut(unreadable, frame, node, except, most);
      if (found === 0) return undefined;
      try {
        const index = this.#state.resident(crossingBlobId(frame, found));
        this.#state.cache.pin(index);
        this.#mutation.prepare(index);
        return { index, crossing: found };
      } catch (error) {
        // A damaged blob takes nothing in, and keeps nobody from writing to others.
        if (!(error instanceof UnreadableBlobError)) throw error;
        unreadable.add(found);
      }
    }
  }

  /** The crossing to the emptiest blob, of those that are not left out; 0: none. */
  #emptiestBut(
    leftOut: ReadonlySet<number>,
    frame: Frame,
    node: number,
    except: number,
    most: number,
  ): number {
    let least = most + 1;
    let found = 0;
    eachChildCrossing(frame, node, (crossing) => {
      if (crossing === except || leftOut.has(crossing)) return;
      const liveBytes = this.#knownBytes(crossingBlobId(frame, crossing));
      if (liveBytes >= least) return;
      least = liveBytes;
      found = crossing;
    });
    return found;
  }

  /** Live bytes of a blob that may take something in, as far as they are known without reading it. */
  #knownBytes(blobId: number): number {
    const { cache, store } = this.#state;
    const index = cache.find(blobId);
    if (index >= 0) return cache.frame(index).liveBytes;
    return store.blobRow?.(blobId)?.liveBytes ?? DATA_BYTES;
  }

  /**
   * Moves a run to a blob below this one: to one that the node leads to and that has room, else to a new one. Heights above
   * may grow, so those frames change too.
   */
  #splitBelow(level: number, plan: SplitPlan): void {
    const mutation = this.#mutation;
    const { cache, measure } = this.#state;
    const index = mutation.path[level] as number;
    const frame = cache.frame(index);
    const mayShare = this.#mayShare;
    if (mayShare && plan.height >= frame.height && this.#handDown(index)) return;
    const neighbour = mayShare ? this.#emptiest(frame, plan.node, 0, MOST_BELOW - plan.bytes) : undefined;
    const below = neighbour === undefined ? 1 : cache.frame(neighbour.index).height;
    const height = Math.max(below, plan.height) + 1;
    // All frames on the way may have to change with it.
    const isTooDeep = level + 1 >= cache.heldLimit || level + height > cache.longestPath;
    if (!mutation.committed && isTooDeep) throw tooDeep(this.#state);
    for (let at = level, least = height; at >= 0; at--, least++) {
      if (cache.frame(mutation.path[at] as number).height >= least) break;
      mutation.prepare(mutation.path[at] as number);
      if (at > 0) mutation.prepare(mutation.path[at - 1] as number);
    }
    if (neighbour !== undefined) {
      mutation.change(index);
      moveBelow(frame, plan, mutation.receive(neighbour, plan.bytes), measure);
    } else {
      const fresh = mutation.newBlobFrame();
      const blobId = mutation.format(fresh);
      mutation.change(index);
      moveBelow(frame, plan, { frame: cache.frame(fresh), crossing: 0 }, measure);
      mutation.adopt(fresh, blobId);
    }
    for (let at = level, least = height; at >= 0; at--, least++) {
      if (cache.frame(mutation.path[at] as number).height >= least) break;
      mutation.raise(at, least);
    }
    this.#settle(level);
  }

  /**
   * What has come to nodes whose other children are in blobs below goes to these blobs, as far as they have room. Keys under
   * bytes that are new to such a node begin in its frame, and a frame full of them is not worth another level of blobs.
   * False: that would not come to enough.
   */
  #handDown(index: number): boolean {
    const mutation = this.#mutation;
    const { cache, measure } = this.#state;
    const frame = cache.frame(index);
    const plans: SplitPlan[] = [];
    for (const node of crossingsByNode(frame).keys()) {
      const plan = planLeaves(frame, node);
      if (plan !== undefined) plans.push(plan);
    }
    plans.sort((a, b) => b.bytes - a.bytes);
    const most = Math.min(MOST_RUNS, (cache.heldLimit >> 1) - cache.pinned);
    const moves: { plan: SplitPlan; to: { index: number; crossing: number } }[] = [];
    let bytes = 0;
    for (const plan of plans) {
      // What is left is for those that the mutation has still to change.
      if (moves.length >= most || cache.held + FRAMES_LEFT > cache.heldLimit) break;
      const to = this.#emptiest(frame, plan.node, 0, MOST_BELOW - plan.bytes);
      if (to === undefined) continue;
      moves.push({ plan, to });
      bytes += plan.bytes;
    }
    if (bytes < LEAST_HANDED_DOWN) return false;
    mutation.change(index);
    for (const { plan, to } of moves) moveBelow(frame, plan, mutation.receive(to, plan.bytes), measure);
    return true;
  }

  /** Heights above a change that made them less, exactly, as far as frames on the way are dirty already. */
  #settle(level: number): void {
    const mutation = this.#mutation;
    const { cache } = this.#state;
    for (let at = level; at >= 0; at--) {
      const index = mutation.path[at] as number;
      const frame = cache.frame(index);
      const height = exactHeight(frame);
      if (!cache.isReady(index) || height > frame.height) return;
      mutation.change(index);
      frame.height = height;
      if (at === 0) return;
      const parent = mutation.path[at - 1] as number;
      if (!cache.isReady(parent)) return;
      mutation.change(parent);
      writeCrossingHeight(cache.frame(parent), mutation.above(at - 1).crossing, height);
    }
  }
}
