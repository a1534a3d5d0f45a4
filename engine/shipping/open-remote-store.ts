/** From a remote and a directory to a store that writes to it. */
import { SpinneyError } from '../errors.js';
import type { RecordReader } from '../journal/records/record.js';
import { decodeManifest } from '../remote/objects/manifest.js';
import { parseObjectName } from '../remote/objects/names.js';
import type { RemoteWriter } from '../remote/remote-writer.js';
import { readHead, type Site } from '../remote/site.js';
import { takeOver } from '../remote/take-over.js';
import type { Tree } from '../tree/tree.js';
import { catalogOf } from './checkpoints/catalog.js';
import { eachRow } from './contents/each-row.js';
import { namesInRow, SHIPPED_CONTENTS_PREFIX } from './contents/rows.js';
import { noteObject, type ShippedState } from './live/shipped-state.js';
import { recordsOf, type ShippedRecord } from './records.js';
import { missing, RestoredStore } from './restore.js';

/** Of the journal, between two breaths. */
const BYTES_AT_ONCE = 1024 * 1024;

export interface RemoteStoreOptions {
  /** The store that is to write to it, 32 hex digits; another for each directory. */
  holder: string;
  leaseMs: number;
  /** Ends it: what throws then is its reason. */
  signal?: AbortSignal;
  /** Told how many objects of the journal have been read. */
  onProgress?: (objects: number) => void;
}

export interface RemoteStore {
  writer: RemoteWriter;
  /** For whoever ships. */
  shipped: ShippedState;
}

/**
 * Goes on with a remote that this store writes to, or begins with one that is empty. REQUIRES a tree that is open for writing, so that no
 * other process has it.
 * @throws ERR_REMOTE_TAKEN where another store has it: this one may lack what that wrote; ERR_REMOTE_CORRUPT where the store and the remote
 *   do not belong together any more; and as `takeOver`
 */
export async function resumeRemoteStore(
  site: Site,
  tree: Tree,
  options: RemoteStoreOptions,
): Promise<RemoteStore> {
  const found = await readHead(site);
  if (found === undefined && !tree.isPrefixEmpty(SHIPPED_CONTENTS_PREFIX)) throw gone();
  const shipped = newState();
  const base = takeOverOptions(site, shipped, options);
  const writer = await takeOver(site, {
    ...base,
    isOwnOnly: true,
    restore: async (manifest) => void (await base.restore(manifest)),
  });
  shipped.end = writer.end;
  // What is there was durable here before.
  if (shipped.lsn <= tree.lastLsn()) {
    await noteOwnContents(tree, shipped);
    return { writer, shipped };
  }
  const why = `it has records up to ${shipped.lsn}, and the store up to ${tree.lastLsn()}`;
  throw writer.held.endWith(
    new SpinneyError(
      'ERR_REMOTE_CORRUPT',
      `Cannot go on with the remote: ${why}; it was put back, or is a copy: mount the remote with an empty directory`,
    ),
  );
}

/**
 * Becomes the writer of a remote, and makes a store of it in an empty directory. Where the remote is empty, the directory stays so, and
 * `shipped.isRestored` is false.
 * `isLazy`: images of blobs come when they are asked for, see ImageServer; else they are there when this resolves.
 * @throws ERR_EXISTS, ERR_REMOTE_CORRUPT, ERR_BLOB_CORRUPT, ERR_IO, ERR_NO_SPACE, and as `takeOver`; then it may be called again
 */
export async function takeOverStore(
  site: Site,
  directory: string,
  options: RemoteStoreOptions & { isLazy?: boolean },
): Promise<RemoteStore> {
  const shipped = newState();
  const isThere = (await readHead(site)) !== undefined;
  const restored = isThere ? new RestoredStore(directory) : undefined;
  try {
    const base = takeOverOptions(site, shipped, options);
    const writer = await takeOver(site, {
      ...base,
      // One that begins meanwhile would have to be restored.
      isOwnOnly: !isThere,
      restore: async (manifest) => {
        const read = await base.restore(manifest);
        await restored?.restore(site.store, read, options.isLazy ?? false);
      },
      replay: async (body, place) => {
        await base.replay(body, place);
        restored?.replay(body);
      },
    });
    restored?.finish();
    shipped.end = writer.end;
    shipped.isRestored = restored !== undefined;
    return { writer, shipped };
  } finally {
    restored?.close();
  }
}

function newState(): ShippedState {
  const end = { epoch: 1, sequence: 1 };
  return { lsn: 0, catalog: undefined, objects: [], end, contents: new Set(), isRestored: false };
}

/** Takes over while it learns what the remote has. */
function takeOverOptions(site: Site, shipped: ShippedState, options: RemoteStoreOptions) {
  const { holder, leaseMs, signal, onProgress = () => {} } = options;
  return {
    holder,
    leaseMs,
    ...(signal !== undefined && { signal }),
    restore: async (manifest: string | undefined) => {
      if (manifest === undefined) return undefined;
      const { bytes } = (await site.store.get(manifest))!;
      const read = decodeManifest(manifest, bytes);
      const catalog = catalogOf(manifest, read);
      shipped.catalog = catalog;
      shipped.lsn = catalog.mark.lsn;
      for (const name of read.references)
        if (parseObjectName(name)?.kind === 'content') shipped.contents.add(name);
      return { name: manifest, bytes, catalog };
    },
    replay: async (body: Uint8Array, place: { epoch: number; sequence: number }) => {
      let lastLsn = 0;
      for (const record of recordsOf(body)) {
        if (record.lsn > Math.max(shipped.lsn, lastLsn) + 1) throw missing(shipped.lsn + 1, record.lsn);
        lastLsn = record.lsn;
        noteContents(record, shipped);
      }
      noteObject(shipped, { place, lastLsn, bytes: body.length });
      onProgress(shipped.objects.length);
    },
  };
}

/** Objects that rows of contents name must be kept by the next checkpoint. */
function noteContents({ changes }: ShippedRecord, { contents }: ShippedState): void {
  for (const change of changes) {
    if (!('value' in change) || change.value === undefined) continue;
    for (const name of namesInRow(change.key, change.value)) contents.add(name);
  }
}

/**
 * As `noteContents`, for rows that an earlier process put, and that did not get there before it died: their objects did. The next checkpoint
 * would have the rows, and let the objects be collected.
 */
async function noteOwnContents(tree: Tree, shipped: ShippedState): Promise<void> {
  const { contents } = shipped;
  const journal = tree.journal!;
  const tail = journal.tail(shipped.lsn + 1);
  try {
    const visit = (_lsn: number, record: RecordReader) => {
      while (record.next()) for (const name of namesInRow(record.first, record.second)) contents.add(name);
    };
    journal.flush();
    const lastLsn = journal.writtenLsn();
    for (;;) {
      const read = tail.read(lastLsn, BYTES_AT_ONCE, visit);
      if (read === 'whole') return;
      if (read === 'cut') break;
      await new Promise((resolve) => setImmediate(resolve));
    }
  } finally {
    tail.close();
  }
  await eachRow(tree, (parts) => {
    for (const { name } of parts) contents.add(name);
  });
}

function gone(): SpinneyError {
  return new SpinneyError(
    'ERR_REMOTE_CORRUPT',
    'Cannot go on with the remote: its HEAD is gone, and the store has contents that only the remote has',
  );
}
