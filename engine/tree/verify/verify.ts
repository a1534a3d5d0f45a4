/**
 * Verifies a store that nobody has open for writing, without changing it: the manifest, every blob's image and
 * structure, the way from the first blob to all others, the journal, and that both together open.
 */
import { Frame } from '../../art/frame.js';
import { isRootBlob, ROOT_BLOB, WAITING_BLOBS, WAITING_ROOTS } from '../../art/layout.js';
import { identityOf, Measure, type MeasureOptions } from '../../art/measure.js';
import { NodeDisk } from '../../disk/node-disk.js';
import { type ErrorCode, SpinneyError } from '../../errors.js';
import { recoverJournal } from '../../journal/recovery.js';
import { BLOB_SIZE } from '../../limits.js';
import { SILENT, type WorkProgress } from '../../progress.js';
import type { BlobId, BlobStore, Pins } from '../../store/blob-store.js';
import { FileBlobStore } from '../../store/file/file-blob-store.js';
import { printable } from '../state/arguments.js';
import { Tree } from '../tree.js';
import { prefixOf } from './blob-prefix.js';
import { type BlobFacts, verifyBlob } from './verify-blob.js';
import { verifySums } from './verify-sums.js';

/** Something that verification found. `damage` lost or may lose data; a `note` is worth knowing. */
export interface Finding {
  kind: 'damage' | 'note';
  message: string;
}

export interface VerifiedBlobs {
  blobs: number;
  /** Keys in the tree, not yet with changes that wait. */
  leaves: number;
  liveBytes: number;
  /** Blobs on the longest way; 0 where damage hides it. */
  depth: number;
  snapshots: number;
  /** Images that were read for these alone. */
  snapshotImages: number;
}

export interface VerifiedTree extends VerifiedBlobs {
  /** LSN of the last checkpoint. */
  checkpointLsn: number;
  /** Records of the journal after it. */
  journalRecords: number;
}

export interface VerifyOptions {
  dir: string;
  /** As of `Tree.open`: what the journal holds beyond the checkpoint must fit, since nothing is written. */
  cacheBytes?: number;
  /** With it the sums that blobs carry are compared with their records, where they are of this measure. */
  measure?: MeasureOptions;
  report: (finding: Finding) => void;
  progress?: WorkProgress;
  /** Called with the recovered tree, read-only, where all up to there is undamaged. It is closed afterwards. */
  inspect?: (tree: Tree) => void;
}

const DAMAGE: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_BLOB_CORRUPT',
  'ERR_BLOB_MISSING',
  'ERR_JOURNAL_CORRUPT',
  'ERR_MANIFEST_CORRUPT',
]);

/**
 * Verifies the store in `dir` under its shared lock, and reports what it finds. Counts are of what could be read.
 * @throws ERR_NO_STORE, ERR_STORE_LOCKED, ERR_FORMAT_VERSION, ERR_NEEDS_RECOVERY, ERR_IO where it cannot be verified
 */
export function verifyTree(options: VerifyOptions): VerifiedTree {
  const { dir, report, inspect, progress = SILENT } = options;
  const found: VerifiedTree = {
    blobs: 0,
    leaves: 0,
    liveBytes: 0,
    depth: 0,
    snapshots: 0,
    snapshotImages: 0,
    checkpointLsn: 0,
    journalRecords: 0,
  };
  let damaged = false;
  const damage = (message: string) => {
    damaged = true;
    report({ kind: 'damage', message });
  };
  const disk = new NodeDisk();
  const store = attempt(damage, () => FileBlobStore.open({ dir, disk, readOnly: true }));
  if (store === undefined) return found;
  try {
    const measure = measureFor(store, options.measure);
    // Damage to what only snapshots have is no reason not to look at the rest.
    const snapshotDamage = (message: string): void => report({ kind: 'damage', message });
    const sums = measure && new Measure(measure);
    Object.assign(found, verifyBlobs(store, damage, progress, snapshotDamage, sums));
    progress.begin('checking the journal', 0);
    const markLsn = store.readMark()?.lsn ?? 0;
    found.checkpointLsn = markLsn;
    const journal = attempt(damage, () =>
      recoverJournal({
        disk,
        directory: dir,
        uuid: store.uuid,
        markLsn,
        hasRun: store.hasRun,
        readOnly: true,
        apply: () => {},
      }),
    );
    found.journalRecords = journal?.replayed ?? 0;
    if (journal?.truncated !== undefined) {
      const { file, offset } = journal.truncated;
      report({
        kind: 'note',
        message: `${file}: an unfinished write at offset ${offset} is cut off at the next mount`,
      });
    }
    if (damaged) return found;
    const { cacheBytes } = options;
    const tree = attempt(damage, () =>
      Tree.open({
        dir,
        readOnly: true,
        ...(cacheBytes !== undefined && { cacheBytes }),
        ...(measure !== undefined && { measure }),
      }),
    );
    if (tree === undefined) return found;
    try {
      attempt(damage, () => inspect?.(tree));
    } finally {
      tree.close();
    }
    return found;
  } finally {
    store.close();
  }
}

