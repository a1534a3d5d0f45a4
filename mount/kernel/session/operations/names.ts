/** Operations on directory entries: looking up, making, linking, moving, removing; and forgetting. */

import { constants } from 'node:os';
import { RENAME_EXCHANGE } from '../../../filesystem/types.js';
import {
  BatchForgetIn,
  EntryOut,
  ForgetIn,
  ForgetOne,
  LinkIn,
  MkdirIn,
  MknodIn,
  Rename2In,
  RenameIn,
} from '../../protocol/protocol.js';
import { NO_REPLY, Timeout } from '../../protocol/reply.js';
import type { Session } from '../session.js';
import { isSnapshotNode } from '../snapshot-nodes.js';
import { replyPastEntry, SNAPSHOT_DIRECTORY } from '../snapshot-replies.js';

const { EINVAL, ENOENT, ESTALE, EXDEV } = constants.errno;

/** Replies with the entry in `session.attributes`: the kernel holds it, once more, under this name. */
export function replyEntry(session: Session, parent: number, name: Uint8Array): number {
  const { attributes, reply } = session;
  session.nodes.lookedUp(parent, name, attributes.ino);
  reply.entry(0, attributes, session.entryTimeout, session.attributeTimeout(attributes));
  return EntryOut.SIZE;
}

export function lookup(session: Session): number {
  const { request } = session;
  const parent = session.place();
  if (parent === undefined) return -ESTALE;
  request.skip(0);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const error = session.fileSystem.lookup(parent, name, session.attributes);
  if (error === 0) return replyEntry(session, request.node, name);
  if (error !== -ENOENT) return error;
  const { past } = session.fileSystem;
  if (past?.isDirectoryName(name) === true) {
    past.directoryAttributes(request.node, session.attributes);
    const node = session.snapshotNodes.holdDirectory(request.node);
    return replyPastEntry(session, node, SNAPSHOT_DIRECTORY, session.entryTimeout, Timeout.NONE);
  }
  return replyAbsence(session);
}

/** Node 0 with a validity is an absence that the kernel may remember; an ENOENT is not. */
export function replyAbsence(session: Session): number {
  const { reply } = session;
  reply.clear(EntryOut.SIZE);
  reply.u64(EntryOut.ENTRY_VALID, session.negativeTimeout.seconds);
  reply.u32(EntryOut.ENTRY_VALID_NANOS, session.negativeTimeout.nanos);
  return EntryOut.SIZE;
}

export function mknod(session: Session): number {
  const { request } = session;
  const parent = session.place();
  if (parent === undefined) return -ESTALE;
  request.skip(MknodIn.SIZE);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const error = session.fileSystem.mknod(
    session.caller(request.u32(MknodIn.UMASK)),
    parent,
    name,
    request.u32(MknodIn.MODE),
    request.u32(MknodIn.RDEV),
    session.attributes,
  );
  return error < 0 ? error : replyEntry(session, request.node, name);
}

export function mkdir(session: Session): number {
  const { request } = session;
  const parent = session.place();
  if (parent === undefined) return -ESTALE;
  request.skip(MkdirIn.SIZE);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const caller = session.caller(request.u32(MkdirIn.UMASK));
  const error = session.fileSystem.mkdir(caller, parent, name, request.u32(MkdirIn.MODE), session.attributes);
  return error < 0 ? error : replyEntry(session, request.node, name);
}

export function symlink(session: Session): number {
  const { request } = session;
  const parent = session.place();
  if (parent === undefined) return -ESTALE;
  request.skip(0);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const target = request.string(session.secondName);
  if (target === undefined) return -EINVAL;
  const error = session.fileSystem.symlink(session.caller(), parent, name, target, session.attributes);
  return error < 0 ? error : replyEntry(session, request.node, name);
}

