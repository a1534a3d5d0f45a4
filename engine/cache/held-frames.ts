/**
 * How many frames may be held, which is dirty or captured: they cannot leave the cache before a checkpoint round has
 * published them. What is held stays below a limit, so that whoever needs a frame finds one; and a round begins before that
 * is reached, and lets writers make frames dirty in step with what it writes. So nobody waits for a whole round.
 */

/** Frames that stay free to leave, at least and of each so many. */
const LEAST_FREE = 4;
const FREE_SHARE = 16;
/** Of the frames that writers may make dirty during a round, the part that is kept for its last step, the sync. */
const SYNC_SHARE = 8;
/** A tree that just fits begins a round with this part of the limit left, since it may grow. */
const GROWTH_SHARE = 64;

/** Most frames that may be held in a cache of so many. */
export function heldLimitOf(frames: number): number {
  return frames - Math.max(LEAST_FREE, Math.floor(frames / FREE_SHARE));
}

/**
 * With so many dirty frames a round should begin in a tree of so many blobs. Each blob is written once in a round, however
 * often it changed: the later it begins the less each change costs. But during the round writers want frames for blobs that
 * are not held yet, and there are never more of those than blobs beyond the limit: room for so many is left, up to a half.
 * In a tree that fits no writer waits for a frame, and no round begins for their sake.
 */
export function roundDueAt(limit: number, blobs: number): number {
  const growth = Math.max(1, Math.floor(limit / GROWTH_SHARE));
  return limit - Math.max(growth, Math.min(blobs - limit, Math.floor(limit / 2)));
}

/** Most frames that may be held during a round that has written so many of those that it captured. */
export function mayHoldInRound(limit: number, captured: number, written: number): number {
  const room = limit - captured;
  const paced = room - Math.floor(room / SYNC_SHARE);
  return captured + Math.ceil((paced * (written + 1)) / (captured + 1));
}
