/**
 * All operations on the nodes of snapshots, by opcode: snapshot directories, and what is below them. The kernel may keep what is in
 * a snapshot, which does not change, as long as it likes; but whether there is a snapshot of a name it has to ask each time.
 */
import { constants } from 'node:os';
import type { PastPlace } from '../../../filesystem/past/past-place.js';
import type { SnapshotDirectories } from '../../../filesystem/past/snapshot-directories.js';
import {
  CopyFileRangeIn,
  CreateIn,
  FallocateIn,
  FsyncIn,
  GetattrIn,
  GetxattrIn,
  LinkIn,
  LseekIn,
  LseekOut,
  MkdirIn,
  MknodIn,
  Opcode,
  OpenFlag,
  OpenIn,
  OpenOut,
  ReadIn,
  ReleaseIn,
  Rename2In,
  RenameIn,
  SetattrIn,
  SetxattrIn,
  StatxIn,
  WriteIn,
} from '../../protocol/protocol.js';
import { Reply, Timeout } from '../../protocol/reply.js';
import type { Session } from '../session.js';
import { isSnapshotNode } from '../snapshot-nodes.js';
import { replyPastAttributes, replyPastEntry, replyPastStatx } from '../snapshot-replies.js';
import { replyAbsence } from './names.js';
import { OPERATIONS, type Operation } from './table.js';
import { replyBytes } from './xattrs.js';

const { EINVAL, EISDIR, ENODATA, ENOENT, EROFS, ESTALE, EXDEV } = constants.errno;

const DIRECTORY_MODE = 0o040000;
const DOT = Uint8Array.of(0x2e);
const DOT_DOT = Uint8Array.of(0x2e, 0x2e);
/** Offsets in snapshot directories: after `.`, after `..`, then that and the snapshot's id. */
const AFTER_DOT = 1;
const AFTER_DOT_DOT = 2;
/** Of a snapshot directory, for which the filesystem layer keeps nothing. */
const NO_HANDLE = 0;

/** Sparse, by opcode. */
export const SNAPSHOT_OPERATIONS: (Operation | undefined)[] = [];

type Run = (session: Session, past: SnapshotDirectories) => number;

function serve(name: keyof typeof Opcode, minimum: number, run: Run): void {
  SNAPSHOT_OPERATIONS[Opcode[name]] = {
    name,
    minimum,
    replies: true,
    // What is refused here tells nothing about the state of the filesystem.
    changes: false,
    noted: 'nothing',
    run: (session) => {
      const { past } = session.fileSystem;
      // A process that was here before has told of nodes that this one does not know, and by a handle of its own meant
      // another's. Whoever gets this looks the name up again.
      const isKnown = session.snapshotNodes.has(session.request.node);
      return past === undefined || !isKnown ? -ESTALE : run(session, past);
    },
  };
}

const refuse: Run = () => -EROFS;

/** Where the request's node is in a snapshot; undefined: it is a snapshot directory, or nothing that the kernel holds. */
function placeOf(session: Session): PastPlace | undefined {
  return session.snapshotNodes.place(session.request.node, session.firstPath);
}

function homeOf(session: Session): number {
  return session.snapshotNodes.homeOf(session.request.node);
}

/** Replies with a directory as a snapshot has it, below a snapshot directory. */
function replyRoot(session: Session, past: SnapshotDirectories, place: PastPlace | number): number {
  if (typeof place === 'number') return place;
  const { attributes, request } = session;
  const error = past.getattr(place, attributes);
  if (error < 0) return error;
  const node = session.snapshotNodes.holdRoot(request.node, place);
  return replyPastEntry(session, node, place.snapshot, Timeout.NONE, session.attributeTimeout(attributes));
}

function lookup(session: Session, past: SnapshotDirectories): number {
  const { attributes, request } = session;
  request.skip(0);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const home = homeOf(session);
  if (home !== 0) return replyRoot(session, past, past.find(home, name));
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  const error = past.lookup(place, name, attributes);
  if (error === -ENOENT) return replyAbsence(session);
  if (error < 0) return error;
  const { entryTimeout, snapshotNodes } = session;
  const node = snapshotNodes.hold(request.node, name);
  return replyPastEntry(session, node, place.snapshot, entryTimeout, session.attributeTimeout(attributes));
}

function mkdir(session: Session, past: SnapshotDirectories): number {
  const home = homeOf(session);
  if (home === 0) return -EROFS;
  const { request } = session;
  request.skip(MkdirIn.SIZE);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  return replyRoot(session, past, past.make(session.caller(), home, name));
}

