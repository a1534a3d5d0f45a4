/** Replies about what is in snapshots: their objects have other nodeids and inode numbers than `attributes` tells. */
import { numberSpace, SNAPSHOT_DIRECTORY_SPACE } from '../../filesystem/past/past-place.js';
import type { DirectorySink } from '../../filesystem/types.js';
import { Attr, AttrOut, Dirent, EntryOut, StatxOut } from '../protocol/protocol.js';
import { Reply, type Timeout } from '../protocol/reply.js';
import type { ListingSession } from './listing.js';
import type { SnapshotNodes } from './snapshot-nodes.js';

const TWO_32 = 0x1_0000_0000;
const DOT = 0x2e;
const TYPE_SHIFT = 12;

/** Writes an inode number at `at`: 15 bits that stand for the snapshot, then the number that it had. */
function putNumber(reply: Reply, at: number, ino: number, space: number): void {
  reply.u64(at, ino);
  reply.u32(at + 4, Math.floor(ino / TWO_32) + space * 0x1_0000);
}

/** In place of a snapshot's id. */
export const SNAPSHOT_DIRECTORY = 0;

/** The space of numbers of what is in the snapshot with this id, or of snapshot directories. */
function spaceOf(snapshot: number): number {
  return snapshot === SNAPSHOT_DIRECTORY ? SNAPSHOT_DIRECTORY_SPACE : numberSpace(snapshot);
}

interface PastSession extends ListingSession {
  readonly snapshotNodes: SnapshotNodes;
  readonly attributes: Parameters<DirectorySink>[2];
}

/** Replies with `session.attributes` as an entry that is the node, of this snapshot or SNAPSHOT_DIRECTORY. */
export function replyPastEntry(
  session: PastSession,
  node: number,
  snapshot: number,
  entryTimeout: Timeout,
  attributeTimeout: Timeout,
): number {
  putEntry(session, 0, session.attributes, node, snapshot, entryTimeout, attributeTimeout);
  return EntryOut.SIZE;
}

function putEntry(
  { reply }: PastSession,
  at: number,
  attributes: Parameters<DirectorySink>[2],
  node: number,
  snapshot: number,
  entryTimeout: Timeout,
  attributeTimeout: Timeout,
): void {
  reply.entry(at, attributes, entryTimeout, attributeTimeout);
  reply.u64(at + EntryOut.NODEID, node);
  putNumber(reply, at + EntryOut.ATTR + Attr.INO, attributes.ino, spaceOf(snapshot));
}

export function replyPastAttributes(session: PastSession, snapshot: number, timeout: Timeout): number {
  const { reply, attributes } = session;
  reply.attrOut(attributes, timeout);
  putNumber(reply, AttrOut.ATTR + Attr.INO, attributes.ino, spaceOf(snapshot));
  return AttrOut.SIZE;
}

export function replyPastStatx(session: PastSession, snapshot: number, timeout: Timeout): number {
  const { reply, attributes } = session;
  reply.statxOut(attributes, timeout);
  putNumber(reply, StatxOut.INO, attributes.ino, spaceOf(snapshot));
  return StatxOut.SIZE;
}

/** The reply to READDIR and READDIRPLUS of a directory in a snapshot, or of a snapshot directory. */
export class PastListing {
  readonly #session: PastSession;
  #snapshot = 0;
  #room = 0;
  #used = 0;

  constructor(session: PastSession) {
    this.#session = session;
  }

  /** Begins a reply of at most `room` bytes with entries of this snapshot. */
  begin(room: number, snapshot: number): void {
    this.#room = Math.min(room, this.#session.reply.capacity);
    this.#snapshot = snapshot;
    this.#used = 0;
  }

  /** Length of the reply's body so far. */
  get used(): number {
    return this.#used;
  }

  /** Appends an entry for READDIR. */
  readonly plain: DirectorySink = (name, next, attributes) => {
    return this.#append(this.#used, name, next, attributes.ino, attributes.mode, this.#snapshot);
  };

  /** Appends an entry for READDIRPLUS, which the kernel then holds as if it had looked it up. */
  readonly full: DirectorySink = (name, next, attributes, isComplete) => {
    const session = this.#session;
    const at = this.#used;
    const { ino, mode } = attributes;
    if (!this.#append(at + EntryOut.SIZE, name, next, ino, mode, this.#snapshot)) return false;
    const isDot = name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT));
    if (isDot || !isComplete) {
      this.#holdNothing(at);
      return true;
    }
    const node = session.snapshotNodes.hold(session.request.node, name);
    const timeout = session.attributeTimeout(attributes);
    putEntry(session, at, attributes, node, this.#snapshot, session.entryTimeout, timeout);
    return true;
  };

  /**
   * Appends an entry of a snapshot directory: the directory `home` as a snapshot has it. With `isPlus` the kernel is told to look
   * it up by itself, so that it asks each time whether the snapshot is still there.
   */
  root(
    name: Uint8Array,
    next: number,
    home: number,
    snapshot: number,
    mode: number,
    isPlus: boolean,
  ): boolean {
    const at = this.#used;
    const start = isPlus ? at + EntryOut.SIZE : at;
    if (!this.#append(start, name, next, home, mode, snapshot)) return false;
    if (isPlus) this.#holdNothing(at);
    return true;
  }

  #holdNothing(at: number): void {
    for (let offset = 0; offset < EntryOut.SIZE; offset += 8) this.#session.reply.u64(at + offset, 0);
  }

  /** Writes a fuse_dirent at `at`, padded to 8 bytes. False: it does not fit. */
  #append(at: number, name: Uint8Array, next: number, ino: number, mode: number, snapshot: number): boolean {
    const end = (at + Dirent.SIZE + name.length + 7) & ~7;
    if (end > this.#room) return false;
    const { reply } = this.#session;
    // The padding is in the last 8 bytes; what else is in them is written after.
    reply.u64(end - 8, 0);
    putNumber(reply, at + Dirent.INO, ino, spaceOf(snapshot));
    reply.u64(at + Dirent.OFFSET, next);
    reply.u32(at + Dirent.NAME_LENGTH, name.length);
    reply.u32(at + Dirent.TYPE, (mode >>> TYPE_SHIFT) & 0xf);
    reply.bytes.set(name, Reply.BODY + at + Dirent.SIZE);
    this.#used = end;
    return true;
  }
}
