/**
 * What the request log has of a session's requests. It looks at one when it is answered, or handed to whoever answers it later: its
 * bytes are still there, and the directories that it names are where they were.
 */
import { constants } from 'node:os';
import { stopwatch } from '../../../engine/stopwatch.js';
import type { Place } from '../../filesystem/types.js';
import { Entry, NO_PATH } from '../../request-log/entry.js';
import { Lane, type RequestLogMemory } from '../../request-log/memory.js';
import { monotonic } from '../../requests/request-failures.js';
import {
  CopyFileRangeIn,
  CreateIn,
  LinkIn,
  MkdirIn,
  MknodIn,
  Opcode,
  Rename2In,
  RenameIn,
} from '../protocol/protocol.js';
import type { Reply } from '../protocol/reply.js';
import type { Request } from '../protocol/request.js';
import { ReusableBytes } from '../protocol/reusable-bytes.js';
import type { NodeTable } from './node-table.js';
import type { ServedFileSystem } from './served-filesystem.js';
import { isSnapshotNode, type SnapshotNodes } from './snapshot-nodes.js';

const { ENOENT } = constants.errno;

const SLASH = 0x2f;

/** By opcode: where the name begins in the request that follows the path of its node. Others are about the node itself. */
const NAME_AT: readonly (number | undefined)[] = byOpcode({
  LOOKUP: 0,
  MKNOD: MknodIn.SIZE,
  MKDIR: MkdirIn.SIZE,
  SYMLINK: 0,
  UNLINK: 0,
  RMDIR: 0,
  RENAME: RenameIn.SIZE,
  RENAME2: Rename2In.SIZE,
  LINK: LinkIn.SIZE,
  CREATE: CreateIn.SIZE,
});

/** By opcode: where the request has its second node. */
const OTHER_NODE_AT: readonly (number | undefined)[] = byOpcode({
  RENAME: RenameIn.NEW_PARENT,
  RENAME2: Rename2In.NEW_PARENT,
  LINK: LinkIn.NODEID,
  COPY_FILE_RANGE: CopyFileRangeIn.TO_NODEID,
});

/** Operations by opcode, as people know them; rename2 is a rename with flags. */
export const OPERATION_NAMES: readonly (string | undefined)[] = byOpcode(
  Object.fromEntries(
    Object.keys(Opcode).map((name) => [name, name === 'RENAME2' ? 'rename' : name.toLowerCase()]),
  ),
);

function byOpcode<T>(values: Partial<Record<string, T>>): (T | undefined)[] {
  const table: (T | undefined)[] = [];
  for (const [name, opcode] of Object.entries(Opcode)) table[opcode] = values[name];
  return table;
}

/** What it looks at of the session that it is part of. */
export interface LoggedSession {
  readonly request: Request;
  readonly reply: Reply;
  readonly nodes: NodeTable;
  readonly snapshotNodes: SnapshotNodes;
  readonly fileSystem: Pick<ServedFileSystem, 'past'>;
  /** The place of the request's other node, as the operation found it; undefined: it did not look. */
  readonly other: Place | undefined;
}

export class SessionLog {
  readonly #session: LoggedSession;
  /** Undefined: there is no log. */
  readonly #memory: RequestLogMemory | undefined;
  readonly #entry = new Entry();
  readonly #place = new ReusableBytes(4096);
  readonly #name = new ReusableBytes(256);

  constructor(session: LoggedSession, memory: RequestLogMemory | undefined) {
    this.#session = session;
    this.#memory = memory;
  }

  /** The request is answered by this thread, with a negative errno or not, and the stopwatch has its time. */
  answered(result: number): void {
    if (this.#memory?.wants(stopwatch.elapsed * 1000) !== true) return;
    const entry = this.describe();
    entry.result = result < 0 ? -result : this.#isAbsence() ? ENOENT : 0;
    entry.setTimes(stopwatch.times, monotonic());
    this.#memory.write(Lane.SESSION, entry);
  }

  /** Whether the reply tells that there is no such name, which the kernel may remember: that is no error to it, but to the client. */
  #isAbsence(): boolean {
    const { request, reply } = this.#session;
    return request.opcode === Opcode.LOOKUP && reply.entryNode === 0;
  }

  /** The request as the log has it, but for its times and its result; valid until the next call. */
  describe(): Entry {
    const { request } = this.#session;
    const entry = this.#entry;
    entry.operation = request.opcode;
    entry.uid = request.uid;
    entry.pid = request.pid;
    entry.ino = request.node;
    try {
      this.#describePaths(entry);
    } catch {
      // Of a request that failed because the path cannot be told.
      entry.pathLength = NO_PATH;
      entry.toLength = NO_PATH;
    }
    return entry;
  }

  #describePaths(entry: Entry): void {
    const { request } = this.#session;
    const { opcode, node } = request;
    const otherAt = OTHER_NODE_AT[opcode];
    const nameAt = NAME_AT[opcode];
    if (nameAt !== undefined) request.skip(nameAt);
    entry.toLength = NO_PATH;
    if (opcode === Opcode.LINK) {
      entry.pathLength = this.#putLinked(entry.path);
      entry.toLength = this.#putName(entry.to, this.#putNode(entry.to, node));
      return;
    }
    entry.pathLength = this.#putNode(entry.path, node);
    if (nameAt !== undefined) entry.pathLength = this.#putName(entry.path, entry.pathLength);
    if (otherAt === undefined) return;
    entry.toLength = this.#putNode(entry.to, request.u64(otherAt));
    if (nameAt !== undefined) entry.toLength = this.#putName(entry.to, entry.toLength);
  }

  /** What LINK gave another name: by the name that it had before. */
  #putLinked(into: Uint8Array): number {
    const { other } = this.#session;
    return typeof other === 'object' ? append(into, 0, other) : NO_PATH;
  }

  /** Puts the node's path. Returns its length, or NO_PATH. */
  #putNode(into: Uint8Array, node: number): number {
    if (isSnapshotNode(node)) return this.#putPast(into, node);
    const place = this.#session.nodes.place(node, this.#place);
    return typeof place === 'object' ? append(into, 0, place) : NO_PATH;
  }

  #putPast(into: Uint8Array, node: number): number {
    const { fileSystem, snapshotNodes } = this.#session;
    const where = snapshotNodes.whereabouts(node, this.#name);
    const name = fileSystem.past?.name;
    if (where === undefined || name === undefined) return NO_PATH;
    const home = this.#putNode(into, where.home);
    if (home === NO_PATH) return NO_PATH;
    const directory = appendName(into, home, name);
    if (where.snapshot === 0) return directory;
    const snapshot = fileSystem.past?.nameOf(where.snapshot);
    if (snapshot === undefined) return NO_PATH;
    return append(into, appendName(into, directory, Buffer.from(snapshot)), where.below);
  }

  /** Appends the name under the request's cursor, if it has one there. */
  #putName(into: Uint8Array, length: number): number {
    const name = this.#session.request.string(this.#name);
    return length === NO_PATH || name === undefined ? length : appendName(into, length, name);
  }
}

function appendName(into: Uint8Array, length: number, name: Uint8Array): number {
  if (length < into.length) into[length] = SLASH;
  return append(into, length + 1, name);
}

/** Appends as much as there is room for. Returns the whole length. */
function append(into: Uint8Array, length: number, bytes: Uint8Array): number {
  const fits = Math.min(bytes.length, into.length - length);
  for (let i = 0; i < fits; i++) into[length + i] = bytes[i]!;
  return length + bytes.length;
}
