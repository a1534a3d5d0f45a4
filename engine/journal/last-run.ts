/** How the last run of a store ended. */
import type { PreviousEnd } from '../api.js';
import { isSameMount } from '../disk/identity.js';
import { diskError } from '../disk/io.js';
import { ringPath } from './ring-file.js';
import type { Store } from './ring-recovery.js';
import { type RunRecord, readRun, runPath } from './run-file.js';
import { corrupt, listSegments } from './segment-file.js';

export interface LastRun {
  end: PreviousEnd;
  /** What it left of itself; undefined for a new store and one of version 0.1.0. */
  record: RunRecord | undefined;
}

/** @throws ERR_JOURNAL_CORRUPT, ERR_FORMAT_VERSION, ERR_IO naming the file */
export function findLastRun(store: Store, markLsn: number): LastRun {
  const { disk, directory, uuid } = store;
  const record = readRun(disk, directory, uuid);
  if (typeof record === 'string') throw corrupt(runPath(directory), 0, record);
  try {
    return { end: record === undefined ? endWithout(store, markLsn) : endOf(store, record), record };
  } catch (error) {
    throw diskError(`find out how the last use of ${directory} ended`, error);
  }
}

/** Version 0.1.0 left no record, but a ring where it did not close. */
function endWithout({ disk, directory }: Store, markLsn: number): PreviousEnd {
  if (disk.exists(ringPath(directory))) return 'power-cut';
  return markLsn === 0 && listSegments(disk, directory).length === 0 ? 'none' : 'closed';
}

function endOf({ disk, directory }: Store, record: RunRecord): PreviousEnd {
  const { state, identity, endBefore, appendedLsn, openedLsn } = record;
  if (state === 'closed') return 'closed';
  if (!isSameMount(identity, disk.identify(directory))) return 'power-cut';
  // Whoever is to set right what a power cut left has written nothing yet.
  return endBefore === 'power-cut' && appendedLsn === openedLsn ? 'power-cut' : 'killed';
}
