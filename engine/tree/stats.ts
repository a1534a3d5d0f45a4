/** Figures about an open tree. Blobs that are not resident are told by the store's index, without being read. */

import type { SnapshotInfo } from '../api.js';
import { WAITING_BLOBS } from '../art/layout.js';
import type { Latency } from '../histogram.js';
import { BLOB_SIZE } from '../limits.js';
import {
  C_HELD,
  C_MAINTENANCE_STATE,
  C_OUT_OF_SPACE,
  C_PENDING,
  C_ROUND_FAILED,
  C_ROUND_RUNNING,
  F_CHECKPOINT_LSN,
  F_COMPACTIONS,
  F_FAILURES,
  F_FREE_BYTES,
  F_LAST_ROUND_AT,
  F_LAST_ROUND_MS,
  F_MERGES,
  F_ROUNDS,
  F_SPILLOVERS,
  MAINTENANCE_DIED,
  S_COLD_READS,
  S_HITS,
  S_MISSES,
  S_RESTARTS,
} from '../shared/control.js';
import { type BlobRow, isSnapshot } from '../store/blob-store.js';
import { imageRow } from '../store/image.js';
import type { TreeStats, UnreadableBlobStats } from '../tree-stats.js';
import { printable } from './state/arguments.js';
import { pinsOf } from './state/pins.js';
import { ROOT_BLOB, type TreeState } from './state/state.js';

const NEVER: Latency = { count: 0, sumMicros: 0, maxMicros: 0, buckets: [] };

/** Nobody has the lock for so long unless the disk hangs. */
const PATIENCE_MS = 2_000;

/** REQUIRES the tree lock: the blobs in the tree, in no particular order. */
export function blobRows(state: TreeState): BlobRow[] {
  const { cache, control, store } = state;
  const rows: BlobRow[] = [];
  const gone = new Set(Array.from(control.pending.subarray(0, control.words[C_PENDING]), (id) => id >>> 0));
  const seen = new Set<number>();
  cache.eachResident((index, blobId) => {
    if (gone.has(blobId)) return;
    seen.add(blobId);
    rows.push(imageRow(cache.frame(index).u8));
  });
  let scratch: Uint8Array | undefined;
  for (const blobId of store.listBlobs()) {
    if (seen.has(blobId) || gone.has(blobId)) continue;
    const row = store.blobRow?.(blobId);
    if (row !== undefined) {
      rows.push(row);
      continue;
    }
    scratch ??= new Uint8Array(BLOB_SIZE);
    store.readBlob(blobId, scratch);
    rows.push(imageRow(scratch));
  }
  return rows;
}

export function treeStats(state: TreeState): TreeStats {
  const { cache, control } = state;
  const { words, floats } = control;
  state.lockTreeWithin(PATIENCE_MS);
  let blobs: BlobRow[];
  let lastLsn: number;
  let residents = 0;
  try {
    blobs = blobRows(state);
    cache.eachResident(() => residents++);
    lastLsn = state.lsn();
  } finally {
    state.treeLock.unlock();
  }
  let liveBytes = 0;
  let keyCount = 0;
  let waitingChanges = 0;
  for (const row of blobs) {
    liveBytes += row.liveBytes;
    if (row.id < WAITING_BLOBS) keyCount += row.leaves;
    else waitingChanges += row.leaves;
  }
  const totalSpaceUsed = blobs.length * BLOB_SIZE;
  const float = (index: number): number => floats[index] as number;
  return {
    blobCount: blobs.length,
    totalSpaceUsed,
    liveBytes,
    averageFill: totalSpaceUsed === 0 ? 0 : liveBytes / totalSpaceUsed,
    maxBlobDepth: blobs.find((row) => row.id === ROOT_BLOB)?.height ?? 0,
    keyCount,
    waitingChanges,
    blobs: blobs.sort((a, b) => a.id - b.id),
    bmDirtyCount: Atomics.load(words, C_HELD),
    bmPendingDeleteCount: Atomics.load(words, C_PENDING),
    cacheBytes: cache.bytes,
    cacheUsedBytes: residents * BLOB_SIZE,
    cacheHits: control.sumCounter(S_HITS),
    cacheMisses: control.sumCounter(S_MISSES),
    coldReads: control.sumCounter(S_COLD_READS),
    optimisticRestarts: control.sumCounter(S_RESTARTS),
    unreadableBlobs: unreadableBlobs(state),
    spillovers: float(F_SPILLOVERS),
    merges: float(F_MERGES),
    compactions: float(F_COMPACTIONS),
    snapshots: {
      count: state.store.pins?.list().filter(isSnapshot).length ?? 0,
      bytes: (state.store.pins?.countKept().images ?? 0) * BLOB_SIZE,
    },
    lastLsn,
    failure: failureOf(state),
    space: spaceStats(state),
    journal: state.journal?.counters() ?? { appends: 0, syncs: 0, bytes: 0 },
    latency: {
      checkpoint: control.rounds.latency(),
      journalSync: state.journal?.syncLatency() ?? NEVER,
      blobLoad: control.loads.latency(),
    },
    checkpoint: checkpointStats(state),
  };
}

