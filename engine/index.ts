/** The engine as a library: `import { Tree } from 'spinney/engine'`. */
export type {
  AtomicOptions,
  Batch,
  CheckpointOptions,
  DiffOptions,
  Durability,
  Key,
  KeyRecord,
  Latency,
  MeasureOptions,
  PreviousEnd,
  RangeEntry,
  RangeKey,
  RangeOptions,
  RangePrefix,
  Recovery,
  Snapshot,
  SnapshotInfo,
  SnapshotReadOptions,
  SnapshotReads,
  TreeChange,
  TreeOperations,
  TreeOptions,
  TreeReads,
  TreeRecord,
} from './api.js';
export { copyImages, countNewImages } from './backup/copy-images.js';
export { diffImages, type Images } from './backup/diff-images.js';
export { readImages } from './backup/read-images.js';
export { NodeDisk } from './disk/node-disk.js';
export { type ErrorCode, SpinneyError, UnreadableBlobError } from './errors.js';
export { openRemoteToRead } from './remote/open-remote.js';
export { type RepairFinding, type Salvaged, salvage } from './repair/salvage.js';
export { Wreck } from './repair/wreck.js';
export {
  type VerifiedRemote,
  type VerifyRemoteOptions,
  verifyRemote,
} from './shipping/verify/verify-remote.js';
export type {
  BlobId,
  BlobRow,
  BlobStore,
  CheckpointMark,
  KeptImage,
  Pin,
  PinChanges,
  Pins,
} from './store/blob-store.js';
export { FileBlobStore } from './store/file/file-blob-store.js';
export { LivePin } from './store/file/live-pin.js';
export { MemoryBlobStore } from './store/memory-blob-store.js';
export { parseRemote, type S3Options } from './store/object/s3/options.js';
export type { TreeHandle } from './tree/state/shared-tree.js';
export { Tree } from './tree/tree.js';
export {
  type DamagedBlob,
  prefixesOf,
  type ScrubbedBlobs,
  type ScrubTarget,
  scrubBlobs,
  scrubTargets,
} from './tree/verify/scrub.js';
export { type Finding, type VerifiedTree, type VerifyOptions, verifyTree } from './tree/verify/verify.js';
export type { TreeConditions, TreeStats, UnreadableBlobStats } from './tree-stats.js';