/** The measure, if it is the one whose sums the store's blobs carry. */
export function measureFor(
  store: BlobStore,
  measure: MeasureOptions | undefined,
): MeasureOptions | undefined {
  const recorded = store.readMark()?.measure;
  if (measure === undefined || recorded === undefined) return undefined;
  return identityOf(recorded) === new Measure(measure).identity ? measure : undefined;
}

/** What the action gives; undefined where it found damage, which is told. Other errors are passed on. */
function attempt<T>(damage: (message: string) => void, action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof SpinneyError) || !DAMAGE.has(error.code)) throw error;
    damage(error.message);
    return undefined;
  }
}

/**
 * Checks every blob of a store and how they hang together, and likewise what each snapshot keeps; `damage` is told of each
 * fault, `snapshotDamage` of those that only snapshots have. Nothing may be staged. `measure`: the one
 * that the store's sums are of, if they are to be checked.
 */
export function verifyBlobs(
  store: BlobStore,
  damage: (message: string) => void,
  progress: WorkProgress = SILENT,
  snapshotDamage = damage,
  measure?: Measure,
): VerifiedBlobs {
  const mark = store.readMark();
  // Left the tree by the checkpoint, and not deleted yet.
  const pending = new Set(mark?.pendingDeletes ?? []);
  const ids = store.listBlobs().filter((id) => !pending.has(id));
  const { pins } = store;
  progress.begin('checking blobs', ids.length + (pins?.countKept().images ?? 0));
  const read = (id: BlobId, into: Uint8Array): void => store.readBlob(id, into);
  const checkSums: SumsCheck = (frame, row, told) => {
    if (measure !== undefined) verifySums(frame, measure, row, told);
  };
  const { facts, depth } = verifyVersion({
    ids,
    read,
    damage,
    progress,
    known: () => undefined,
    inspect: (frame) => checkSums(frame, store.blobRow?.(frame.blobId)?.sums, damage),
  });
  const total: VerifiedBlobs = {
    blobs: ids.length,
    leaves: 0,
    liveBytes: 0,
    depth,
    snapshots: 0,
    snapshotImages: 0,
  };
  for (const [id, { leaves, liveBytes }] of facts) {
    if (id < WAITING_BLOBS) total.leaves += leaves;
    total.liveBytes += liveBytes;
    if (mark !== undefined && mark.nextBlobId <= id && id < WAITING_BLOBS)
      damage(`Blob ${id}: the checkpoint's next blob id is ${mark.nextBlobId}`);
  }
  if (pins !== undefined) verifySnapshots(store, pins, facts, total, snapshotDamage, progress, checkSums);
  return total;
}

type SumsCheck = (
  frame: Frame,
  row: readonly number[] | undefined,
  damage: (message: string) => void,
) => void;

/** What is known of images, by blob and generation; undefined: they are damaged, which was told. */
type Known = Map<string, BlobFacts | undefined>;

/** An image that a snapshot shares with the tree, or with one before it, is not read again. */
function verifySnapshots(
  store: BlobStore,
  pins: Pins,
  live: ReadonlyMap<BlobId, BlobFacts>,
  total: VerifiedBlobs,
  damage: (message: string) => void,
  progress: WorkProgress,
  checkSums: SumsCheck,
): void {
  const seen: Known = new Map();
  for (const id of store.listBlobs()) {
    const generation = store.blobRow?.(id)?.generation;
    if (generation !== undefined) seen.set(`${id} ${generation}`, live.get(id));
  }
  for (const { id: pin, name } of pins.list()) {
    total.snapshots++;
    const keyOf = (id: BlobId): string => `${id} ${pins.blobRow(pin, id)?.generation}`;
    const tell = (message: string): void =>
      damage(`Snapshot ${JSON.stringify(name)}: ${message}; the tree as it is does not need it`);
    const version = verifyVersion({
      ids: pins.listBlobs(pin),
      read: (id, into) => pins.readBlob(pin, id, into),
      known: (id) => (seen.has(keyOf(id)) ? { facts: seen.get(keyOf(id)) } : undefined),
      damage: tell,
      inspect: (frame) => checkSums(frame, undefined, tell),
      progress,
    });
    for (const id of version.read) seen.set(keyOf(id), version.facts.get(id));
    total.snapshotImages += version.read.length;
  }
}

