import type { Disk } from '../../disk/disk.js';
import { SpinneyError } from '../../errors.js';
import { errorText, listSegments } from '../segments/segment-file.js';
import { FILE, type JournalShared } from '../shared.js';
import type { SegmentWriter } from './segment-writer.js';

/**
 * Under SYNC_LOCK: removes the segments whose records are all at or below `lsn`, oldest first, each durably before the next.
 * Never the current one. @throws ERR_IO
 */
export function removeCoveredSegments(
  disk: Disk,
  directory: string,
  lsn: number,
  shared: JournalShared,
  writer: SegmentWriter,
): void {
  try {
    const segments = listSegments(disk, directory);
    for (let index = 0; index < segments.length; index++) {
      const next = segments[index + 1];
      const isCurrent = next === undefined && Atomics.load(shared.words, FILE) >= 0;
      const last = next === undefined ? shared.writtenLsn : next.firstLsn - 1;
      if (isCurrent || last > lsn) return;
      writer.discard(segments[index]!.path);
    }
  } catch (error) {
    throw new SpinneyError('ERR_IO', `Cannot remove journal segments: ${directory}: ${errorText(error)}`, {
      cause: error,
    });
  }
}