function rmdir(session: Session, past: SnapshotDirectories): number {
  const home = homeOf(session);
  if (home === 0) return -EROFS;
  const { request } = session;
  request.skip(0);
  const name = request.name(session.firstName);
  return name === undefined ? -EINVAL : past.remove(session.caller(), home, name);
}

/** What links or moves from the live tree into a snapshot, or back. */
function link({ request }: Session): number {
  return isSnapshotNode(request.u64(LinkIn.NODEID)) ? -EROFS : -EXDEV;
}

function rename({ request }: Session): number {
  return isSnapshotNode(request.u64(RenameIn.NEW_PARENT)) ? -EROFS : -EXDEV;
}

/** Fills `session.attributes` with those of the request's node. Returns its snapshot's id, 0 for a snapshot directory, or an errno. */
function getAttributes(session: Session, past: SnapshotDirectories): number {
  const home = homeOf(session);
  if (home !== 0) return past.directoryAttributes(home, session.attributes);
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  const error = past.getattr(place, session.attributes);
  return error < 0 ? error : place.snapshot;
}

function getattr(session: Session, past: SnapshotDirectories): number {
  const snapshot = getAttributes(session, past);
  if (snapshot < 0) return snapshot;
  return replyPastAttributes(session, snapshot, timeoutOf(session, snapshot));
}

function statx(session: Session, past: SnapshotDirectories): number {
  const snapshot = getAttributes(session, past);
  if (snapshot < 0) return snapshot;
  return replyPastStatx(session, snapshot, timeoutOf(session, snapshot));
}

/** A snapshot directory changes without a request for it. */
function timeoutOf(session: Session, snapshot: number): Timeout {
  return snapshot === 0 ? Timeout.NONE : session.attributeTimeout(session.attributes);
}

function readlink(session: Session, past: SnapshotDirectories): number {
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  const target = past.readlink(place);
  if (typeof target === 'number') return target;
  session.reply.bytes.set(target, Reply.BODY);
  return target.length;
}

function getxattr(session: Session, past: SnapshotDirectories): number {
  if (homeOf(session) !== 0) return -ENODATA;
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  session.request.skip(GetxattrIn.SIZE);
  const name = session.request.string(session.firstName);
  return name === undefined ? -EINVAL : replyBytes(session, past.getxattr(place, name));
}

function listxattr(session: Session, past: SnapshotDirectories): number {
  if (homeOf(session) !== 0) return replyBytes(session, new Uint8Array(0));
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  return replyBytes(session, past.listxattr(session.caller(), place));
}

function open(session: Session, past: SnapshotDirectories): number {
  const { reply, request } = session;
  if (homeOf(session) !== 0) return -EISDIR;
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  const flags = request.u32(OpenIn.FLAGS);
  const handle = past.open(place, flags);
  if (handle < 0) return handle;
  const backing = session.pastPassthrough.opened(request.node, handle, flags);
  if (backing < 0) {
    past.release(handle);
    return backing;
  }
  reply.u64(OpenOut.HANDLE, handle);
  reply.u32(OpenOut.OPEN_FLAGS, backing > 0 ? OpenFlag.PASSTHROUGH : OpenFlag.KEEP_CACHE);
  reply.u32(OpenOut.BACKING_ID, backing);
  session.state.countOpenFile(1);
  return OpenOut.SIZE;
}

function read(session: Session, past: SnapshotDirectories): number {
  const { request, reply } = session;
  const length = Math.min(request.u32(ReadIn.LENGTH), reply.capacity);
  const position = request.u64(ReadIn.POSITION);
  if (!Number.isSafeInteger(position + length)) return 0;
  const result = past.read(request.u64(ReadIn.HANDLE), reply.bytes, Reply.BODY, length, position);
  if (result > 0) session.state.countRead(result);
  return result;
}

function lseek(session: Session, past: SnapshotDirectories): number {
  const { request, reply } = session;
  const handle = request.u64(LseekIn.HANDLE);
  const position = past.lseek(handle, request.s64(LseekIn.POSITION), request.u32(LseekIn.WHENCE));
  if (position < 0) return position;
  reply.u64(LseekOut.POSITION, position);
  return LseekOut.SIZE;
}

function release(session: Session, past: SnapshotDirectories): number {
  const { request } = session;
  const released = past.release(request.u64(ReleaseIn.HANDLE));
  if (released < 0) return released;
  session.pastPassthrough.released(request.node);
  session.state.countOpenFile(-1);
  return 0;
}

