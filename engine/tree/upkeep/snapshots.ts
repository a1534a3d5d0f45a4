/** Taking and deleting snapshots, in the thread that writes the store: so nobody else changes its pins meanwhile. */
import { SpinneyError } from '../../errors.js';
import { MAX_SNAPSHOTS } from '../../limits.js';
import { isSnapshot, SHIPPING_PIN } from '../../store/blob-store.js';
import { pinNamed, pinsOf } from '../state/pins.js';
import type { TreeState } from '../state/state.js';
import type { Round } from './round.js';

/**
 * Makes a round whose checkpoint is kept under the name.
 * @throws ERR_NO_SNAPSHOTS, ERR_EXISTS, ERR_TOO_MANY_SNAPSHOTS, what made the round fail; then there is none
 */
export function takeSnapshot(state: TreeState, round: Round, name: string, tend?: () => void): void {
  const pins = pinsOf(state).list();
  if (pins.some((pin) => pin.name === name)) {
    throw new SpinneyError(
      'ERR_EXISTS',
      `Cannot take snapshot ${JSON.stringify(name)} of ${state.place}: there is one of this name; delete it first, or choose another`,
    );
  }
  const count = pins.filter(isSnapshot).length;
  if (count >= MAX_SNAPSHOTS && name !== SHIPPING_PIN) {
    throw new SpinneyError(
      'ERR_TOO_MANY_SNAPSHOTS',
      `Cannot take snapshot ${JSON.stringify(name)} of ${state.place}: there are ${count}, the limit is ${MAX_SNAPSHOTS}; delete one first`,
    );
  }
  try {
    round.run(tend, undefined, name);
  } catch (error) {
    // What failed after it was published is told by stats, and tried again by the next round.
    if (
      !pinsOf(state)
        .list()
        .some((pin) => pin.name === name)
    )
      throw error;
  }
}

/** @throws ERR_NO_SNAPSHOTS, ERR_NOT_FOUND, ERR_NO_SPACE, ERR_IO; then it is there still */
export function deleteSnapshot(state: TreeState, round: Round, name: string, tend?: () => void): void {
  round.unpin(pinNamed(state, name, 'delete').id, tend);
}
