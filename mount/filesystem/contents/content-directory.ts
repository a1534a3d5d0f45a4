/**
 * The directory of the contents, before anything in it is opened. Content files are opened by name and without
 * following a link at the end of the name; that no link is on the way is made sure of here, once: afterwards nobody but
 * the daemon's user can make one, because the store is private.
 */
import { SpinneyError } from '../../../engine/errors.js';
import type { ContentDisk, DiskEntry } from './disk/content-disk.js';
import { SPARES_DIRECTORY } from './spares/spare-files.js';

/**
 * Makes the directory where it is missing, unless it is only read. Throws ERR_UNSAFE where it, or a directory in it, is
 * a link, or where it is another user's and would be written to.
 */
export function prepareContentDirectory(disk: ContentDisk, directory: string, readOnly: boolean): void {
  const found = disk.nodeAt(directory);
  if (found === undefined) {
    if (!readOnly) disk.makeDirectory(directory);
    return;
  }
  if (found.kind === 'link') throw unsafe(directory, 'it is a symbolic link');
  if (found.kind !== 'directory') throw unsafe(directory, 'it is not a directory');
  if (!readOnly && found.uid !== process.geteuid?.()) {
    throw unsafe(directory, `it belongs to uid ${found.uid}, not to uid ${process.geteuid?.()}`);
  }
  for (const entry of disk.list(directory)) {
    refuseLink(directory, entry);
    if (entry.name !== SPARES_DIRECTORY || entry.kind !== 'directory') continue;
    const spares = `${directory}/${SPARES_DIRECTORY}`;
    for (const spare of disk.list(spares)) refuseLink(spares, spare);
  }
}

/** None where the directory is missing. */
export function entriesOf(disk: ContentDisk, directory: string): DiskEntry[] {
  return disk.nodeAt(directory) === undefined ? [] : disk.list(directory);
}

function refuseLink(directory: string, { name, kind }: DiskEntry): void {
  if (kind === 'link') throw unsafe(`${directory}/${name}`, 'it is a symbolic link');
}

function unsafe(path: string, problem: string): SpinneyError {
  return new SpinneyError('ERR_UNSAFE', `Cannot use the contents in ${path}: ${problem}`);
}
