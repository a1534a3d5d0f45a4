/** What lies in a remote that nobody needs. It is harmless, and takes room. */
import type { Head } from '../../remote/objects/head.js';
import { readManifest } from '../../remote/objects/manifest.js';
import { parseObjectName } from '../../remote/objects/names.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore, OpenUpload } from '../../store/object/object-store.js';
import type { Inventory, JournalEntry } from './inventory.js';

export interface Leftovers {
  /** Of what nothing needs. */
  objects: number;
  bytes: number;
  /** Of the present writer, and not needed yet: a checkpoint or contents that are on their way, or were given up. */
  underWayObjects: number;
  underWayBytes: number;
}

/** `needed`: what HEAD's manifest and the journal need. @throws as `get` and `listUploads` */
export async function findLeftovers(
  store: ObjectStore,
  head: Head,
  inventory: Inventory,
  covered: readonly JournalEntry[],
  needed: ReadonlySet<string>,
  note: (message: string) => void,
): Promise<Leftovers> {
  const all = new Set(needed);
  for (const manifest of inventory.pinned) await addPinned(store, manifest, all, note);
  const found: Leftovers = { objects: 0, bytes: 0, underWayObjects: 0, underWayBytes: 0 };
  const orphans: [name: string, bytes: number][] = [];
  for (const [name, bytes] of inventory.objects) {
    if (all.has(name)) continue;
    if (parseObjectName(name)!.epoch < head.epoch) orphans.push([name, bytes]);
    else {
      found.underWayObjects++;
      found.underWayBytes += bytes;
    }
  }
  const tell = (what: string, objects: readonly (readonly [name: string, bytes: number])[], why: string) => {
    if (objects.length === 0) return;
    const bytes = objects.reduce((sum, [, size]) => sum + size, 0);
    found.objects += objects.length;
    found.bytes += bytes;
    const example =
      objects.length === 1 ? `${objects[0]![0]}` : `${objects.length} objects, the first ${objects[0]![0]}`;
    note(`${what}: ${example} (${bytes} bytes); ${why}`);
  };
  for (const kind of ['manifest/', 'blobs/', 'content/']) {
    const ofKind = orphans.filter(([name]) => name.startsWith(kind));
    tell('orphan', ofKind, 'nothing needs it, and the writer deletes it after a checkpoint of its own');
  }
  found.objects += covered.length;
  found.bytes += covered.reduce((sum, { bytes }) => sum + bytes, 0);
  const pairs = (objects: Inventory['foreign']) => objects.map(({ key, bytes }) => [key, bytes] as const);
  tell('left over', pairs(inventory.probes), 'from trying the bucket out; it may be deleted');
  tell('foreign', pairs(inventory.foreign), 'no part of a store; keep nothing else below its prefix');
  const uploads = await uploadsOf(store);
  if (uploads.length > 0) {
    note(
      `unfinished: ${uploads.length} uploads in parts, the first of ${uploads[0]!.key}; a rule of the bucket can end them`,
    );
  }
  return found;
}

/** None where the server does not tell, or not to us. */
async function uploadsOf(store: ObjectStore): Promise<OpenUpload[]> {
  try {
    return await store.listUploads('');
  } catch (error) {
    if (!hasCode(error, 'ERR_REMOTE_REFUSED')) throw error;
    return [];
  }
}

async function addPinned(
  store: ObjectStore,
  manifest: string,
  needed: Set<string>,
  note: (message: string) => void,
): Promise<void> {
  try {
    const { references } = await readManifest(store, manifest);
    needed.add(manifest);
    for (const name of references) needed.add(name);
  } catch (error) {
    if (!hasCode(error, 'ERR_NOT_FOUND') && !hasCode(error, 'ERR_REMOTE_CORRUPT')) throw error;
    note(`a pin keeps ${manifest}, which is gone or damaged: its follower begins anew, or is gone, too`);
  }
}