interface Version {
  ids: readonly BlobId[];
  read: (id: BlobId, into: Uint8Array) => void;
  /** What is known of the blob's image already; undefined: it is to be read. */
  known: (id: BlobId) => { facts: BlobFacts | undefined } | undefined;
  /** Looks at an image whose structure is sound. */
  inspect: (frame: Frame) => void;
  damage: (message: string) => void;
  progress: WorkProgress;
}

/** Checks the blobs of one tree, be it as it is or as a snapshot keeps it. */
function verifyVersion({ ids, read, known, inspect, damage, progress }: Version): {
  facts: Map<BlobId, BlobFacts>;
  read: BlobId[];
  depth: number;
} {
  const facts = new Map<BlobId, BlobFacts>();
  const image = new Uint8Array(BLOB_SIZE);
  const frame = new Frame(image.buffer, 0);
  const damaged = new Map<BlobId, string>();
  const noteDamage = (id: BlobId) => (message: string) => damaged.set(id, message);
  const wereRead: BlobId[] = [];
  for (const id of ids) {
    const before = known(id);
    if (before !== undefined) {
      if (before.facts !== undefined) facts.set(id, before.facts);
      continue;
    }
    progress.step();
    wereRead.push(id);
    const fact = attempt(noteDamage(id), () => {
      read(id, image);
      return verifyBlob(frame, id);
    });
    if (typeof fact === 'string') noteDamage(id)(`Blob ${id}: ${fact}`);
    if (fact === undefined || typeof fact === 'string') continue;
    inspect(frame);
    facts.set(id, fact);
  }
  const parents = new Map<BlobId, BlobId>();
  for (const [id, { references }] of facts) for (const { blobId } of references) parents.set(blobId, id);
  for (const [id, message] of damaged) {
    const prefix = prefixOf(id, parents, (parent) => {
      if (!facts.has(parent)) return undefined;
      read(parent, image);
      return frame;
    });
    damage(prefix === undefined ? message : `${message}; its keys begin with "${printable(prefix)}"`);
  }
  const depth = ids.length > 0 ? verifyReferences(ids, facts, damage) : 0;
  return { facts, read: wereRead, depth };
}

/** Every blob but the first is led to by one crossing of one node; returns the tree's height. */
function verifyReferences(
  ids: readonly BlobId[],
  facts: ReadonlyMap<BlobId, BlobFacts>,
  damage: (message: string) => void,
): number {
  const known = new Set(ids);
  const parents = new Map<BlobId, BlobId>();
  const order: BlobId[] = [];
  const queue: BlobId[] = [ROOT_BLOB, ...ids.filter((id) => id >= WAITING_ROOTS)];
  if (!known.has(ROOT_BLOB)) damage(`Blob ${ROOT_BLOB}: the tree's first blob is missing`);
  for (let at = 0; at < queue.length; at++) {
    const id = queue[at]!;
    const blob = facts.get(id);
    if (blob === undefined) continue;
    order.push(id);
    for (const { blobId, bytes } of blob.references) {
      const other = parents.get(blobId);
      if (other !== undefined) {
        damage(`Blob ${blobId}: blobs ${other} and ${id} both lead to it`);
        continue;
      }
      parents.set(blobId, id);
      if (!known.has(blobId)) damage(`Blob ${blobId}: blob ${id} leads to it, and it is not in the store`);
      const stray = facts.get(blobId)?.rootBytes.filter((byte) => !bytes.has(byte)) ?? [];
      if (stray.length > 0) {
        damage(`Blob ${blobId}: bytes ${stray.join()} of its root are not led to by blob ${id}`);
      }
      queue.push(blobId);
    }
  }
  // What an unreadable blob leads to is unknown, and so are the heights above it.
  if (facts.size < ids.length || order.length < queue.length) return 0;
  for (const id of ids) {
    if (!isRootBlob(id) && !parents.has(id)) damage(`Blob ${id}: nothing leads to it`);
  }
  return verifyHeights(order, facts, damage);
}

function verifyHeights(
  order: readonly BlobId[],
  facts: ReadonlyMap<BlobId, BlobFacts>,
  damage: (message: string) => void,
): number {
  const heights = new Map<BlobId, number>();
  for (const id of order.toReversed()) {
    const blob = facts.get(id)!;
    let height = 1;
    for (const reference of blob.references) {
      const below = heights.get(reference.blobId) ?? 0;
      if (reference.height < below) {
        damage(
          `Blob ${id}: its crossing to ${reference.blobId} tells height ${reference.height}, not ${below}`,
        );
      }
      height = Math.max(height, below + 1);
    }
    if (blob.height < height) damage(`Blob ${id}: it tells height ${blob.height}, it has ${height}`);
    heights.set(id, height);
  }
  return heights.get(ROOT_BLOB) ?? 0;
}
