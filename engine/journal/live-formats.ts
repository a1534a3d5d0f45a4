/** Whether this program knows the formats of a store that another process has open: told without its lock. */

import { diskError, hasErrno, readFully } from '../disk/io.js';
import { NodeDisk } from '../disk/node-disk.js';
import { readLiveManifest } from '../store/file/live-pin.js';
import { decodeSegmentHeader, JOURNAL_FORMAT_VERSION, SEGMENT_HEADER_BYTES } from './records/format.js';
import { readRun } from './run/run-file.js';
import { listSegments, unknownVersion } from './segments/segment-file.js';

/**
 * What is damaged, or changes while it is read, is told by whoever opens the store.
 * @throws ERR_FORMAT_VERSION where this program could not open it, ERR_MANIFEST_CORRUPT, ERR_IO
 */
export function examineFormats(directory: string): void {
  const disk = new NodeDisk();
  const { uuid } = readLiveManifest(disk, directory);
  readRun(disk, directory, uuid);
  for (const { path } of listSegments(disk, directory)) {
    let fd = -1;
    try {
      fd = disk.open(path, { write: false });
      const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
      const length = readFully(disk, fd, bytes, 0, bytes.length, 0);
      const header = decodeSegmentHeader(bytes.subarray(0, length), uuid);
      if (header !== undefined && header.version !== JOURNAL_FORMAT_VERSION)
        throw unknownVersion(path, header.version);
    } catch (error) {
      // A checkpoint has done with it.
      if (hasErrno(error, 'ENOENT')) continue;
      throw diskError(`read ${path}`, error);
    } finally {
      if (fd >= 0) disk.close(fd);
    }
  }
}
