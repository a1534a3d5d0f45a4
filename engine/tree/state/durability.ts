/** The durability level of an open tree, which all its threads share. */
import type { Durability } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import type { TreeState } from './state.js';

const DURABILITIES: readonly Durability[] = ['buffered', 'written', 'synced'];

/** Checked. @throws ERR_INVALID_ARGUMENT */
export function durabilityOf(level: Durability): Durability {
  if (DURABILITIES.includes(level)) return level;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot use a tree with durability ${JSON.stringify(level)}: it is ${DURABILITIES.join(' or ')}`,
  );
}

/** See `TreeOperations.setDurability`. */
export function setDurability(state: TreeState, level: Durability): void {
  const { journal, options, place } = state;
  durabilityOf(level);
  state.checkOpen();
  if (options.readOnly) state.checkWritable();
  if (journal !== undefined) journal.setDurability(level);
  else
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot change the durability of ${place}: it has no journal`,
    );
}
