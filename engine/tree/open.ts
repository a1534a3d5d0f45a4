/** Opening a tree: its options, its store, and what the journal holds beyond the last checkpoint. */
import { dirname } from 'node:path';
import type { Durability, PreviousEnd, Recovery, TreeOptions } from '../api.js';
import { WAITING_BLOBS, WAITING_ROOTS } from '../art/layout.js';
import { identityOf, Measure, type MeasureName } from '../art/measure.js';
import { defaultCacheBytes } from '../cache/available-memory.js';
import { FrameCache } from '../cache/frame-cache.js';
import { PreImages } from '../cache/pre-images.js';
import { AnchoredDisk, closeAnchor, openAnchor } from '../disk/anchored-disk.js';
import type { Disk } from '../disk/disk.js';
import { adviseHugePages } from '../disk/libc.js';
import { NodeDisk } from '../disk/node-disk.js';
import { SpinneyError } from '../errors.js';
import { Journal } from '../journal/journal.js';
import { recoverJournal } from '../journal/recovery.js';
import type { JournalSizes } from '../journal/sizes.js';
import { BLOB_SIZE, MAX_CACHE_BYTES, MIN_CACHE_BYTES } from '../limits.js';
import {
  C_BLOB_COUNT,
  C_FREE_SLOTS,
  C_NEXT_BLOB,
  C_NEXT_WAITING,
  C_PENDING,
  C_WAITING_BLOBS,
  C_WAITING_ROOT,
  Control,
  F_CHECKPOINT_LSN,
  F_FREE_BYTES,
  F_GENERATION,
  F_LSN,
} from '../shared/control.js';
import type { BlobStore } from '../store/blob-store.js';
import { FileBlobStore } from '../store/file/file-blob-store.js';
import { DATA_FILE } from '../store/file/names.js';
import { MemoryBlobStore } from '../store/memory-blob-store.js';
import { optionsOf } from './state/arguments.js';
import { durabilityOf } from './state/durability.js';
import { keptFree } from './state/free-slots.js';
import { needsRecovery, otherMeasure, ROOT_BLOB, TreeState } from './state/state.js';
import { threadNumber } from './state/thread-number.js';
import { inlineMaintenance, type Schedule, satisfy } from './upkeep/maintenance.js';
import { Round } from './upkeep/round.js';
import { changesOf } from './write/record-changes.js';
import { Writer } from './write/writer.js';

/** The options with their defaults, checked. */
export interface Settings {
  kind: 'dir' | 'memory' | 'store';
  dir: string;
  store: BlobStore | undefined;
  cacheBytes: number;
  durability: Durability;
  readOnly: boolean;
  flushOnWrite: boolean;
  schedule: Schedule;
  measure: Measure | undefined;
  onProgress: (done: number, total: number) => void;
  images: SharedArrayBuffer | undefined;
}

/** What every BlobStore has. */
const STORE_CALLS = [
  'readBlob',
  'writeBlob',
  'deleteBlob',
  'listBlobs',
  'hasBlob',
  'flush',
  'readMark',
  'needsFlush',
] as const satisfies readonly (keyof BlobStore)[];

function invalid(message: string): SpinneyError {
  return new SpinneyError('ERR_INVALID_ARGUMENT', message);
}

export function settingsOf(options: TreeOptions): Settings {
  const { dir, memory, store, durability = 'written', checkpoint = {} } = optionsOf(options, 'open a tree');
  optionsOf(checkpoint, 'set up checkpoints');
  const given = [dir !== undefined, memory === true, store !== undefined].filter(Boolean).length;
  if (given !== 1) throw invalid('Cannot open a tree: give exactly one of dir, memory and store');
  if (dir !== undefined && (typeof dir !== 'string' || dir === '' || dir.includes('\0'))) {
    throw invalid('Cannot open a tree: dir is the path of a directory');
  }
  const lacking = store !== undefined && STORE_CALLS.find((call) => typeof store?.[call] !== 'function');
  if (lacking) throw invalid(`Cannot open a tree on a store without ${lacking}(): it is a BlobStore`);
  const kind = dir !== undefined ? 'dir' : store !== undefined ? 'store' : 'memory';
  const schedule: Schedule = {
    enabled: checkpoint.enabled ?? kind === 'dir',
    idleIntervalMs: positive('checkpoint.idleIntervalMs', checkpoint.idleIntervalMs ?? 1000),
    dirtyBlobThreshold:
      checkpoint.dirtyBlobThreshold === undefined
        ? undefined
        : positive('checkpoint.dirtyBlobThreshold', checkpoint.dirtyBlobThreshold),
    autoMerge: checkpoint.autoMerge ?? true,
    host: checkpoint.host ?? 'inline',
  };
  if (schedule.host !== 'inline' && schedule.host !== 'worker') {
    throw invalid(
      `Cannot open a tree with checkpoint host ${JSON.stringify(schedule.host)}: it is inline or worker`,
    );
  }
  if (schedule.host === 'worker' && kind !== 'dir') {
    throw invalid('Cannot open a tree with a maintenance worker: only one with a dir can have it');
  }
  return {
    kind,
    dir: dir ?? '',
    store,
    cacheBytes: cacheBytesOf(options.cacheBytes),
    durability: durabilityOf(durability),
    readOnly: options.readOnly ?? false,
    flushOnWrite: kind !== 'dir' && (options.flushOnWrite ?? true),
    schedule,
    measure: options.measure && new Measure(options.measure),
    onProgress: options.onProgress ?? (() => {}),
    images: options.images,
  };
}

