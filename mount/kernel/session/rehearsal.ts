/**
 * A program that was just started is interpreted, and takes two to five times as long for its first thousands of
 * requests. So when the mount answers and nobody asks it anything, the session serves requests of its own making, on a
 * small tree in memory, of which nothing is left afterwards: the code is compiled by then. It goes on in parts, between
 * which the mount is looked after, and takes three quarters of a second of processor time in all, the compiler's
 * included, once.
 *
 * No content is touched: its files are empty, and there is no place for it.
 */
import { constants as files } from 'node:fs';
import { constants } from 'node:os';
import { Tree } from '../../../engine/index.js';
import { FileSystem } from '../../filesystem/file-system.js';
import { FILESYSTEM_MEASURE } from '../../filesystem/records/measure.js';
import { MountState } from '../device/mount-state.js';
import { Dirent, EntryOut, InHeader, Opcode, OutHeader, ROOT_NODE } from '../protocol/protocol.js';
import { handle } from './dispatch.js';
import { Session, type SessionServices } from './session.js';

const { ENODATA } = constants.errno;
const ROUNDS = 4;
const FILES = 200;
const CACHE_BYTES = 8 << 20;
/** How long nobody must have asked for anything before a part: a script that mounts and goes on at once has the processor to itself. */
const QUIET_MS = 150;
/** After so many real requests none are needed any more. */
const MOST_UNREHEARSED = 10_000;
/** How long a part takes, at most but for its last request. */
const PART_MS = 0.5;
const LISTED_BYTES = 4_096;
/** No directory can be made there. */
const NOWHERE = '/dev/null/contents';
const ACCESS_LIST = 'system.posix_acl_access';
const ATTRIBUTE = 'user.part';
const VALUE = 'the first';
/** Seconds. */
const TIMEOUT = 86_400;

/** Nobody hears of it. */
const services: SessionServices = {
  log: () => {},
  ready: () => {},
  sync: () => false,
  makeRoom: () => false,
  interrupted: () => {},
  backingFiles: undefined,
  invalidateAttributes: () => {},
};

/** In place of milliseconds: there is nothing more to rehearse. */
export const OVER = -1;

export class Rehearsal {
  readonly #requests: Generator<void, void> = rehearse();
  #isOver: boolean;
  /** Real requests that were served when the thread was last about to sleep. */
  #served = -1;

  /** Without `isWanted` there is nothing to rehearse. */
  constructor(isWanted = true) {
    this.#isOver = !isWanted;
  }

  /**
   * The thread is about to sleep and has served so many real requests. Where there were none since the last call, a part is
   * done now. Returns for how many milliseconds the thread may sleep, or OVER, also in all calls after one that threw.
   */
  idle(served: number): number {
    if (this.#isOver) return OVER;
    this.#isOver = served > MOST_UNREHEARSED;
    if (this.#isOver) {
      this.#requests.return();
      return OVER;
    }
    if (served !== this.#served) {
      this.#served = served;
      return QUIET_MS;
    }
    // Until the part has come to its end.
    this.#isOver = true;
    this.#isOver = !this.#doPart();
    return this.#isOver ? OVER : 0;
  }

  /** False: that was the last one. */
  #doPart(): boolean {
    const until = performance.now() + PART_MS;
    do {
      if (this.#requests.next().done === true) return false;
    } while (performance.now() < until);
    return true;
  }
}

function* rehearse(): Generator<void, void> {
  const tree = Tree.open({
    memory: true,
    flushOnWrite: false,
    cacheBytes: CACHE_BYTES,
    measure: FILESYSTEM_MEASURE,
  });
  try {
    yield;
    yield* new Script(tree).play();
  } finally {
    tree.close();
  }
}

/** The requests of a rehearsal; may be interrupted after each. */
class Script {
  readonly #session: Session;
  readonly #request: DataView;
  readonly #reply: DataView;

  constructor(tree: Tree) {
    const fileSystem = new FileSystem(tree, {
      contentDirectory: NOWHERE,
      readOnly: false,
      keepsNodes: true,
      rests: false,
      reclaimer: { schedule: () => {} },
    });
    fileSystem.makeRoot();
    const timeouts = { entryTimeout: TIMEOUT, attributeTimeout: TIMEOUT, negativeTimeout: TIMEOUT };
    this.#session = new Session(fileSystem, MountState.forNobody(), services, timeouts);
    this.#request = new DataView(this.#session.request.bytes.buffer);
    this.#reply = new DataView(this.#session.reply.bytes.buffer);
  }