export function link(session: Session): number {
  const { request } = session;
  const node = request.u64(LinkIn.NODEID);
  if (isSnapshotNode(node)) return -EXDEV;
  const newParent = session.place();
  const target = session.otherPlace(node);
  if (newParent === undefined || target === undefined) return -ESTALE;
  request.skip(LinkIn.SIZE);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const error = session.fileSystem.link(session.caller(), target, newParent, name, session.attributes);
  return error < 0 ? error : replyEntry(session, request.node, name);
}

/** Lookups of the node that gets another name. */
export function lookupsBeforeLink({ nodes, request }: Session): number {
  return nodes.lookups(request.u64(LinkIn.NODEID));
}

export function unlink(session: Session): number {
  return remove(session, false);
}

export function rmdir(session: Session): number {
  return remove(session, true);
}

function remove(session: Session, directory: boolean): number {
  const { request, fileSystem, removal } = session;
  const parent = session.place();
  if (parent === undefined) return -ESTALE;
  request.skip(0);
  const name = request.name(session.firstName);
  if (name === undefined) return -EINVAL;
  const caller = session.caller();
  const error = directory
    ? fileSystem.rmdir(caller, parent, name, removal)
    : fileSystem.unlink(caller, parent, name, removal);
  if (error < 0) return error;
  session.nodes.nameRemoved(request.node, name, removal.removedIno);
  return 0;
}

export function rename(session: Session): number {
  return move(session, session.request.u64(RenameIn.NEW_PARENT), 0, RenameIn.SIZE);
}

export function rename2(session: Session): number {
  const { request } = session;
  return move(session, request.u64(Rename2In.NEW_PARENT), request.u32(Rename2In.FLAGS), Rename2In.SIZE);
}

function move(session: Session, newParentNode: number, flags: number, structureSize: number): number {
  const { request, nodes, removal } = session;
  if (isSnapshotNode(newParentNode)) return -EXDEV;
  const oldParent = session.place();
  const newParent = session.otherPlace(newParentNode);
  if (oldParent === undefined || newParent === undefined) return -ESTALE;
  request.skip(structureSize);
  const oldName = request.name(session.firstName);
  if (oldName === undefined) return -EINVAL;
  const newName = request.name(session.secondName);
  if (newName === undefined) return -EINVAL;
  const error = session.fileSystem.rename(
    session.caller(),
    oldParent,
    oldName,
    newParent,
    newName,
    flags,
    removal,
  );
  if (error < 0) return error;
  if ((flags & RENAME_EXCHANGE) !== 0) {
    const found = session.fileSystem.lookup(oldParent, oldName, session.attributes);
    if (found === 0) nodes.nameMoved(newParentNode, newName, request.node, oldName, session.attributes.ino);
  } else {
    // What was at the new name gives it up first.
    nodes.nameRemoved(newParentNode, newName, removal.removedIno);
  }
  nodes.nameMoved(request.node, oldName, newParentNode, newName, removal.movedIno);
  return 0;
}

export function forget(session: Session): number {
  const { request } = session;
  forgetNode(session, request.node, request.u64(ForgetIn.LOOKUPS));
  return NO_REPLY;
}

export function batchForget(session: Session): number {
  const { request } = session;
  const rows = Math.floor((request.argumentLength - BatchForgetIn.SIZE) / ForgetOne.SIZE);
  const count = Math.min(request.u32(BatchForgetIn.COUNT), rows);
  let failure: unknown;
  for (let i = 0; i < count; i++) {
    const row = BatchForgetIn.SIZE + i * ForgetOne.SIZE;
    try {
      forgetNode(session, request.u64(row + ForgetOne.NODEID), request.u64(row + ForgetOne.LOOKUPS));
    } catch (error) {
      // The kernel does not say the others again.
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return NO_REPLY;
}

function forgetNode(session: Session, node: number, count: number): void {
  if (isSnapshotNode(node)) session.snapshotNodes.forget(node, count);
  else if (session.nodes.forget(node, count)) session.fileSystem.forget(node);
}
