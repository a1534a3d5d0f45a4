/**
 * How the last run of a store ended, and how far the journal must reach because of that: what is missing before there is
 * damage, and not the end of the log.
 */
import type { PreviousEnd } from '../../api.js';
import { isSameMount } from '../../disk/identity.js';
import { diskError } from '../../disk/io.js';
import { ringPath } from '../ring/ring-file.js';
import type { RingContent, Store } from '../ring/ring-recovery.js';
import { corrupt, listSegments, segmentPath } from '../segments/segment-file.js';
import { type RunRecord, readRun, runPath } from './run-file.js';

export interface LastRun {
  end: PreviousEnd;
  /** What it left of itself; undefined for a new store and one of version 0.1.0. */
  record: RunRecord | undefined;
  /** Every record up to this LSN must be there, for the reason told. */
  mustReach: { lsn: number; why: string };
  /** Whether the directory is not the one that the run was in. */
  isCopy: boolean;
}

export interface FilePlace {
  path: string;
  offset: number;
}

/**
 * @param hasRun whether the manifest says that there is a record of the last run
 * @throws ERR_JOURNAL_CORRUPT, ERR_FORMAT_VERSION, ERR_IO naming the file
 */
export function findLastRun(store: Store, markLsn: number, hasRun: boolean): LastRun {
  const { disk, directory, uuid } = store;
  const path = runPath(directory);
  const found = readRun(disk, directory, uuid);
  // The manifest tells of the first record once that is durable: before, a power cut may have torn it.
  const record = typeof found === 'string' && !hasRun ? undefined : found;
  if (typeof record === 'string') throw corrupt(path, 0, record);
  try {
    if (record !== undefined) return judge(store, record);
    if (hasRun) {
      const what = disk.exists(path) ? 'the file is empty' : 'the file is missing';
      throw corrupt(path, 0, `${what}, and nothing else tells how far the journal reached`);
    }
    const mustReach = { lsn: markLsn, why: '' };
    return { end: endWithout(store, markLsn), record, mustReach, isCopy: false };
  } catch (error) {
    throw diskError(`find out how the last use of ${directory} ended`, error);
  }
}

/** Version 0.1.0 left no record, but a ring where it did not close. */
function endWithout({ disk, directory }: Store, markLsn: number): PreviousEnd {
  if (disk.exists(ringPath(directory))) return 'power-cut';
  return markLsn === 0 && listSegments(disk, directory).length === 0 ? 'none' : 'closed';
}

function judge({ disk, directory }: Store, record: RunRecord): LastRun {
  const { state, identity, endBefore, appendedLsn, openedLsn, durableLsn } = record;
  const here = disk.identify(directory);
  const isCopy = here.inode !== identity.inode || here.device !== identity.device;
  if (state === 'closed') {
    const why = `the store was closed with record ${appendedLsn}`;
    return { end: 'closed', record, mustReach: { lsn: appendedLsn, why }, isCopy };
  }
  if (!isSameMount(identity, here)) {
    const why = `everything up to record ${durableLsn} was durable`;
    return { end: 'power-cut', record, mustReach: { lsn: durableLsn, why }, isCopy };
  }
  // Whoever is to set right what a power cut left has written nothing yet.
  const end = endBefore === 'power-cut' && appendedLsn === openedLsn ? 'power-cut' : 'killed';
  const why = `the process had appended up to record ${appendedLsn}, and that it was killed took nothing away`;
  return { end, record, mustReach: { lsn: appendedLsn, why }, isCopy };
}

/**
 * Refuses a journal that ends before it must.
 * @param found the last record there is, where the segments end, and the ring
 * @throws ERR_JOURNAL_CORRUPT naming the file and the offset
 */
export function assertReaches(
  { disk, directory }: Store,
  { record, mustReach, isCopy }: LastRun,
  found: { lastLsn: number; segmentsEnd: FilePlace | undefined; ring: RingContent | undefined },
): void {
  const { lastLsn, segmentsEnd, ring } = found;
  if (record === undefined) return;
  if (record.state === 'open' && ring === undefined) {
    throw corrupt(ringPath(directory), 0, 'the file is missing, though the store was not closed');
  }
  if (lastLsn >= mustReach.lsn) return;
  const missing = lastLsn + 1;
  let place = segmentsEnd ?? { path: segmentPath(directory, missing), offset: 0 };
  const segment = segmentPath(directory, record.segmentLsn);
  if (record.segmentLsn > 0 && missing >= record.segmentLsn && !disk.exists(segment))
    place = { path: segment, offset: 0 };
  else if (ring !== undefined && missing >= ring.headLsn)
    place = { path: ringPath(directory), offset: ring.end };
  const advice = isCopy ? '; if this directory was copied while the store was in use, copy it again' : '';
  throw corrupt(
    place.path,
    place.offset,
    `record ${missing} is damaged or missing, but ${mustReach.why}${advice}`,
  );
}
