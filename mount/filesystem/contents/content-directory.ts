/**
 * The directory of the contents, before anything in it is opened. Content files are opened by name and without
 * following a link at the end of the name; that no link is on the way is made sure of here, once: afterwards nobody but
 * the daemon's user can make one, because the store is private.
 */
import { type Dirent, existsSync, lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { SpinneyError } from '../../../engine/errors.js';
import { SPARES_DIRECTORY } from './spare-files.js';

/**
 * Makes the directory where it is missing, unless it is only read. Throws ERR_UNSAFE where it, or a directory in it, is
 * a link, or where it is another user's and would be written to.
 */
export function prepareContentDirectory(directory: string, readOnly: boolean): void {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  if (found === undefined) {
    if (!readOnly) mkdirSync(directory, { recursive: true, mode: 0o700 });
    return;
  }
  if (found.isSymbolicLink()) throw unsafe(directory, 'it is a symbolic link');
  if (!found.isDirectory()) throw unsafe(directory, 'it is not a directory');
  if (!readOnly && found.uid !== process.geteuid?.()) {
    throw unsafe(directory, `it belongs to uid ${found.uid}, not to uid ${process.geteuid?.()}`);
  }
  for (const entry of entriesOf(directory)) {
    refuseLink(entry);
    if (entry.name !== SPARES_DIRECTORY || !entry.isDirectory()) continue;
    for (const spare of entriesOf(`${directory}/${SPARES_DIRECTORY}`)) refuseLink(spare);
  }
}

/** None where the directory is missing. */
export function entriesOf(directory: string): Dirent[] {
  return existsSync(directory) ? readdirSync(directory, { withFileTypes: true }) : [];
}

function refuseLink(entry: Dirent): void {
  if (entry.isSymbolicLink()) throw unsafe(`${entry.parentPath}/${entry.name}`, 'it is a symbolic link');
}

function unsafe(path: string, problem: string): SpinneyError {
  return new SpinneyError('ERR_UNSAFE', `Cannot use the contents in ${path}: ${problem}`);
}
