/** Figures about an open tree. Blobs that are not resident are told by the store's index, without being read. */

import type { SnapshotInfo, TreeStats } from '../api.js';
import { BLOB_SIZE } from '../limits.js';
import {
  C_HELD,
  C_MAINTENANCE_STATE,
  C_OUT_OF_SPACE,
  C_PENDING,
  C_ROUND_FAILED,
  F_CHECKPOINT_LSN,
  F_COMPACTIONS,
  F_FAILURES,
  F_FREE_BYTES,
  F_LAST_ROUND_MS,
  F_MERGES,
  F_ROUNDS,
  F_SPILLOVERS,
  MAINTENANCE_DIED,
  S_HITS,
  S_MISSES,
  S_RESTARTS,
} from '../shared/control.js';
import type { UnreadableBlobNote } from '../shared/unreadable-blobs.js';
import type { BlobRow } from '../store/blob-store.js';
import { imageRow } from '../store/image.js';
import { printable } from './state/arguments.js';
import { pinsOf } from './state/pins.js';
import { ROOT_BLOB, type TreeState } from './state/state.js';

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
  state.lockTree();
  let blobs: BlobRow[];
  let lastLsn: number;
  let unreadable: UnreadableBlobNote[];
  try {
    blobs = blobRows(state);
    lastLsn = state.lsn();
    unreadable = control.unreadable.list();
  } finally {
    state.treeLock.unlock();
  }
  let liveBytes = 0;
  let keyCount = 0;
  for (const row of blobs) {
    liveBytes += row.liveBytes;
    keyCount += row.leaves;
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
    blobs: blobs.sort((a, b) => a.id - b.id),
    bmDirtyCount: Atomics.load(words, C_HELD),
    bmPendingDeleteCount: Atomics.load(words, C_PENDING),
    cacheBytes: cache.bytes,
    cacheHits: control.sumCounter(S_HITS),
    cacheMisses: control.sumCounter(S_MISSES),
    optimisticRestarts: control.sumCounter(S_RESTARTS),
    unreadableBlobs: unreadable.map(({ id, errors, prefix }) => ({
      id,
      errors,
      prefix: prefix === undefined ? undefined : printable(prefix),
    })),
    spillovers: float(F_SPILLOVERS),
    merges: float(F_MERGES),
    compactions: float(F_COMPACTIONS),
    snapshots: {
      count: state.store.pins?.list().length ?? 0,
      bytes: (state.store.pins?.countKept().images ?? 0) * BLOB_SIZE,
    },
    lastLsn,
    failure: failureOf(state),
    space: {
      exhausted: Atomics.load(words, C_OUT_OF_SPACE) !== 0,
      // As last looked at by who tends the space: a disk that hangs must not hold up who asks for figures.
      freeBytes: Number.isFinite(float(F_FREE_BYTES)) ? float(F_FREE_BYTES) : 0,
      freeSlots: state.freeSlots,
    },
    journal: state.journal?.counters() ?? { appends: 0, syncs: 0, bytes: 0 },
    checkpoint: checkpointStats(state),
  };
}

/** The tree's snapshots, by ascending id. @throws ERR_NO_SNAPSHOTS */
export function snapshotsOf(state: TreeState): SnapshotInfo[] {
  const pins = pinsOf(state);
  const { own } = pins.countKept();
  return pins.list().map(({ name, id, lsn, createdAt }) => {
    return { name, id, lsn, createdAt, ownBytes: (own.get(id) ?? 0) * BLOB_SIZE };
  });
}

/** As in `treeStats`; takes no lock and is cheap. */
export function checkpointStats({ control }: TreeState): TreeStats['checkpoint'] {
  const { words, floats } = control;
  const float = (index: number): number => floats[index] as number;
  return {
    rounds: float(F_ROUNDS),
    failures: float(F_FAILURES),
    lastLsn: float(F_CHECKPOINT_LSN),
    lastError: Atomics.load(words, C_ROUND_FAILED) === 0 ? undefined : control.lastRound.error().message,
    lastDurationMs: float(F_LAST_ROUND_MS),
  };
}

/** A tree that is poisoned gives no stats at all: its lock throws. */
function failureOf(state: TreeState): string | undefined {
  if (Atomics.load(state.control.words, C_MAINTENANCE_STATE) === MAINTENANCE_DIED) {
    return `Cannot go on with the tree in ${state.place}: its maintenance worker has died`;
  }
  return state.journal?.failure()?.message;
}
