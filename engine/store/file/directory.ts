/** What a directory holds before it is opened as a store. */
import { dirname } from 'node:path';
import type { Disk } from '../../disk/disk.js';
import { diskError } from '../../disk/io.js';
import { SpinneyError } from '../../errors.js';
import { DATA_FILE, LOCK_FILE, LOG_FILE, MANIFEST_FILE, SPARE_FILE } from './names.js';

/** Whether there is a store, whole or damaged. An empty data file alone is what an interrupted creation leaves. */
export function holdsStore(disk: Disk, dir: string): boolean {
  try {
    return disk.exists(`${dir}/${MANIFEST_FILE}`) || dataBytes(disk, dir) > 0;
  } catch (error) {
    throw diskError(`look for a store in ${dir}`, error);
  }
}

/**
 * Makes the directory of a store to be, or checks that creating a store in it overwrites nothing. A creation
 * makes the data file durable before any other, so one that was interrupted has it, and may be resumed.
 * @throws ERR_EXISTS, ERR_NO_SPACE, ERR_IO
 */
export function prepareDirectory(disk: Disk, dir: string): void {
  try {
    disk.mkdir(dir);
    const names = new Set(disk.list(dir));
    if (names.has(MANIFEST_FILE)) return;
    disk.syncDirectory(dirname(dir));
    if (names.has(DATA_FILE)) return;
    const foreign = [LOG_FILE, SPARE_FILE, LOCK_FILE].find((name) => names.has(name));
    if (foreign === undefined) return;
    throw new SpinneyError(
      'ERR_EXISTS',
      `Cannot create a store in ${dir}: it has a file ${foreign} but no store`,
    );
  } catch (error) {
    throw diskError(`create a store in ${dir}`, error);
  }
}

function dataBytes(disk: Disk, dir: string): number {
  const path = `${dir}/${DATA_FILE}`;
  if (!disk.exists(path)) return 0;
  const fd = disk.open(path, { write: false });
  try {
    return disk.size(fd);
  } finally {
    disk.close(fd);
  }
}
