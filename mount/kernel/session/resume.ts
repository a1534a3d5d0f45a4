/**
 * Goes on with a session that another process served, and was killed over at any moment: what is in its tables, and the request
 * that was under way.
 *
 * The tree is as the killed process had it, for each batch is there or not. The tables may be behind it by the one request
 * that was under way; and may be ahead of what the kernel was told by its reply. So that request is brought to an end here,
 * before any other is served: where its batch was made, the tables are made to agree with the tree, and its reply is made
 * again, which it gets when the kernel sends it once more. Where it was not, all is as before it.
 */
import { constants } from 'node:os';
import type { Place } from '../../filesystem/types.js';
import {
  CreateIn,
  EntryOut,
  LinkIn,
  MkdirIn,
  MknodIn,
  Opcode,
  OpenOut,
  ReleaseIn,
  Rename2In,
  RenameIn,
  SetattrIn,
  SetattrValid,
} from '../protocol/protocol.js';
import { replyAttributes } from './operations/attributes.js';
import { openAgain } from './operations/files.js';
import { replyEntry } from './operations/names.js';
import { ownAttributeBefore, valueStructureSize } from './operations/xattrs.js';
import type { Session } from './session.js';

const { ENOENT } = constants.errno;

/** What was taken over. */
export interface Resumed {
  nodes: number;
  files: number;
  directories: number;
}

/** Takes a session over, in two steps: what the filesystem layer has to know for its start, and the rest after it. */
export class Resumption {
  readonly #session: Session;
  readonly #opened = new Set<number>();
  /** The request under way was made: as the tree tells before anything else is done. */
  readonly #isMade: boolean;

  /** @throws Error where the tables are damaged */
  constructor(session: Session) {
    this.#session = session;
    const { directories, init, request: note, files } = session.tables;
    if (note.problem !== undefined) throw new Error(note.problem);
    checkHandles('files', files);
    checkHandles('directories', directories);
    const { agreement } = init;
    if (agreement === undefined) throw new Error('the kernel and the daemon had not come to terms');
    session.agree(agreement);
    this.#isMade = note.isBegun && isMade(session);
    if (note.isBegun) rollBack(session);
    dropReleased(session);
    for (let handle = 1; handle < files.end; handle++) this.#opened.add(files.ino(handle));
  }

  /** Whether the kernel, or a client by a handle, holds the inode. */
  isHeld(ino: number): boolean {
    return this.#session.nodes.lookups(ino) > 0 || this.#opened.has(ino);
  }

  /**
   * To be called once the filesystem layer has started, and before anything is served.
   * @throws Error where too many daemons were killed one after another
   */
  finish(): Resumed {
    const session = this.#session;
    const { request, tables, nodes } = session;
    const note = tables.request;
    const { isBegun } = note;
    if (isBegun) {
      takeUp(session);
      reconcileNames(session);
    }
    this.#putBackOrphans();
    this.#putBackLeft();
    const files = putBackFiles(session);
    const directories = putBackDirectories(session);
    if (isBegun) {
      request.begin(note.request.length);
      settle(session, this.#isMade);
    }
    if (!note.setAside()) throw new Error('too many daemons were killed one after another');
    session.isResending = true;
    return { nodes: nodes.size, files, directories };
  }

  /** Those that have a name were never orphans, and those that nobody holds are so no more. */
  #putBackOrphans(): void {
    const { fileSystem, firstPath, nodes, tables } = this.#session;
    for (const [ino, record] of tables.orphans.records()) {
      const hasName = typeof nodes.place(ino, firstPath) === 'object';
      if (this.isHeld(ino) && !hasName) fileSystem.takingOver.orphan(ino, record);
      else tables.orphans.drop(ino);
    }
  }

  #putBackLeft(): void {
    const { fileSystem, firstPath, nodes, tables } = this.#session;
    for (const ino of tables.left.inos) {
      const place = nodes.place(ino, firstPath);
      // Whoever has it mapped has the kernel hold it.
      const isLeft = place !== undefined && fileSystem.takingOver.left(ino, place);
      if (!isLeft) tables.left.drop(ino);
    }
  }
}

/** @throws Error where a handle is of no inode */
function checkHandles(what: string, rows: { end: number; ino(handle: number): number }): void {
  for (let handle = 0; handle < rows.end; handle++) {
    const ino = rows.ino(handle);
    if (!Number.isSafeInteger(ino) || ino < 0)
      throw new Error(`the table of open ${what} is damaged at handle ${handle}`);
  }
}

