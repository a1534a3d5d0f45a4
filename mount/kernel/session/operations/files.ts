/** Operations on open files. A file handle is the filesystem layer's, above 0. */
import { constants as fsConstants } from 'node:fs';
import { constants } from 'node:os';
import type { Place } from '../../../filesystem/types.js';
import {
  CopyFileRangeIn,
  CreateIn,
  EntryOut,
  FallocateIn,
  FsyncIn,
  LseekIn,
  LseekOut,
  OPEN_KILL_SUIDGID,
  OpenFlag,
  OpenIn,
  OpenOut,
  ReadIn,
  ReleaseIn,
  WRITE_KILL_SUIDGID,
  WriteIn,
  WriteOut,
} from '../../protocol/protocol.js';
import { NO_REPLY, Reply } from '../../protocol/reply.js';
import type { Session } from '../session.js';
import { killPrivileges } from './attributes.js';

const { EBADF, EFBIG, EINVAL, ESTALE } = constants.errno;

const O_ACCMODE = 3;
const O_RDWR = 2;
const { O_TRUNC } = fsConstants;
const SLASH = Buffer.from('/');

/**
 * Decides how the kernel gets at the contents, and writes fuse_open_out at `at`. Returns a negative errno, with the
 * handle released, or 1 where they are passed through, else 0: then all changes pass through the kernel's cache, so it may
 * keep it.
 */
function openOut(session: Session, at: number, ino: number, handle: number, flags: number): number {
  const backing = session.passthrough.opened(ino, handle, flags);
  if (backing < 0) {
    session.dropFile(handle);
    return backing;
  }
  session.tables.files.setWay(handle, backing);
  session.reply.u64(at + OpenOut.HANDLE, handle);
  const kept = session.keepsContents ? OpenFlag.KEEP_CACHE : 0;
  session.reply.u32(at + OpenOut.OPEN_FLAGS, backing > 0 ? OpenFlag.PASSTHROUGH : kept);
  session.reply.u32(at + OpenOut.BACKING_ID, backing);
  session.state.countOpenFile(1);
  session.state.setOpeningFails(false);
  return backing > 0 ? 1 : 0;
}

export function open(session: Session): number {
  const { request } = session;
  const place = session.place();
  if (place === undefined) return -ESTALE;
  const flags = request.u32(OpenIn.FLAGS);
  // The file may be passed through now that nobody has it open any more.
  while (session.work());
  const handle = session.fileSystem.open(session.caller(), place, flags);
  if (handle < 0) return handle;
  session.keepFile(handle, request.node, flags);
  if (request.u32(OpenIn.OPEN_FLAGS) & OPEN_KILL_SUIDGID) {
    const error = killPrivileges(session, place);
    if (error < 0) {
      session.dropFile(handle);
      return error;
    }
  }
  const passed = openOut(session, 0, request.node, handle, flags);
  if (passed < 0) return passed;
  // What is stored through a mapping of the backing file changes attributes that the kernel may have from before.
  if (passed === 1 && (flags & O_ACCMODE) === O_RDWR) session.services.invalidateAttributes(request.node);
  return OpenOut.SIZE;
}

export function create(session: Session): number {
  const { request, attributes } = session;
  const parent = session.place();
  if (parent === undefined) return -ESTALE;
  request.skip(CreateIn.SIZE);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const flags = request.u32(CreateIn.FLAGS);
  const handle = session.fileSystem.create(
    session.caller(request.u32(CreateIn.UMASK)),
    parent,
    name,
    request.u32(CreateIn.MODE),
    flags,
    session.passthrough.passesNew(flags),
    attributes,
  );
  if (handle < 0) return handle;
  const failed = createdOut(session, handle);
  if (failed < 0) {
    // The kernel does not learn of the file, so there must be none.
    session.fileSystem.unlink(session.caller(), parent, name, session.removal);
    session.fileSystem.forget(attributes.ino);
    return failed;
  }
  session.nodes.lookedUp(request.node, name, attributes.ino);
  return EntryOut.SIZE + OpenOut.SIZE;
}

/** Opens for the request the file that it has made, which `session.attributes` tell of, as `createdOut`. */
export function openAgain(session: Session, parent: Place, name: Uint8Array): number {
  const path = Buffer.concat([parent as Uint8Array, SLASH, name]);
  // It is new: there is nothing to be truncated.
  const flags = session.request.u32(CreateIn.FLAGS) & ~O_TRUNC;
  const handle = session.fileSystem.open(session.caller(), path, flags);
  return handle < 0 ? handle : createdOut(session, handle);
}

