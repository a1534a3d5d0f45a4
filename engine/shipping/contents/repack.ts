/**
 * Small contents share objects, and an object stays as long as one of them does. What little is left of one goes into a new one, together with that of
 * others: so the remote has at most twice what is needed, but for what snapshots keep.
 *
 * What must hold:
 * - The new object is there before a row names it, and what the row tells of the content stays the same.
 * - A row is changed as it is at that moment: its content may be another by then, or gone.
 * - The old object is not touched. Nothing names it any more some time, and then it is collected; a content that was being shipped meanwhile may
 *   name it again.
 */
import type { TreeOperations } from '../../api.js';
import { CONTENT_PART_BYTES } from '../../limits.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import type { ContentId } from './content-shipper.js';
import { eachRow } from './each-row.js';
import { fetchPart } from './fetch-part.js';
import type { ContentUse } from './forget-unneeded.js';
import { type ContentPart, contentOfRow, putShippedContent, shippedContent } from './rows.js';

/** Objects that are repacked in one go: others wait for the next. */
const MOST_AT_ONCE = 64;

export interface Repacking {
  tree: Pick<TreeOperations, 'get' | 'getRecord' | 'range' | 'atomic'>;
  store: ObjectStore;
  /** Puts an object with contents under a name that nobody had; resolves to it. */
  put: (bytes: Uint8Array) => Promise<string>;
}

/** A part that is to be elsewhere. */
interface Move extends ContentId {
  from: ContentPart;
  bytes: Uint8Array;
}

/** How many objects were repacked. @throws as the object store, the tree and `put`; then the rest is left to the next time */
export async function repackContents(
  { tree, store, put }: Repacking,
  { live, pinned }: Pick<ContentUse, 'live' | 'pinned'>,
): Promise<number> {
  const sparse = await sparseObjects(store, live, pinned);
  if (sparse.size === 0) return 0;
  const contents = await contentsIn(sparse, tree);
  let moves: Move[] = [];
  let size = 0;
  const moveAll = async () => {
    if (moves.length === 0) return;
    const name = await put(Buffer.concat(moves.map(({ bytes }) => bytes)));
    rename(tree, moves, name);
    moves = [];
    size = 0;
  };
  for (const { ino, born } of contents.values()) {
    for (const from of shippedContent(tree, ino, born)?.parts ?? []) {
      if (from.name === undefined || !sparse.has(from.name)) continue;
      const bytes = await fetched(store, from);
      if (bytes === undefined) continue;
      if (size + bytes.length > CONTENT_PART_BYTES) await moveAll();
      moves.push({ ino, born, from, bytes });
      size += bytes.length;
    }
  }
  await moveAll();
  return sparse.size;
}

/** Those of which the tree needs less than half, and snapshots nothing. */
async function sparseObjects(
  store: ObjectStore,
  live: ReadonlyMap<string, number>,
  pinned: ReadonlySet<string>,
): Promise<Set<string>> {
  const sparse = new Set<string>();
  for (let after = ''; sparse.size < MOST_AT_ONCE; ) {
    const { objects, more } = await store.list('content/', { after });
    for (const { key, bytes } of objects) {
      const needed = live.get(key);
      if (needed !== undefined && 2 * needed < bytes && !pinned.has(key) && sparse.size < MOST_AT_ONCE)
        sparse.add(key);
    }
    if (!more || objects.length === 0) break;
    after = objects.at(-1)!.key;
  }
  return sparse;
}

async function contentsIn(
  objects: ReadonlySet<string>,
  tree: Repacking['tree'],
): Promise<Map<string, ContentId>> {
  const contents = new Map<string, ContentId>();
  await eachRow(tree, (parts, key) => {
    if (!parts.some(({ name }) => objects.has(name))) return;
    const { ino, born } = contentOfRow(key)!;
    contents.set(`${ino}.${born}`, { ino, born });
  });
  return contents;
}

/** Undefined where it is damaged, or missing: then it stays so, for a check to tell. */
async function fetched(store: ObjectStore, part: ContentPart): Promise<Uint8Array | undefined> {
  try {
    return await fetchPart(store, part);
  } catch (error) {
    if (hasCode(error, 'ERR_REMOTE_CORRUPT')) return undefined;
    throw error;
  }
}

/** Has the rows tell of the parts in the object of this name, one behind another in this order. */
function rename(tree: Repacking['tree'], moves: readonly Move[], name: string): void {
  const places = new Map<string, number>();
  let end = 0;
  for (const { from, bytes } of moves) {
    places.set(placeOf(from), end);
    end += bytes.length;
  }
  const contents = new Map(moves.map(({ ino, born }) => [`${ino}.${born}`, { ino, born }]));
  for (const { ino, born } of contents.values()) {
    const content = shippedContent(tree, ino, born);
    if (content === undefined) continue;
    const parts = content.parts.map((part) => {
      const offset = places.get(placeOf(part));
      return offset === undefined ? part : { ...part, name, offset };
    });
    tree.atomic((batch) => putShippedContent(batch, ino, born, { ...content, parts }, content));
  }
}

function placeOf({ name, offset }: ContentPart): string {
  return `${name}:${offset}`;
}
