/** Operations on open directories. */

import { constants } from 'node:os';
import { LISTED_CHANGED } from '../../../filesystem/types.js';
import { FsyncIn, OpenFlag, OpenOut, ReadIn, ReleaseIn } from '../../protocol/protocol.js';
import { NO_REPLY } from '../../protocol/reply.js';
import type { Session } from '../session.js';

const { EBADF, ESTALE } = constants.errno;
/** Less than an entry takes: the kernel finds none in it, which ends the listing. */
const LESS_THAN_ENTRY = 8;

export function opendir(session: Session): number {
  const place = session.place();
  if (place === undefined) return -ESTALE;
  const handle = session.fileSystem.opendir(place);
  if (handle < 0) return handle;
  session.tables.request.opened(handle);
  session.tables.directories.add(handle, session.request.node, session.fileSystem.directoryVersion(handle));
  session.reply.u64(OpenOut.HANDLE, handle);
  // All changes pass through the kernel, which drops a listing that it kept when the directory changes. But names that it
  // may not keep it may not list by itself either.
  const keeps = session.entryTimeout.isNone ? 0 : OpenFlag.KEEP_CACHE | OpenFlag.CACHE_DIR;
  session.reply.u64(OpenOut.OPEN_FLAGS, keeps);
  return OpenOut.SIZE;
}

export function readdir(session: Session): number {
  return list(session, false);
}

export function readdirplus(session: Session): number {
  const { request, nodes, fileSystem } = session;
  // What is listed is entered in the node table under this directory: it must be the handle's, or nodes would get names that
  // they do not have, down to a directory within itself.
  if (!nodes.has(request.node)) return -ESTALE;
  return fileSystem.directoryOf(request.u64(ReadIn.HANDLE)) === request.node ? list(session, true) : -EBADF;
}

function list(session: Session, withAttributes: boolean): number {
  const { request, listing, tables } = session;
  listing.begin(request.u32(ReadIn.LENGTH));
  const result = session.fileSystem.readdir(
    request.u64(ReadIn.HANDLE),
    request.u64(ReadIn.POSITION),
    withAttributes,
    withAttributes ? listing.full : listing.plain,
  );
  // An error after the first entry must not lose what the kernel now holds.
  if (result < 0 && listing.used === 0) return result;
  if (listing.used > 0) {
    tables.directories.listed(
      request.u64(ReadIn.HANDLE),
      request.u64(ReadIn.POSITION),
      listing.lastName,
      listing.lastOffset,
    );
  }
  if (result !== LISTED_CHANGED) return listing.used;
  // An empty reply has the kernel keep the listing that ends here for all handles. Offsets of others, or older ones of
  // this, may not be in it; and where it fills its last page exactly the kernel takes such an offset for the end, instead
  // of asking us. So we end it in another way, and it is not kept.
  session.reply.clear(LESS_THAN_ENTRY);
  return Math.min(LESS_THAN_ENTRY, request.u32(ReadIn.LENGTH));
}

export function fsyncdir(session: Session): number {
  const { request, fileSystem, services } = session;
  if (services.sync(undefined)) return NO_REPLY;
  return fileSystem.fsyncdir(request.u64(FsyncIn.HANDLE));
}

export function releasedir(session: Session): number {
  const handle = session.request.u64(ReleaseIn.HANDLE);
  const error = session.fileSystem.releasedir(handle);
  if (error === 0) session.tables.directories.remove(handle);
  return error;
}