function positive(name: string, value: number): number {
  if (Number.isFinite(value) && value > 0) return value;
  throw invalid(`Cannot open a tree with ${name} ${value}: it is a number above 0`);
}

/** Checked, and whole frames. @throws ERR_INVALID_ARGUMENT */
export function cacheBytesOf(bytes = defaultCacheBytes()): number {
  if (!Number.isFinite(bytes) || bytes < MIN_CACHE_BYTES || bytes > MAX_CACHE_BYTES) {
    throw invalid(
      `Cannot open a tree with cacheBytes ${bytes}: the limits are ${MIN_CACHE_BYTES} and ${MAX_CACHE_BYTES}`,
    );
  }
  return Math.floor(bytes / BLOB_SIZE) * BLOB_SIZE;
}

/** The opener's view of a tree, and what was recovered: nothing where the tree is not in a directory. */
export interface Opened {
  state: TreeState;
  recovery: Recovery | undefined;
}

/** What a directory is opened on; tests have a disk of their own, and a small journal. */
export interface Underlying {
  disk?: Disk;
  journalSizes?: JournalSizes;
  /** Whether changes may wait, as they may unless this is false. */
  mayWait?: boolean;
}

/** Opens what the settings name, and recovers it. Leaves nothing open when it throws. */
export function openState(settings: Settings, underlying: Underlying = {}): Opened {
  const { kind, dir, readOnly } = settings;
  const { journalSizes } = underlying;
  if (kind === 'dir' && !readOnly) assertRoomForStore(underlying.disk ?? new NodeDisk(), dir);
  const isOnMachine = kind === 'dir' && underlying.disk === undefined;
  const anchor = isOnMachine ? openAnchor(dir, { create: !readOnly }) : undefined;
  const disk = underlying.disk ?? (anchor === undefined ? new NodeDisk() : new AnchoredDisk(dir, anchor));
  let store: BlobStore | undefined;
  try {
    store =
      kind === 'dir'
        ? FileBlobStore.open({
            dir,
            disk,
            readOnly,
            create: !readOnly,
            ...(settings.images !== undefined && { images: settings.images }),
          })
        : (settings.store ?? new MemoryBlobStore());
    const recorded = store.readMark()?.measure;
    const place = kind === 'dir' ? dir : kind;
    const measure = measureOf(settings, recorded, place);
    const control = new Control();
    const cache = new FrameCache(control, { bytes: settings.cacheBytes });
    if (isOnMachine) adviseHugePages(cache.handle.frames);
    const options: TreeState['options'] = {
      place,
      readOnly,
      previousEnd: 'none',
      anchor,
      measure,
      mayWait: kind === 'dir' && !readOnly && measure === undefined && (underlying.mayWait ?? true),
    };
    const preImages = new PreImages(control, { frames: cache.count });
    adoptMark(control, store);
    if (!readOnly) countSlots(control, store);
    const bare = new TreeState(
      control,
      cache,
      preImages,
      store,
      undefined,
      threadNumber,
      options,
      settings.measure,
    );
    if (!(store instanceof FileBlobStore)) return { state: bare, recovery: undefined };
    if (measure !== undefined) mergeWaiting(bare);
    const { previousEnd, ...recovery } = recover(bare, disk, store, settings);
    options.previousEnd = previousEnd;
    if (readOnly) return { state: bare, recovery };
    const journal = Journal.open({
      disk,
      directory: dir,
      uuid: store.uuid,
      nextLsn: bare.lsn() + 1,
      durability: settings.durability,
      previousEnd,
      ...(journalSizes === undefined ? {} : { sizes: journalSizes }),
    });
    try {
      store.noteRun();
    } catch (error) {
      journal.close();
      throw error;
    }
    const state = new TreeState(
      control,
      cache,
      preImages,
      store,
      journal,
      threadNumber,
      options,
      settings.measure,
    );
    bare.end();
    return { state, recovery };
  } catch (error) {
    if (store instanceof FileBlobStore) store.close();
    if (anchor !== undefined) closeAnchor(anchor);
    throw error;
  }
}

/** The measure whose sums the blobs are to carry: the one given. */
function measureOf(
  { measure }: Settings,
  recorded: MeasureName | undefined,
  place: string,
): TreeState['options']['measure'] {
  if (measure === undefined) return undefined;
  const { name, fields, identity } = measure;
  if (recorded !== undefined && identityOf(recorded) !== identity)
    throw otherMeasure(place, measure, recorded);
  return { name, fields, identity };
}