  *play(): Generator<void> {
    yield;
    this.#send(Opcode.MKDIR, ROOT_NODE, [0o755, 0], 'directory');
    const directory = this.#node();
    for (let round = 0; round < ROUNDS; round++) {
      yield* this.#make(directory);
      yield* this.#list(directory);
      yield* this.#remove(directory);
    }
  }

  *#make(directory: number): Generator<void> {
    for (let i = 0; i < FILES; i++) {
      this.#send(Opcode.LOOKUP, directory, [], `file-${i}`);
      yield;
      this.#send(Opcode.CREATE, directory, [files.O_CREAT | files.O_WRONLY, 0o100644, 0o022, 0], `file-${i}`);
      const node = this.#node();
      const handle = this.#reply.getUint32(OutHeader.SIZE + EntryOut.SIZE, true);
      yield;
      this.#send(Opcode.GETATTR, directory, [0, 0, 0, 0]);
      this.#send(Opcode.RELEASE, node, [handle, 0, 0, 0, 0, 0]);
      this.#session.work();
      yield;
      if (i % 4 !== 0) continue;
      this.#send(Opcode.SETXATTR, node, [VALUE.length + 1, 0], ATTRIBUTE, VALUE);
      yield;
    }
  }

  *#list(directory: number): Generator<void> {
    this.#send(Opcode.OPENDIR, directory, [0, 0]);
    const handle = this.#reply.getUint32(OutHeader.SIZE, true);
    const position: [number, number] = [0, 0];
    let nodes: number[] = [];
    do {
      this.#send(Opcode.READDIRPLUS, directory, [handle, 0, ...position, LISTED_BYTES, 0, 0, 0, 0, 0]);
      nodes = this.#listed(position);
      yield;
      for (const node of nodes) {
        this.#send(Opcode.GETXATTR, node, [132, 0], ACCESS_LIST);
        this.#send(Opcode.GETATTR, node, [0, 0, 0, 0]);
        yield;
      }
    } while (nodes.length > 0);
    this.#send(Opcode.RELEASEDIR, directory, [handle, 0, 0, 0, 0, 0]);
  }

  *#remove(directory: number): Generator<void> {
    for (let i = 0; i < FILES; i++) {
      this.#send(Opcode.LOOKUP, directory, [], `file-${i}`);
      const node = this.#node();
      this.#send(Opcode.RENAME2, directory, [directory, 0, 0, 0], `file-${i}`, `moved-${i}`);
      yield;
      this.#send(Opcode.UNLINK, directory, [], `moved-${i}`);
      // It was made, listed and looked up.
      this.#send(Opcode.FORGET, node, [3, 0]);
      yield;
    }
  }

  /** The nodes in a reply to READDIRPLUS; `position` becomes that after the last entry. */
  #listed(position: [number, number]): number[] {
    const reply = this.#reply;
    const end = reply.getUint32(OutHeader.LENGTH, true);
    const nodes: number[] = [];
    for (let at: number = OutHeader.SIZE; at + EntryOut.SIZE + Dirent.SIZE <= end; ) {
      const entry = at + EntryOut.SIZE;
      const node = reply.getUint32(at + EntryOut.NODEID, true);
      if (node !== 0) nodes.push(node);
      position[0] = reply.getUint32(entry + Dirent.OFFSET, true);
      position[1] = reply.getUint32(entry + Dirent.OFFSET + 4, true);
      at = (entry + Dirent.SIZE + reply.getUint32(entry + Dirent.NAME_LENGTH, true) + 7) & ~7;
    }
    return nodes;
  }

  /** The node of the entry that was replied. */
  #node(): number {
    return this.#reply.getUint32(OutHeader.SIZE + EntryOut.NODEID, true);
  }

  /** Has the session serve a request: the operation's structure in words, then strings. */
  #send(opcode: number, node: number, structure: readonly number[], ...strings: string[]): void {
    const request = this.#request;
    const { bytes } = this.#session.request;
    bytes.fill(0, 0, InHeader.SIZE);
    let at: number = InHeader.SIZE;
    for (const word of structure) {
      request.setUint32(at, word, true);
      at += 4;
    }
    for (const text of strings) {
      for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
      bytes[at++] = 0;
    }
    request.setUint32(InHeader.LENGTH, at, true);
    request.setUint32(InHeader.OPCODE, opcode, true);
    request.setUint32(InHeader.NODEID, node, true);
    if (handle(this.#session, at) === 0) return;
    const error = this.#reply.getInt32(OutHeader.ERROR, true);
    if (error !== 0 && error !== -ENODATA)
      throw new Error(`Cannot rehearse: operation ${opcode} gives ${error}`);
  }
}