function opendir(session: Session, past: SnapshotDirectories): number {
  const { reply } = session;
  if (homeOf(session) !== 0) {
    reply.u64(OpenOut.HANDLE, NO_HANDLE);
    reply.u64(OpenOut.OPEN_FLAGS, 0);
    return OpenOut.SIZE;
  }
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  const handle = past.opendir(place);
  if (handle < 0) return handle;
  reply.u64(OpenOut.HANDLE, handle);
  reply.u64(OpenOut.OPEN_FLAGS, session.entryTimeout.isNone ? 0 : OpenFlag.KEEP_CACHE | OpenFlag.CACHE_DIR);
  return OpenOut.SIZE;
}

function list(session: Session, past: SnapshotDirectories, isPlus: boolean): number {
  const { attributes, pastListing, request } = session;
  const home = homeOf(session);
  if (home !== 0) return listSnapshots(session, past, home, isPlus);
  const place = placeOf(session);
  if (place === undefined) return -ESTALE;
  pastListing.begin(request.u32(ReadIn.LENGTH), place.snapshot);
  const result = past.readdir(
    request.u64(ReadIn.HANDLE),
    request.u64(ReadIn.POSITION),
    isPlus,
    attributes,
    isPlus ? pastListing.full : pastListing.plain,
  );
  // An error after the first entry must not lose what the kernel now holds.
  return result < 0 && pastListing.used === 0 ? result : pastListing.used;
}

/** `.` and `..`, then the snapshots that have the directory. */
function listSnapshots(session: Session, past: SnapshotDirectories, home: number, isPlus: boolean): number {
  const { pastListing, request } = session;
  const position = request.u64(ReadIn.POSITION);
  pastListing.begin(request.u32(ReadIn.LENGTH), 0);
  const give = (name: Uint8Array, next: number, snapshot: number): boolean =>
    pastListing.root(name, next, home, snapshot, DIRECTORY_MODE, isPlus);
  if (position < AFTER_DOT && !give(DOT, AFTER_DOT, 0)) return pastListing.used;
  if (position < AFTER_DOT_DOT && !give(DOT_DOT, AFTER_DOT_DOT, 0)) return pastListing.used;
  for (const { id, name } of past.names(home, position - AFTER_DOT_DOT)) {
    if (!give(Buffer.from(name), id + AFTER_DOT_DOT, id)) break;
  }
  return pastListing.used;
}

function releasedir(session: Session, past: SnapshotDirectories): number {
  const handle = session.request.u64(ReleaseIn.HANDLE);
  return handle === NO_HANDLE ? 0 : past.releasedir(handle);
}

serve('LOOKUP', 0, lookup);
serve('MKDIR', MkdirIn.SIZE, mkdir);
serve('RMDIR', 0, rmdir);
serve('LINK', LinkIn.SIZE, link);
serve('RENAME', RenameIn.SIZE, rename);
serve('RENAME2', Rename2In.SIZE, rename);
// The kernel copies by reading and writing then.
serve('COPY_FILE_RANGE', CopyFileRangeIn.SIZE, () => -EXDEV);

serve('GETATTR', GetattrIn.SIZE, getattr);
serve('STATX', StatxIn.SIZE, statx);
serve('READLINK', 0, readlink);
serve('GETXATTR', GetxattrIn.SIZE, getxattr);
serve('LISTXATTR', GetxattrIn.SIZE, listxattr);

serve('OPEN', OpenIn.SIZE, open);
serve('READ', ReadIn.SIZE, read);
serve('LSEEK', LseekIn.SIZE, lseek);
serve('FSYNC', FsyncIn.SIZE, () => 0);
serve('RELEASE', ReleaseIn.SIZE, release);
serve('OPENDIR', OpenIn.SIZE, opendir);
serve('READDIR', ReadIn.SIZE, (session, past) => list(session, past, false));
serve('READDIRPLUS', ReadIn.SIZE, (session, past) => list(session, past, true));
serve('FSYNCDIR', FsyncIn.SIZE, () => 0);
serve('RELEASEDIR', ReleaseIn.SIZE, releasedir);

serve('MKNOD', MknodIn.SIZE, refuse);
serve('SYMLINK', 0, refuse);
serve('CREATE', CreateIn.SIZE, refuse);
serve('TMPFILE', CreateIn.SIZE, refuse);
serve('UNLINK', 0, refuse);
serve('SETATTR', SetattrIn.SIZE, refuse);
serve('SETXATTR', SetxattrIn.SHORT_SIZE, refuse);
serve('REMOVEXATTR', 0, refuse);
serve('WRITE', WriteIn.SIZE, refuse);
serve('FALLOCATE', FallocateIn.SIZE, refuse);

// These are about a node of any kind, or none.
for (const opcode of [Opcode.STATFS, Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT] as const) {
  SNAPSHOT_OPERATIONS[opcode] = OPERATIONS[opcode];
}
