/**
 * How many frames may be held, which is dirty or captured: they cannot leave the cache before a checkpoint round has
 * published them. What is held stays below a limit, so that whoever needs a frame finds one. Where the tree has more blobs
 * than that, a round begins early enough, and while it goes on writers make frames dirty in step with what it writes: so
 * they are held up by a blob at a time, not by a whole round.
 */

/** Frames that stay free to leave, at least, and of each so many. */
const LEAST_FREE = 4;
const FREE_SHARE = 16;
/** A tree that has come so near to the limit, as a part of it, is taken for one that is beyond. */
const GROWTH_SHARE = 64;
/** Of what is left when a round is due, the part that may be used until it begins. */
const START_SHARE = 4;
/** Of the frames that may become dirty during a round, the part that is left for its last step, the sync. */
const SYNC_SHARE = 8;

/** Most frames that may be held in a cache of so many. */
export function heldLimitOf(frames: number): number {
  return frames - Math.max(LEAST_FREE, Math.floor(frames / FREE_SHARE));
}

/**
 * With so many dirty frames a round should begin in a tree of so many blobs; Infinity: a tree that fits needs none for the
 * sake of frames.
 *
 * A round writes a blob once however often it changed: the later it begins the less a change costs. But what becomes dirty
 * while it goes on has to find frames beside those that it has captured. Of as many blobs as the round writes, d of b, changed
 * at random, d * (b - d) / b are not among those; which is all that is left of the limit for
 * d = b - sqrt(b * (b - limit)): all of the limit for a tree that just fits, and half of it for one that is much larger.
 */
export function roundDueAt(limit: number, blobs: number): number {
  const soon = blobs + Math.max(1, Math.floor(limit / GROWTH_SHARE));
  if (soon <= limit) return Number.POSITIVE_INFINITY;
  return Math.max(1, Math.floor(soon - Math.sqrt(soon * (soon - limit))));
}

/** Most frames that may be dirty while no round goes on, where one begins as soon as it is due: a few until it does. */
export function mayBeDirtyBetween(limit: number, due: number): number {
  return due === Number.POSITIVE_INFINITY ? due : due + Math.floor((limit - due) / START_SHARE);
}

/**
 * Most frames that may be dirty once a round that captured so many frames has written some of them: as many as make the
 * next round due by the time that this one is at its end.
 */
export function mayBeDirtyInRound(due: number, captured: number, written: number): number {
  if (due === Number.POSITIVE_INFINITY) return due;
  const paced = due - due / SYNC_SHARE;
  return Math.ceil((paced * (written + 1)) / (captured + 1));
}