/** Has the session look at the request that was noted. */
function takeUp({ request, tables }: Session): void {
  const noted = tables.request.request;
  request.bytes.set(noted);
  request.begin(noted.length);
}

/**
 * Files whose release is yet to be done, and which the kernel has forgotten since: nobody can tell where they are. Their
 * records stay live until somebody looks at them, as those of a daemon that nobody follows.
 */
function dropReleased(session: Session): void {
  const { files } = session.tables;
  for (let handle = 1; handle < files.end; handle++) {
    const ino = files.ino(handle);
    if (ino !== 0 && files.isReleased(handle) && !session.nodes.has(ino)) drop(session, handle);
  }
}

/** Makes the names that the request may have changed in the tree agree with it. */
function reconcileNames(session: Session): void {
  const { request } = session;
  const { node, opcode } = request;
  const structure = structureBeforeNames(opcode);
  if (structure === undefined) return;
  request.skip(structure);
  reconcile(session, node);
  if (opcode === Opcode.RENAME || opcode === Opcode.RENAME2) {
    reconcile(session, request.u64(RenameIn.NEW_PARENT));
  }
}

/** Bytes before the names of entries that such a request changes; undefined: it changes none. */
function structureBeforeNames(opcode: number): number | undefined {
  switch (opcode) {
    case Opcode.MKNOD:
      return MknodIn.SIZE;
    case Opcode.MKDIR:
      return MkdirIn.SIZE;
    case Opcode.CREATE:
      return CreateIn.SIZE;
    case Opcode.LINK:
      return LinkIn.SIZE;
    case Opcode.SYMLINK:
    case Opcode.UNLINK:
    case Opcode.RMDIR:
      return 0;
    case Opcode.RENAME:
      return RenameIn.SIZE;
    case Opcode.RENAME2:
      return Rename2In.SIZE;
    default:
      return undefined;
  }
}

/** The name under the request's cursor, in the directory `parent`. */
function reconcile({ fileSystem, firstName, firstPath, nodes, request }: Session, parent: number): void {
  const place = nodes.place(parent, firstPath);
  const name = request.name(firstName);
  if (place !== undefined && name !== undefined)
    nodes.reconcile(parent, name, fileSystem.facts.entryIno(place, name));
}

/** The handle that the request got nobody has been told of. */
function rollBack(session: Session): void {
  const { request, tables } = session;
  const { handle } = tables.request;
  if (handle === 0) return;
  if (request.opcode === Opcode.OPENDIR) tables.directories.remove(handle);
  else drop(session, handle);
}

/** Ends a file's handle that was not put back, and its backing file's registration if that is nobody else's. */
function drop({ passthrough, tables }: Session, handle: number): void {
  const { files } = tables;
  const [ino, backing] = [files.ino(handle), files.backing(handle)];
  files.remove(handle);
  if (ino === 0 || backing === 0) return;
  for (let other = 1; other < files.end; other++) {
    if (files.ino(other) === ino && files.backing(other) === backing) return;
  }
  passthrough.drop(backing);
}

function putBackFiles(session: Session): number {
  const { fileSystem, nodes, passthrough, services, state, tables } = session;
  const { files } = tables;
  let count = 0;
  for (let handle = 1; handle < files.end; handle++) {
    const ino = files.ino(handle);
    if (ino === 0) continue;
    const place: Place = nodes.place(ino, session.firstPath) ?? ino;
    const [flags, backing] = [files.flags(handle), files.backing(handle)];
    const error = fileSystem.takingOver.file({ handle, place, flags, isPassed: backing > 0 });
    if (error < 0) {
      services.log('error', `Cannot go on with an open file of inode ${ino}`, { errno: -error });
      continue;
    }
    count++;
    state.countOpenFile(1);
    if (files.hasWay(handle)) passthrough.putBack(ino, backing);
    if (files.isReleased(handle)) session.putOffRelease(handle);
  }
  return count;
}

function putBackDirectories(session: Session): number {
  const { fileSystem, nodes, services, tables } = session;
  const { directories } = tables;
  let count = 0;
  for (let handle = 1; handle < directories.end; handle++) {
    const ino = directories.ino(handle);
    if (ino === 0) continue;
    const place: Place = nodes.place(ino, session.firstPath) ?? ino;
    const version = directories.version(handle);
    const error = fileSystem.takingOver.directory({
      handle,
      place,
      version,
      listed: directories.places(handle),
    });
    if (error === 0) count++;
    else services.log('error', `Cannot go on with an open directory, inode ${ino}`, { errno: -error });
  }
  return count;
}

