/**
 * Who may make a frame dirty. A dirty frame must be written to a slot of its own before its checkpoint counts (shadow
 * writes), so without that slot the tree would be caught: no checkpoint, so no end of the journal, so in the end not even
 * a removal. Therefore a frame becomes dirty only where a slot with disk space stands ready for it.
 *
 * Invariant: ready slots >= dirty frames + captured frames not written yet + free slots, and free slots >= LEAST_FREE but
 * inside a step. So every round finds its slots, whatever the disk has left; and having succeeded it gets back the slots
 * of the images that it superseded: only new blobs use slots up. Whoever adds to the tree must leave `keptFree` slots; what
 * removes or changes in place may use them, and a round gives them back. A small tree keeps as many as it has blobs, so
 * that every blob can change; a large one as many as let removals go on between rounds.
 *
 * A round that fails leaves images in slots that come back one by one as the next round writes them again, before each
 * of which it takes one more: that is what LEAST_FREE is for.
 */
import { REMOVAL_SLOTS } from '../../limits.js';

/** Free slots that nothing but a round may use. */
export const LEAST_FREE = 1;

/** Free slots that stay where something is added to a tree of so many blobs. */
export function keptFree(blobs: number): number {
  return Math.min(blobs, REMOVAL_SLOTS) + 3;
}
