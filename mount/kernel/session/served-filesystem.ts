import type { SnapshotDirectories } from '../../filesystem/past/snapshot-directories.js';
import type {
  AttributeChange,
  Attributes,
  AwayAnswers,
  Caller,
  ContentName,
  DirectorySink,
  FileIdentity,
  FollowedAnswers,
  FsyncPlan,
  Place,
  RecordFacts,
  RemovalResult,
  SnapshotOperations,
  StatFs,
  TakingOver,
} from '../../filesystem/types.js';

/** What the session calls of the filesystem layer. */
export interface ServedFileSystem {
  /** Undefined for a filesystem without snapshots. */
  readonly past?: SnapshotDirectories | undefined;
  /** For whoever brings contents from a remote; missing: there is none. */
  readonly away?: AwayAnswers | undefined;
  /** For whoever plays what another machine has changed; missing: nobody does. */
  readonly followed?: FollowedAnswers | undefined;
  start(isHeld?: (ino: number) => boolean): void;
  readonly takingOver: TakingOver;
  readonly facts: RecordFacts;
  close(): void;
  lookup(parent: Place, name: Uint8Array, out: Attributes): number;
  getattr(place: Place, out: Attributes): number;
  setattr(caller: Caller, place: Place, change: AttributeChange, out: Attributes): number;
  readlink(place: Place): Uint8Array | number;
  mknod(caller: Caller, parent: Place, name: Uint8Array, mode: number, rdev: number, out: Attributes): number;
  mkdir(caller: Caller, parent: Place, name: Uint8Array, mode: number, out: Attributes): number;
  symlink(caller: Caller, parent: Place, name: Uint8Array, target: Uint8Array, out: Attributes): number;
  link(caller: Caller, place: Place, newParent: Place, newName: Uint8Array, out: Attributes): number;
  unlink(caller: Caller, parent: Place, name: Uint8Array, result: RemovalResult): number;
  rmdir(caller: Caller, parent: Place, name: Uint8Array, result: RemovalResult): number;
  rename(
    caller: Caller,
    oldParent: Place,
    oldName: Uint8Array,
    newParent: Place,
    newName: Uint8Array,
    flags: number,
    result: RemovalResult,
  ): number;
  open(caller: Caller, place: Place, flags: number): number;
  create(
    caller: Caller,
    parent: Place,
    name: Uint8Array,
    mode: number,
    flags: number,
    isPassed: boolean,
    out: Attributes,
  ): number;
  createNameless(caller: Caller, parent: Place, mode: number, flags: number, out: Attributes): number;
  read(handle: number, into: Uint8Array, offset: number, length: number, position: number): number;
  write(handle: number, from: Uint8Array, offset: number, length: number, position: number): number;
  pass(handle: number): number;
  backing(handle: number): number;
  flush(handle: number): number;
  release(handle: number): number;
  fileOf(handle: number): number;
  fsyncPlan(handle: number): FsyncPlan | undefined;
  fsynced(ino: number, born: number, identity: FileIdentity): void;
  fsync(handle: number): number;
  lseek(handle: number, position: number, whence: number): number;
  fallocate(handle: number, mode: number, offset: number, length: number): number;
  copyRange(from: number, fromOffset: number, to: number, toOffset: number, length: number): number;
  opendir(place: Place): number;
  directoryOf(handle: number): number;
  directoryVersion(handle: number): number;
  readdir(handle: number, offset: number, withAttributes: boolean, sink: DirectorySink): number;
  fsyncdir(handle: number): number;
  releasedir(handle: number): number;
  setxattr(caller: Caller, place: Place, name: Uint8Array, value: Uint8Array, flags: number): number;
  getxattr(place: Place, name: Uint8Array): Uint8Array | number;
  setAccessList(place: Place, name: Uint8Array, list: Uint8Array, killsSetgid: boolean): number;
  listxattr(caller: Caller, place: Place): Uint8Array | number;
  removexattr(caller: Caller, place: Place, name: Uint8Array): number;
  statfs(place: Place, out: StatFs): number;
  forget(ino: number): void;
  rest(): boolean;
  reclaimed(contents: readonly ContentName[]): void;
  readonly snapshots: SnapshotOperations;
}
