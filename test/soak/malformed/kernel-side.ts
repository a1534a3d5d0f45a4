/**
 * The kernel's side of a session: what the kernel would know after each reply, and whether it would take the reply. Used
 * with requests that no kernel sends, so it believes the reply, not the request.
 */
import { constants } from 'node:os';
import { Dirent, EntryOut, Opcode, OpenOut, OutHeader } from '../../../mount/kernel/protocol/protocol.js';

/** The largest errno that the kernel takes. */
const MOST_ERRNO = 1000;

/** Bodies of replies without an error whose size is fixed, by opcode. */
const SIZES: Readonly<Record<number, number>> = {
  [Opcode.LOOKUP]: EntryOut.SIZE,
  [Opcode.GETATTR]: 104,
  [Opcode.SETATTR]: 104,
  [Opcode.SYMLINK]: EntryOut.SIZE,
  [Opcode.MKNOD]: EntryOut.SIZE,
  [Opcode.MKDIR]: EntryOut.SIZE,
  [Opcode.LINK]: EntryOut.SIZE,
  [Opcode.UNLINK]: 0,
  [Opcode.RMDIR]: 0,
  [Opcode.RENAME]: 0,
  [Opcode.RENAME2]: 0,
  [Opcode.OPEN]: OpenOut.SIZE,
  [Opcode.OPENDIR]: OpenOut.SIZE,
  [Opcode.WRITE]: 8,
  [Opcode.STATFS]: 80,
  [Opcode.RELEASE]: 0,
  [Opcode.RELEASEDIR]: 0,
  [Opcode.FSYNC]: 0,
  [Opcode.FSYNCDIR]: 0,
  [Opcode.SETXATTR]: 0,
  [Opcode.REMOVEXATTR]: 0,
  [Opcode.INIT]: 64,
  [Opcode.CREATE]: EntryOut.SIZE + OpenOut.SIZE,
  [Opcode.TMPFILE]: EntryOut.SIZE + OpenOut.SIZE,
  [Opcode.DESTROY]: 0,
  [Opcode.FALLOCATE]: 0,
  [Opcode.LSEEK]: 8,
  [Opcode.COPY_FILE_RANGE]: 8,
  [Opcode.STATX]: 288,
};

const WITHOUT_REPLY: readonly number[] = [Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT];
const WITH_ENTRY: readonly number[] = [
  Opcode.LOOKUP,
  Opcode.MKNOD,
  Opcode.MKDIR,
  Opcode.SYMLINK,
  Opcode.LINK,
  Opcode.CREATE,
  Opcode.TMPFILE,
];
const LISTED: readonly number[] = [Opcode.READDIR, Opcode.READDIRPLUS];

export class KernelSide {
  /** Lookups by node, the root's left out. */
  readonly lookups = new Map<number, number>();
  readonly files = new Set<number>();
  readonly directories = new Set<number>();

  /** The reply to `request`, which is empty where there is none; throws where the kernel would not take it. */
  take(request: Buffer, reply: Buffer): void {
    const opcode = request.readUInt32LE(4);
    const argument = (at: number): number => (request.length >= 44 + at ? request.readUInt32LE(40 + at) : 0);
    if (WITHOUT_REPLY.includes(opcode)) {
      this.#forgotten(opcode, request);
      if (reply.length > 0) throw new Error(`opcode ${opcode} got a reply of ${reply.length} bytes`);
      return;
    }
    if (reply.length < OutHeader.SIZE) throw new Error(`opcode ${opcode} got no reply`);
    const body = reply.subarray(OutHeader.SIZE);
    const error = reply.readInt32LE(OutHeader.ERROR);
    if (reply.readUInt32LE(OutHeader.LENGTH) !== reply.length)
      throw new Error('the length is not the reply’s');
    if (!reply.subarray(8, 16).equals(request.subarray(8, 16)))
      throw new Error('the unique is not the request’s');
    if (error > 0 || error <= -MOST_ERRNO) throw new Error(`opcode ${opcode} got the error ${error}`);
    if (error === -constants.errno.EIO) throw new Error(`opcode ${opcode} got EIO`);
    if (error !== 0) {
      if (body.length > 0) throw new Error(`opcode ${opcode} got a body with the error ${error}`);
      return;
    }
    this.#checkSize(opcode, body.length, argument);
    if (WITH_ENTRY.includes(opcode)) this.#lookedUp(body);
    if (opcode === Opcode.CREATE || opcode === Opcode.TMPFILE)
      this.#opened(this.files, body.subarray(EntryOut.SIZE));
    if (opcode === Opcode.OPEN) this.#opened(this.files, body);
    if (opcode === Opcode.OPENDIR) this.#opened(this.directories, body);
    if (opcode === Opcode.RELEASE) this.files.delete(argument(4) * 2 ** 32 + argument(0));
    if (opcode === Opcode.RELEASEDIR) this.directories.delete(argument(4) * 2 ** 32 + argument(0));
    if (LISTED.includes(opcode)) this.#listed(body, opcode === Opcode.READDIRPLUS);
  }

  #checkSize(opcode: number, length: number, argument: (at: number) => number): void {
    let most = SIZES[opcode] ?? -1;
    if (opcode === Opcode.READ || LISTED.includes(opcode)) most = argument(16);
    else if (opcode === Opcode.GETXATTR || opcode === Opcode.LISTXATTR)
      most = argument(0) === 0 ? 8 : argument(0);
    else if (opcode === Opcode.READLINK) most = 4095;
    else if (length !== most) throw new Error(`opcode ${opcode} got ${length} bytes, not ${most}`);
    if (length > most) throw new Error(`opcode ${opcode} got ${length} bytes and asked for ${most}`);
  }

  #lookedUp(entry: Buffer): void {
    const node = Number(entry.readBigUInt64LE(EntryOut.NODEID));
    if (node > 1) this.lookups.set(node, (this.lookups.get(node) ?? 0) + 1);
  }

  #opened(handles: Set<number>, out: Buffer): void {
    const handle = Number(out.readBigUInt64LE(OpenOut.HANDLE));
    if (handle === 0 || handles.has(handle)) throw new Error(`handle ${handle} was given twice`);
    handles.add(handle);
  }

  #listed(body: Buffer, full: boolean): void {
    const prefix = full ? EntryOut.SIZE : 0;
    for (let at = 0; at + prefix + Dirent.SIZE <= body.length; ) {
      const nameLength = body.readUInt32LE(at + prefix + Dirent.NAME_LENGTH);
      const end = (at + prefix + Dirent.SIZE + nameLength + 7) & ~7;
      if (nameLength === 0 || nameLength > 255 || end > body.length) throw new Error('an entry is cut');
      if (full) this.#lookedUp(body.subarray(at));
      at = end;
    }
  }

  #forgotten(opcode: number, request: Buffer): void {
    const holds = request.readUInt32LE(0) === request.length && request.length >= 48;
    if (opcode === Opcode.INTERRUPT || !holds) return;
    const forget = (node: number, count: number): void => {
      const left = (this.lookups.get(node) ?? 0) - count;
      if (left > 0) this.lookups.set(node, left);
      else this.lookups.delete(node);
    };
    if (opcode === Opcode.FORGET) {
      forget(Number(request.readBigUInt64LE(16)), Number(request.readBigUInt64LE(40)));
      return;
    }
    const rows = Math.min(request.readUInt32LE(40), Math.floor((request.length - 48) / 16));
    for (let row = 0; row < rows; row++) {
      forget(Number(request.readBigUInt64LE(48 + row * 16)), Number(request.readBigUInt64LE(56 + row * 16)));
    }
  }
}