/** As `create`, for a file without a name; the one in the request is nothing. */
export function tmpfile(session: Session): number {
  const { request, attributes } = session;
  const parent = session.place();
  if (parent === undefined) return -ESTALE;
  const handle = session.fileSystem.createNameless(
    session.caller(request.u32(CreateIn.UMASK)),
    parent,
    request.u32(CreateIn.MODE),
    request.u32(CreateIn.FLAGS),
    attributes,
  );
  if (handle < 0) return handle;
  const failed = createdOut(session, handle);
  if (failed < 0) {
    session.fileSystem.forget(attributes.ino);
    return failed;
  }
  session.nodes.heldNameless(attributes.ino);
  return EntryOut.SIZE + OpenOut.SIZE;
}

/** Replies to CREATE and TMPFILE with the new file in `session.attributes`; returns 0 or a negative errno. */
function createdOut(session: Session, handle: number): number {
  const { attributes, reply, request } = session;
  const flags = request.u32(CreateIn.FLAGS);
  session.keepFile(handle, attributes.ino, flags);
  const passed = openOut(session, EntryOut.SIZE, attributes.ino, handle, flags);
  if (passed < 0) return passed;
  if (passed === 1 && (flags & O_ACCMODE) === O_RDWR) attributes.changesUnseen = true;
  reply.entry(0, attributes, session.entryTimeout, session.attributeTimeout(attributes));
  return 0;
}

export function read(session: Session): number {
  const { request, reply } = session;
  const length = Math.min(request.u32(ReadIn.LENGTH), reply.capacity);
  const handle = request.u64(ReadIn.HANDLE);
  const position = request.u64(ReadIn.POSITION);
  // Nothing is beyond what a write may reach.
  if (!Number.isSafeInteger(position + length)) return 0;
  const result = session.fileSystem.read(handle, reply.bytes, Reply.BODY, length, position);
  if (result > 0) session.state.countRead(result);
  return result;
}

export function write(session: Session): number {
  const { request, reply } = session;
  request.skip(WriteIn.SIZE);
  const length = request.u32(WriteIn.LENGTH);
  const position = request.u64(WriteIn.POSITION);
  const start = request.data(length);
  if (start === -1) return -EINVAL;
  if (!Number.isSafeInteger(position + length)) return -EFBIG;
  if (request.u32(WriteIn.WRITE_FLAGS) & WRITE_KILL_SUIDGID) {
    const place = session.place();
    if (place === undefined) return -ESTALE;
    const error = killPrivileges(session, place);
    if (error < 0) return error;
  }
  const handle = request.u64(WriteIn.HANDLE);
  const written = session.fileSystem.write(handle, request.bytes, start, length, position);
  if (written < 0) return written;
  session.state.countWritten(written);
  reply.u64(WriteOut.LENGTH, written);
  return WriteOut.SIZE;
}

export function lseek(session: Session): number {
  const { request, reply } = session;
  const position = session.fileSystem.lseek(
    request.u64(LseekIn.HANDLE),
    request.s64(LseekIn.POSITION),
    request.u32(LseekIn.WHENCE),
  );
  if (position < 0) return position;
  reply.u64(LseekOut.POSITION, position);
  return LseekOut.SIZE;
}

export function fallocate(session: Session): number {
  const { request } = session;
  const position = request.u64(FallocateIn.POSITION);
  const length = request.u64(FallocateIn.LENGTH);
  if (!Number.isSafeInteger(position + length)) return -EFBIG;
  const mode = request.u32(FallocateIn.MODE);
  return session.fileSystem.fallocate(request.u64(FallocateIn.HANDLE), mode, position, length);
}

export function copyFileRange(session: Session): number {
  const { request, reply } = session;
  const from = request.u64(CopyFileRangeIn.FROM_POSITION);
  const to = request.u64(CopyFileRangeIn.TO_POSITION);
  const length = request.u64(CopyFileRangeIn.LENGTH);
  // The length needs no look: only a part of it is copied at a time.
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return -EFBIG;
  const source = request.u64(CopyFileRangeIn.FROM_HANDLE);
  const target = request.u64(CopyFileRangeIn.TO_HANDLE);
  const copied = session.fileSystem.copyRange(source, from, target, to, length);
  if (copied < 0) return copied;
  reply.u64(WriteOut.LENGTH, copied);
  return WriteOut.SIZE;
}

export function fsync(session: Session): number {
  const { request, fileSystem, services } = session;
  const handle = request.u64(FsyncIn.HANDLE);
  const plan = fileSystem.fsyncPlan(handle);
  if (plan !== undefined && services.sync(plan)) return NO_REPLY;
  const error = fileSystem.fsync(handle);
  if (error < 0 && error !== -EBADF) session.state.syncFailed();
  return error;
}

export function release(session: Session): number {
  return session.putOffRelease(session.request.u64(ReleaseIn.HANDLE)) ? 0 : -EBADF;
}
