/** What may be wrong with an open tree, for whoever watches over it: no lock is taken and nothing waits, so it can be asked at any time. */

import { F_JOURNAL_AT_CHECKPOINT } from '../shared/control.js';
import type { TreeConditions } from '../tree-stats.js';
import { poisoned, type TreeState } from './state/state.js';
import { checkpointStats, failureOf, spaceStats, unreadableBlobs } from './stats.js';

export function treeConditions(state: TreeState): TreeConditions {
  const { control, journal } = state;
  const checkpointed = control.floats[F_JOURNAL_AT_CHECKPOINT] as number;
  return {
    poisoned: state.treeLock.abandoned ? poisoned(state.place).message : undefined,
    failure: failureOf(state),
    unreadableBlobs: unreadableBlobs(state),
    space: spaceStats(state),
    checkpoint: checkpointStats(state),
    uncheckpointedBytes: Math.max(0, (journal?.counters().bytes ?? 0) - checkpointed),
    lastLsn: journal?.publishedLsn() ?? state.lsn(),
    durableLsn: journal?.durableLsn() ?? state.lsn(),
  };
}