/** The tree's snapshots, by ascending id. @throws ERR_NO_SNAPSHOTS */
export function snapshotsOf(state: TreeState): SnapshotInfo[] {
  const pins = pinsOf(state);
  const { own } = pins.countKept();
  const snapshots = pins.list().filter(isSnapshot);
  return snapshots.map(({ name, id, lsn, createdAt }) => {
    return { name, id, lsn, createdAt, ownBytes: (own.get(id) ?? 0) * BLOB_SIZE };
  });
}

/** As in `treeStats`; takes no lock and is cheap. */
export function checkpointStats({ control }: TreeState): TreeStats['checkpoint'] {
  const { words, floats } = control;
  const float = (index: number): number => floats[index] as number;
  const at = float(F_LAST_ROUND_AT);
  return {
    rounds: float(F_ROUNDS),
    failures: float(F_FAILURES),
    lastLsn: float(F_CHECKPOINT_LSN),
    lastError: Atomics.load(words, C_ROUND_FAILED) === 0 ? undefined : control.lastRound.error().message,
    lastDurationMs: float(F_LAST_ROUND_MS),
    isRunning: Atomics.load(words, C_ROUND_RUNNING) !== 0,
    lastAt: at === 0 ? undefined : new Date(at).toISOString(),
  };
}

/** As in `treeStats`; takes no lock and is cheap. */
export function spaceStats(state: TreeState): TreeStats['space'] {
  const { words, floats } = state.control;
  // As last looked at by who tends the space: a disk that hangs must not hold up who asks for figures.
  const free = floats[F_FREE_BYTES] as number;
  return {
    exhausted: Atomics.load(words, C_OUT_OF_SPACE) !== 0,
    freeBytes: Number.isFinite(free) ? free : 0,
    freeSlots: state.freeSlots,
  };
}

/** Of snapshots that are gone nothing is told. Takes no lock. */
export function unreadableBlobs({ control, store }: TreeState): UnreadableBlobStats[] {
  return control.unreadable.list().flatMap(({ id, pin, errors, prefix }) => {
    const snapshot = pin === 0 ? undefined : store.pins?.list().find((kept) => kept.id === pin)?.name;
    if (pin !== 0 && snapshot === undefined) return [];
    const keys = prefix === undefined ? undefined : printable(prefix);
    return [{ id, errors, prefix: keys, ...(snapshot !== undefined && { snapshot }) }];
  });
}

/** A tree that is poisoned gives no stats at all: its lock throws. */
export function failureOf(state: TreeState): string | undefined {
  if (Atomics.load(state.control.words, C_MAINTENANCE_STATE) === MAINTENANCE_DIED) {
    return `Cannot go on with the tree in ${state.place}: its maintenance worker has died`;
  }
  return state.journal?.failure()?.message;
}
