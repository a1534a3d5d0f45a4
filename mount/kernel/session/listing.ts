/** The reply to READDIR and READDIRPLUS: takes entries from the filesystem layer while they fit. */
import type { Attributes, DirectorySink } from '../../filesystem/types.js';
import { Dirent, EntryOut } from '../protocol/protocol.js';
import { Reply, type Timeout } from '../protocol/reply.js';
import type { Request } from '../protocol/request.js';
import type { NodeTable } from './node-table.js';

const DOT = 0x2e;
const NO_NAME = new Uint8Array(0);
/** Where the type is in a mode. */
const TYPE_SHIFT = 12;

/** What a listing needs of the session that it is part of. */
export interface ListingSession {
  readonly request: Request;
  readonly reply: Reply;
  readonly nodes: NodeTable;
  readonly entryTimeout: Timeout;
  /** How long the kernel may keep the attributes. */
  attributeTimeout(attributes: Attributes): Timeout;
}

export class Listing {
  readonly #session: ListingSession;
  #room = 0;
  #used = 0;
  #lastName: Uint8Array = NO_NAME;
  #lastOffset = 0;

  constructor(session: ListingSession) {
    this.#session = session;
  }

  /** Begins a reply of at most `room` bytes. */
  begin(room: number): void {
    this.#room = Math.min(room, this.#session.reply.capacity);
    this.#used = 0;
  }

  /** Length of the reply's body so far. */
  get used(): number {
    return this.#used;
  }

  /** Name of the last entry of the reply, good until the next request, and the offset after it. */
  get lastName(): Uint8Array {
    return this.#lastName;
  }
  get lastOffset(): number {
    return this.#lastOffset;
  }

  /** Appends an entry for READDIR. */
  readonly plain: DirectorySink = (name, next, attributes) => {
    return this.#append(this.#used, name, next, attributes);
  };

  /** Appends an entry for READDIRPLUS, which the kernel then holds as if it had looked it up. */
  readonly full: DirectorySink = (name, next, attributes, isComplete) => {
    const session = this.#session;
    const at = this.#used;
    if (!this.#append(at + EntryOut.SIZE, name, next, attributes)) return false;
    const isDot = name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));
    if (isDot || !isComplete) {
      // Nothing to hold: the kernel knows the first two by itself, and asks for the others when they are wanted.
      for (let offset = 0; offset < EntryOut.SIZE; offset += 8) session.reply.u64(at + offset, 0);
      return true;
    }
    session.nodes.lookedUp(session.request.node, name, attributes.ino);
    session.reply.entry(at, attributes, session.entryTimeout, session.attributeTimeout(attributes));
    return true;
  };

  /** Writes a fuse_dirent at `at`, padded to 8 bytes. False: it does not fit. */
  #append(at: number, name: Uint8Array, next: number, attributes: Attributes): boolean {
    const end = (at + Dirent.SIZE + name.length + 7) & ~7;
    if (end > this.#room) return false;
    const { reply } = this.#session;
    // The padding is in the last 8 bytes; what else is in them is written after.
    reply.u64(end - 8, 0);
    reply.u64(at + Dirent.INO, attributes.ino);
    reply.u64(at + Dirent.OFFSET, next);
    reply.u32(at + Dirent.NAME_LENGTH, name.length);
    reply.u32(at + Dirent.TYPE, (attributes.mode >>> TYPE_SHIFT) & 0xf);
    reply.bytes.set(name, Reply.BODY + at + Dirent.SIZE);
    this.#used = end;
    this.#lastName = name;
    this.#lastOffset = next;
    return true;
  }
}
