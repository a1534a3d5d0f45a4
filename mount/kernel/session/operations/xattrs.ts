/** Operations on extended attributes. A size of 0 asks how long the answer would be. */

import { constants } from 'node:os';
import { isAccessListName } from '../../../filesystem/records/acl.js';
import { isOwnAttribute } from '../../../filesystem/records/own-names.js';
import {
  GetxattrIn,
  GetxattrOut,
  Opcode,
  SETXATTR_ACL_KILL_SGID,
  SetxattrIn,
} from '../../protocol/protocol.js';
import { Reply } from '../../protocol/reply.js';
import type { Session } from '../session.js';

const { EINVAL, ERANGE, ESTALE } = constants.errno;

export function setxattr(session: Session): number {
  const { request } = session;
  const place = session.place();
  if (place === undefined) return -ESTALE;
  const extended = session.extendsSetxattr;
  request.skip(valueStructureSize(session));
  const name = request.string(session.firstName);
  const length = request.u32(SetxattrIn.LENGTH);
  const start = name === undefined ? -1 : request.data(length);
  if (name === undefined || start === -1) return -EINVAL;
  const value = request.bytes.subarray(start, start + length);
  if (isAccessListName(name)) {
    const killsSetgid = extended && (request.u32(SetxattrIn.SETXATTR_FLAGS) & SETXATTR_ACL_KILL_SGID) !== 0;
    return session.fileSystem.setAccessList(place, name, value, killsSetgid);
  }
  return session.fileSystem.setxattr(session.caller(), place, name, value, request.u32(SetxattrIn.FLAGS));
}

export function getxattr(session: Session): number {
  const { request } = session;
  const place = session.place();
  if (place === undefined) return -ESTALE;
  request.skip(GetxattrIn.SIZE);
  const name = request.string(session.firstName);
  if (name === undefined) return -EINVAL;
  return replyBytes(session, session.fileSystem.getxattr(place, name));
}

export function listxattr(session: Session): number {
  const place = session.place();
  if (place === undefined) return -ESTALE;
  return replyBytes(session, session.fileSystem.listxattr(session.caller(), place));
}

/** Replies with the answer, its length, or ERANGE, as the caller's buffer demands. */
export function replyBytes(session: Session, answer: Uint8Array | number): number {
  if (typeof answer === 'number') return answer;
  const { request, reply } = session;
  const room = request.u32(GetxattrIn.LENGTH);
  if (room === 0) {
    reply.clear(GetxattrOut.SIZE);
    reply.u32(GetxattrOut.LENGTH, answer.length);
    return GetxattrOut.SIZE;
  }
  if (answer.length > room) return -ERANGE;
  reply.bytes.set(answer, Reply.BODY);
  return answer.length;
}

/**
 * The value of the attribute of Spinney's own that the request sets or removes, which is a number; 0: there is none, or it is
 * about another.
 */
export function ownAttributeBefore(session: Session): number {
  const { request } = session;
  const place = session.place();
  if (place === undefined) return 0;
  request.skip(valueStructureSize(session));
  const name = request.string(session.firstName);
  if (name === undefined || !isOwnAttribute(name)) return 0;
  const value = session.fileSystem.getxattr(place, name);
  return typeof value === 'number' ? 0 : Number(Buffer.from(value).toString());
}

/** Bytes before the name of an attribute that is set or removed. */
export function valueStructureSize({ request, extendsSetxattr }: Session): number {
  if (request.opcode === Opcode.REMOVEXATTR) return 0;
  return extendsSetxattr ? SetxattrIn.SIZE : SetxattrIn.SHORT_SIZE;
}

export function removexattr(session: Session): number {
  const { request } = session;
  const place = session.place();
  if (place === undefined) return -ESTALE;
  request.skip(0);
  const name = request.string(session.firstName);
  if (name === undefined) return -EINVAL;
  return session.fileSystem.removexattr(session.caller(), place, name);
}
