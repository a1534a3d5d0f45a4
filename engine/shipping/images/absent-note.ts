/**
 * Which images a store that was taken over may lack, and where the remote has them: a copy of the manifest that it was made of, in a file
 * beside the store. It is there until all are. Its bytes are told in FORMAT.md.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { decodeManifest } from '../../remote/objects/manifest.js';
import { type Catalog, catalogOf } from '../checkpoints/catalog.js';

const NAME = 'remote-images';

export function noteAbsent(directory: string, { name, bytes }: { name: string; bytes: Uint8Array }): void {
  const head = Buffer.from(`${name}\n`, 'latin1');
  writeFileSync(`${directory}/${NAME}`, Buffer.concat([head, bytes]), { mode: 0o600, flush: true });
}

/** Whether images may be missing in the store: not all that its manifest tells of can be read without the remote. */
export function mayLackImages(directory: string): boolean {
  return existsSync(`${directory}/${NAME}`);
}

/** Undefined where none can be missing. @throws ERR_REMOTE_CORRUPT, ERR_FORMAT_VERSION */
export function readAbsent(directory: string): Catalog | undefined {
  if (!mayLackImages(directory)) return undefined;
  const file = readFileSync(`${directory}/${NAME}`);
  const end = file.indexOf('\n');
  const name = file.toString('latin1', 0, Math.max(0, end));
  return catalogOf(name, decodeManifest(name, file.subarray(end + 1)));
}

/** All are there, durably. */
export function forgetAbsent(directory: string): void {
  rmSync(`${directory}/${NAME}`, { force: true });
}
