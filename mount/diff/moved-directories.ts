/**
 * Directories that are elsewhere than they were: by their positions, so that what is below one need not be looked at to know that it
 * moved along.
 */
import type { TreeReads } from '../../engine/index.js';
import { concat, equalBytes, SLASH } from '../filesystem/records/keys.js';
import { pathOfDirectory } from '../filesystem/records/positions.js';

export class MovedDirectories {
  /** From the one path to the other, both ways. Paths as latin1 strings. */
  readonly #newPaths = new Map<string, Uint8Array>();
  readonly #oldPaths = new Map<string, Uint8Array>();

  /** The directory with this number has another position than before. */
  add(before: TreeReads, after: TreeReads, ino: number): void {
    const from = pathOfDirectory(before, ino);
    const to = pathOfDirectory(after, ino);
    if (from === undefined || to === undefined || equalBytes(from, to)) return;
    this.#newPaths.set(text(from), to);
    this.#oldPaths.set(text(to), from);
  }

  /** Where something is now if all that happened to it is that directories above it moved; the same path: none did. */
  pathAfter(path: Uint8Array): Uint8Array {
    return along(this.#newPaths, path);
  }

  /** And where it was. */
  pathBefore(path: Uint8Array): Uint8Array {
    return along(this.#oldPaths, path);
  }
}

/** The path, moved along with the nearest directory above it that moved. */
function along(moves: ReadonlyMap<string, Uint8Array>, path: Uint8Array): Uint8Array {
  if (moves.size === 0) return path;
  for (let at = path.lastIndexOf(SLASH); at > 0; at = path.lastIndexOf(SLASH, at - 1)) {
    const other = moves.get(text(path.subarray(0, at)));
    if (other !== undefined) return concat(other, path.subarray(at));
  }
  return path;
}

export function text(path: Uint8Array): string {
  return Buffer.from(path.buffer, path.byteOffset, path.byteLength).toString('latin1');
}