/** A store needs so many bytes before it has anything in it, and as much again for the first that it is given. */
const LEAST_STORE_BYTES = 4 * 1024 * 1024;

/** @throws ERR_NO_SPACE before anything is made, where there is no store yet */
function assertRoomForStore(disk: Disk, dir: string): void {
  const place = disk.exists(dir) ? dir : dirname(dir);
  if (disk.exists(`${dir}/${DATA_FILE}`) || !disk.exists(place)) return;
  const free = disk.freeBytes(place);
  if (free >= LEAST_STORE_BYTES) return;
  throw new SpinneyError(
    'ERR_NO_SPACE',
    `Cannot make the store ${dir}: the disk is full (needs ${LEAST_STORE_BYTES} bytes, has ${free})`,
  );
}

/** Counts the slots that have disk space, and sees that as many do as are kept for removals. */
function countSlots(control: Control, store: BlobStore): void {
  if (store.readySlots === undefined) return;
  const blobs = control.words[C_BLOB_COUNT] as number;
  if (blobs > 0) store.reserveSlots?.(keptFree(blobs) - store.readySlots());
  control.words[C_FREE_SLOTS] = store.readySlots();
  control.floats[F_FREE_BYTES] = store.freeBytes?.() ?? 0;
}

/** Takes over what the last checkpoint tells. Deletes that it announced and that did not come to pass are pending. */
function adoptMark(control: Control, store: BlobStore): void {
  const { words, floats } = control;
  const mark = store.readMark();
  const blobs = store.listBlobs();
  const pending = (mark?.pendingDeletes ?? []).filter((id) => store.hasBlob(id));
  control.pending.set(pending);
  words[C_PENDING] = pending.length;
  words[C_BLOB_COUNT] = blobs.length - pending.length;
  adoptWaiting(control, blobs, pending);
  const highest = blobs.reduce((most, id) => (id < WAITING_BLOBS ? Math.max(most, id) : most), ROOT_BLOB);
  words[C_NEXT_BLOB] = Math.max(mark?.nextBlobId ?? 0, highest + 1);
  floats[F_LSN] = mark?.lsn ?? 0;
  floats[F_CHECKPOINT_LSN] = mark?.lsn ?? 0;
  floats[F_GENERATION] = mark?.generation ?? 0;
}

/** Of the ids that the tree of waiting changes has those that are still in the store are not given out again. */
function adoptWaiting({ words }: Control, blobs: readonly number[], pending: readonly number[]): void {
  for (const id of blobs) {
    if (id < WAITING_BLOBS) continue;
    const number = id - (id < WAITING_ROOTS ? WAITING_BLOBS : WAITING_ROOTS);
    words[C_NEXT_WAITING] = Math.max(words[C_NEXT_WAITING] as number, number + 1);
    if (pending.includes(id)) continue;
    words[C_WAITING_BLOBS] = (words[C_WAITING_BLOBS] as number) + 1;
    if (id >= WAITING_ROOTS) words[C_WAITING_ROOT] = id;
  }
}

/** Plays the journal on the checkpoint's tree. Dirties frames as live writes do, and checkpoints when the cache is full. */
function recover(
  state: TreeState,
  disk: Disk,
  store: FileBlobStore,
  settings: Settings,
): Recovery & { previousEnd: PreviousEnd } {
  const writer = inlineWriter(state);
  const { lastLsn, ...recovery } = recoverJournal({
    disk,
    directory: settings.dir,
    uuid: store.uuid,
    markLsn: state.lsn(),
    hasRun: store.hasRun,
    readOnly: settings.readOnly,
    apply: (lsn, record) => writer.replay(lsn, changesOf(record, `Cannot recover ${settings.dir}`)),
  });
  if (lastLsn !== state.lsn()) {
    throw new SpinneyError(
      'ERR_JOURNAL_CORRUPT',
      `Cannot recover ${settings.dir}: the journal ends at LSN ${lastLsn}, the tree at ${state.lsn()}`,
    );
  }
  return recovery;
}

/** Sums are of records that are in the tree. REQUIRES a tree with a measure, before anything else is done to it. */
function mergeWaiting(state: TreeState): void {
  if (!state.hasWaiting) return;
  if (state.options.readOnly) throw needsRecovery(state.place);
  inlineWriter(state).waits?.merging.settled(() => {});
}

/** A writer of a thread that has the store for itself. */
export function inlineWriter(state: TreeState): Writer {
  const inline = inlineMaintenance(state, new Round(state));
  return new Writer(state, (need, wanted) => satisfy(state, inline, need, wanted));
}

/** Makes the journal durable and gives the store's lock back. A caller's own store stays open. */
export function closeState(state: TreeState): void {
  try {
    state.journal?.close(state.control.floats[F_CHECKPOINT_LSN]);
  } finally {
    if (state.store instanceof FileBlobStore) {
      // No checkpoint is to come: what is kept for removals does.
      state.store.trimSlots(keptFree(state.blobCount) + state.cache.dirty);
      state.store.close();
    }
    if (state.options.anchor !== undefined) closeAnchor(state.options.anchor);
  }
}
