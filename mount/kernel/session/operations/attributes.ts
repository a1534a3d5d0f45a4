/** Operations on attributes and link targets. */
import { constants } from 'node:os';
import {
  CHANGE_ATIME,
  CHANGE_ATIME_NOW,
  CHANGE_CTIME,
  CHANGE_CTIME_NOW,
  CHANGE_GID,
  CHANGE_KILL_PRIVILEGES,
  CHANGE_MODE,
  CHANGE_MTIME,
  CHANGE_MTIME_NOW,
  CHANGE_SIZE,
  CHANGE_UID,
  type Place,
} from '../../../filesystem/types.js';
import { AttrOut, SetattrIn, SetattrValid, StatxOut } from '../../protocol/protocol.js';
import { Reply } from '../../protocol/reply.js';
import type { Session } from '../session.js';

const { ESTALE } = constants.errno;

export function getattr(session: Session): number {
  const place = session.place();
  return place === undefined ? -ESTALE : replyAttributes(session, place);
}

/** Replies with the attributes of what is at `place`. */
export function replyAttributes(session: Session, place: Place): number {
  const { attributes } = session;
  const error = session.fileSystem.getattr(place, attributes);
  if (error < 0) return error;
  session.reply.attrOut(attributes, session.attributeTimeout(attributes));
  return AttrOut.SIZE;
}

export function statx(session: Session): number {
  const { attributes } = session;
  const place = session.place();
  if (place === undefined) return -ESTALE;
  const error = session.fileSystem.getattr(place, attributes);
  if (error < 0) return error;
  session.reply.statxOut(attributes, session.attributeTimeout(attributes));
  return StatxOut.SIZE;
}

/** The kernel's bits of what is to change, as the filesystem layer's. */
function changeBits(valid: number): number {
  let bits = 0;
  if (valid & SetattrValid.MODE) bits |= CHANGE_MODE;
  if (valid & SetattrValid.UID) bits |= CHANGE_UID;
  if (valid & SetattrValid.GID) bits |= CHANGE_GID;
  if (valid & SetattrValid.SIZE) bits |= CHANGE_SIZE;
  if (valid & SetattrValid.ATIME_NOW) bits |= CHANGE_ATIME_NOW;
  else if (valid & SetattrValid.ATIME) bits |= CHANGE_ATIME;
  if (valid & SetattrValid.MTIME_NOW) bits |= CHANGE_MTIME_NOW;
  else if (valid & SetattrValid.MTIME) bits |= CHANGE_MTIME;
  if (valid & SetattrValid.CTIME) bits |= CHANGE_CTIME;
  if (valid & SetattrValid.KILL_SUIDGID) bits |= CHANGE_KILL_PRIVILEGES;
  // A change of nothing: with HANDLE_KILLPRIV_V2 one of the contents that the kernel makes past us, or a chown to the
  // owner that it has.
  return bits === 0 ? CHANGE_KILL_PRIVILEGES | CHANGE_CTIME_NOW : bits;
}

export function setattr(session: Session): number {
  const { request, change, attributes } = session;
  const place = session.place();
  if (place === undefined) return -ESTALE;
  const valid = request.u32(SetattrIn.VALID);
  change.valid = changeBits(valid);
  change.mode = request.u32(SetattrIn.MODE);
  change.uid = request.u32(SetattrIn.UID);
  change.gid = request.u32(SetattrIn.GID);
  change.size = request.u64(SetattrIn.SIZE_OF_FILE);
  change.atimeSeconds = request.s64(SetattrIn.ATIME);
  change.atimeNanos = request.u32(SetattrIn.ATIME_NANOS);
  change.mtimeSeconds = request.s64(SetattrIn.MTIME);
  change.mtimeNanos = request.u32(SetattrIn.MTIME_NANOS);
  change.ctimeSeconds = request.s64(SetattrIn.CTIME);
  change.ctimeNanos = request.u32(SetattrIn.CTIME_NANOS);
  change.handle = valid & SetattrValid.HANDLE ? request.u64(SetattrIn.HANDLE) : 0;
  // What nobody has open any more need not be copied for a snapshot that has it.
  if (valid & SetattrValid.SIZE) while (session.work());
  const error = session.fileSystem.setattr(session.caller(), place, change, attributes);
  if (error < 0) return error;
  session.reply.attrOut(attributes, session.attributeTimeout(attributes));
  return AttrOut.SIZE;
}

/** Takes suid, sgid and capabilities off a file that is about to be written, on the kernel's word. */
export function killPrivileges(session: Session, place: Place): number {
  session.change.valid = CHANGE_KILL_PRIVILEGES;
  session.change.handle = 0;
  return session.fileSystem.setattr(session.caller(), place, session.change, session.attributes);
}

export function readlink(session: Session): number {
  const place = session.place();
  if (place === undefined) return -ESTALE;
  const target = session.fileSystem.readlink(place);
  if (typeof target === 'number') return target;
  session.reply.bytes.set(target, Reply.BODY);
  return target.length;
}