/** Whether the batch of the request under way is in the tree. */
function isMade(session: Session): boolean {
  takeUp(session);
  const { request } = session;
  const { facts } = session.fileSystem;
  const { lsn } = session.tables.request;
  const place = session.place();
  const { opcode } = request;
  if (place === undefined) return false;
  switch (opcode) {
    case Opcode.MKNOD:
    case Opcode.MKDIR:
    case Opcode.SYMLINK:
    case Opcode.CREATE:
    case Opcode.LINK: {
      request.skip(structureBeforeNames(opcode) ?? 0);
      const name = request.name(session.firstName);
      return name !== undefined && facts.entryVersion(place, name) > lsn;
    }
    case Opcode.UNLINK:
    case Opcode.RMDIR:
    case Opcode.RENAME:
    case Opcode.RENAME2:
      // All that have a batch change the directory that loses the name.
      return facts.version(place) > lsn;
    case Opcode.SETXATTR:
    case Opcode.REMOVEXATTR: {
      request.skip(valueStructureSize(session));
      const name = request.string(session.firstName);
      if (name === undefined) return false;
      return (opcode === Opcode.SETXATTR ? facts.xattrVersion(place, name) : facts.version(place)) > lsn;
    }
    case Opcode.SETATTR:
      // A size is set in several steps, of which any may come twice.
      return (request.u32(SetattrIn.VALID) & SetattrValid.SIZE) === 0 && facts.version(place) > lsn;
    default:
      return false;
  }
}

/** Brings the request that was under way to an end: with its reply, or as one that is still to be served. */
function settle(session: Session, isMade: boolean): void {
  const { request, reply, tables } = session;
  const result = endOf(session, isMade);
  if (result === undefined) {
    tables.request.clear();
    return;
  }
  const { uniqueLow, uniqueHigh } = request;
  const length = reply.finish(uniqueLow, uniqueHigh, Math.min(result, 0), Math.max(result, 0));
  tables.request.done(request, reply, length);
}

/** The length of the reply's body, or a negative errno; undefined: nothing was changed for the request. */
function endOf(session: Session, isMade: boolean): number | undefined {
  const { fileSystem, request, tables } = session;
  const place = session.place();
  switch (request.opcode) {
    case Opcode.RELEASE:
      // Where there is no such handle it was released to the end.
      session.putOffRelease(request.u64(ReleaseIn.HANDLE));
      return 0;
    case Opcode.RELEASEDIR: {
      const handle = request.u64(ReleaseIn.HANDLE);
      if (fileSystem.releasedir(handle) === 0) tables.directories.remove(handle);
      return 0;
    }
  }
  // Those that open get another handle.
  if (place === undefined || !(isMade || isOwnAttributeChanged(session))) return undefined;
  switch (request.opcode) {
    case Opcode.MKNOD:
    case Opcode.MKDIR:
    case Opcode.SYMLINK:
    case Opcode.CREATE:
    case Opcode.LINK:
      return replyMade(session, place);
    case Opcode.SETATTR:
      return replyAttributes(session, place);
    default:
      return 0;
  }
}

/** Spinney's own attributes have no versions. */
function isOwnAttributeChanged(session: Session): boolean {
  const { opcode } = session.request;
  if (opcode !== Opcode.SETXATTR && opcode !== Opcode.REMOVEXATTR) return false;
  return ownAttributeBefore(session) !== session.tables.request.before;
}

/** The reply of a request that made an entry. */
function replyMade(session: Session, parent: Place): number {
  const { attributes, fileSystem, nodes, request, tables } = session;
  request.skip(structureBeforeNames(request.opcode) ?? 0);
  const name = request.name(session.firstName);
  const error = name === undefined ? -ENOENT : fileSystem.lookup(parent, name, attributes);
  if (name === undefined || error < 0) return error;
  // It may have been counted.
  if (nodes.lookups(attributes.ino) > tables.request.before) nodes.forget(attributes.ino, 1);
  if (request.opcode !== Opcode.CREATE) return replyEntry(session, request.node, name);
  const failed = openAgain(session, parent, name);
  if (failed < 0) return failed;
  nodes.lookedUp(request.node, name, attributes.ino);
  return EntryOut.SIZE + OpenOut.SIZE;
}
