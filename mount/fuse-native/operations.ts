/**
 * The binding's operations over the filesystem layer: strings become bytes, milliseconds become seconds and
 * nanoseconds, and whatever a handler throws becomes EIO in one place.
 *
 * The binding calls a handler `_op_<name>` with a function that replies, and the raw arguments; some of its own
 * handlers lose what is needed (the size of an xattr buffer, half of a time), so all are replaced here.
 *
 * Where a name, a link's target or an attribute's name is not UTF-8, the binding has put U+FFFD into it: two such
 * names may have become one, and a change would go to the wrong file. So whatever has a U+FFFD is refused.
 */

import { isUtf8 } from 'node:buffer';
import { constants } from 'node:os';
import { stopwatch } from '../../engine/stopwatch.js';
import { newAttributes, newChange } from '../filesystem/arguments.js';
import * as errno from '../filesystem/errno.js';
import type { FileSystem } from '../filesystem/file-system.js';
import {
  type AttributeChange,
  type Caller,
  CHANGE_ATIME,
  CHANGE_GID,
  CHANGE_MODE,
  CHANGE_MTIME,
  CHANGE_SIZE,
  CHANGE_UID,
  type RemovalResult,
  type StatFs,
} from '../filesystem/types.js';
import { FailureLog } from '../requests/failure-log.js';
import type { MountLog } from '../types.js';
import type { Reply } from './binding.js';
import type { Counts, OperationName } from './counts.js';
import type { OperationLog } from './operation-log.js';
import type { ParkedRequests } from './parked-requests.js';
import { makePastOperations } from './past-operations.js';
import { copyOut, entryArray, statArray, statfsArray, TWO_TO_32 } from './structs.js';

const O_RDWR = 2;
/** What chown passes for "leave it". */
const UNCHANGED = 0xffff_ffff;
const EMPTY = new Uint8Array(0);
const REPLACEMENT = '\ufffd';
const { EILSEQ } = constants.errno;

type Handler = (reply: Reply, ...args: never[]) => void;

/**
 * The handlers by operation name. `makeRoom`: the disk is full; removes at once what is to be removed anyway, if anything.
 * `parked`: where requests wait for contents.
 */
export function makeOperations(
  fs: FileSystem,
  makeRoom: () => boolean,
  parked: ParkedRequests,
  log: MountLog,
  counts: Counts,
  requestLog: OperationLog,
): Record<string, Handler> {
  const caller: Caller = {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    umask: 0,
  };
  const attributes = newAttributes();
  const removal: RemovalResult = { removedIno: 0, removedLinks: 0, movedIno: 0 };
  const statfs: StatFs = {
    blockSize: 0,
    blocks: 0,
    blocksFree: 0,
    blocksAvailable: 0,
    files: 0,
    filesFree: 0,
    nameMax: 0,
  };

  function change(path: string, fields: Partial<AttributeChange> & { valid: number }): number {
    return fs.setattr(caller, place(path), { ...NO_CHANGE, ...fields }, attributes);
  }
  function opened(handle: number): number {
    if (handle > 0) counts.openFiles++;
    counts.openingFails = handle === -errno.ENFILE;
    return handle;
  }
  function replyHandle(reply: Reply, handle: number): void {
    if (handle < 0) reply(handle);
    else reply(0, handle);
  }
  /** By parent and name, so that a name that is too long is told from one that is absent. */
  function getattr(reply: Reply, path: string): void {
    const result =
      path === '/' ? fs.getattr(EMPTY, attributes) : fs.lookup(parentOf(path), nameOf(path), attributes);
    reply(result, result < 0 ? new Uint32Array(18) : statArray(attributes));
  }
  function resize(path: string, handle: number, low: number, high: number): number {
    return change(path, { valid: CHANGE_SIZE, size: low + high * TWO_TO_32, handle });
  }

  const handlers = {
    getattr,
    fgetattr: getattr,
    readlink: (reply: Reply, path: string) => {
      const target = fs.readlink(place(path));
      if (typeof target === 'number') reply(target);
      else if (!isUtf8(target)) reply(-EILSEQ);
      else reply(0, Buffer.from(target).toString());
    },
    mknod: (reply: Reply, path: string, mode: number, device: number) =>
      reply(fs.mknod(caller, parentOf(path), nameOf(path), mode, device, attributes)),
    mkdir: (reply: Reply, path: string, mode: number) =>
      reply(fs.mkdir(caller, parentOf(path), nameOf(path), mode, attributes)),
    symlink: (reply: Reply, target: string, path: string) =>
      reply(fs.symlink(caller, parentOf(path), nameOf(path), Buffer.from(target), attributes)),
    link: (reply: Reply, from: string, to: string) =>
      reply(fs.link(caller, place(from), parentOf(to), nameOf(to), attributes)),
    unlink: (reply: Reply, path: string) => reply(fs.unlink(caller, parentOf(path), nameOf(path), removal)),
    rmdir: (reply: Reply, path: string) => reply(fs.rmdir(caller, parentOf(path), nameOf(path), removal)),
    rename: (reply: Reply, from: string, to: string) =>
      reply(fs.rename(caller, parentOf(from), nameOf(from), parentOf(to), nameOf(to), 0, removal)),

    chmod: (reply: Reply, path: string, mode: number) => reply(change(path, { valid: CHANGE_MODE, mode })),
    chown: (reply: Reply, path: string, uid: number, gid: number) => {
      const valid = (uid === UNCHANGED ? 0 : CHANGE_UID) | (gid === UNCHANGED ? 0 : CHANGE_GID);
      reply(change(path, { valid, uid, gid }));
    },
    truncate: (reply: Reply, path: string, low: number, high: number) => reply(resize(path, 0, low, high)),
    ftruncate: (reply: Reply, path: string, handle: number, low: number, high: number) =>
      reply(resize(path, handle, low, high)),
    utimens: (reply: Reply, path: string, atimeLow: number, atimeHigh: number) => {
      // The binding passes the access time for both.
      const ms = (atimeHigh | 0) * TWO_TO_32 + atimeLow;
      const seconds = Math.floor(ms / 1000);
      const nanos = (ms - seconds * 1000) * 1_000_000;
      reply(
        change(path, {
          valid: CHANGE_ATIME | CHANGE_MTIME,
          atimeSeconds: seconds,
          atimeNanos: nanos,
          mtimeSeconds: seconds,
          mtimeNanos: nanos,
        }),
      );
    },

    open: (reply: Reply, path: string, flags: number) =>
      replyHandle(reply, opened(fs.open(caller, place(path), flags))),
    // The binding does not pass the flags of a creation; the kernel checks access by the descriptor's.
    create: (reply: Reply, path: string, mode: number) =>
      replyHandle(
        reply,
        opened(fs.create(caller, parentOf(path), nameOf(path), mode, O_RDWR, false, attributes)),
      ),
    read: (
      reply: Reply,
      _path: string,
      handle: number,
      into: Buffer,
      length: number,
      low: number,
      high: number,
    ) => {
      const read = fs.read(handle, into, 0, length, low + high * TWO_TO_32);
      if (read > 0) counts.bytesRead += read;
      reply(read, 0, into.buffer);
    },
    write: (
      reply: Reply,
      _path: string,
      handle: number,
      from: Buffer,
      length: number,
      low: number,
      high: number,
    ) => {
      const written = fs.write(handle, from, 0, length, low + high * TWO_TO_32);
      if (written > 0) counts.bytesWritten += written;
      reply(written, 0, from.buffer);
    },
    flush: (reply: Reply, _path: string, handle: number) => reply(fs.flush(handle)),
    fsync: (reply: Reply, _path: string, _dataOnly: number, handle: number) => reply(fs.fsync(handle)),
    fsyncdir: (reply: Reply) => reply(fs.fsyncdir(0)),
    release: (reply: Reply, _path: string, handle: number) => {
      counts.openFiles--;
      reply(fs.release(handle));
    },

    // Directories have no handle between requests: the binding reads a whole one at once.
    readdir: (reply: Reply, path: string) => {
      const handle = fs.opendir(place(path));
      if (handle < 0) return reply(handle);
      const names: string[] = [];
      const stats: Uint32Array[] = [];
      let result: number;
      try {
        let position = 0;
        let before: number;
        do {
          before = names.length;
          result = fs.readdir(handle, position, false, (name, next, entry) => {
            names.push(Buffer.from(name).toString());
            stats.push(entryArray(entry));
            position = next;
            return true;
          });
        } while (result >= 0 && names.length > before);
      } finally {
        fs.releasedir(handle);
      }
      if (result < 0) reply(result);
      else reply(0, names, stats);
    },

    setxattr: (reply: Reply, path: string, name: string, value: Buffer, _position: number, flags: number) =>
      reply(fs.setxattr(caller, place(path), Buffer.from(name), Buffer.from(value), flags), value.buffer),
    getxattr: (reply: Reply, path: string, name: string, into: Buffer) =>
      reply(copyOut(fs.getxattr(place(path), Buffer.from(name)), into), into.buffer),
    listxattr: (reply: Reply, path: string, into: Buffer) =>
      reply(copyOut(fs.listxattr(caller, place(path)), into), into.buffer),
    removexattr: (reply: Reply, path: string, name: string) =>
      reply(fs.removexattr(caller, place(path), Buffer.from(name))),

    statfs: (reply: Reply, path: string) => {
      const result = fs.statfs(place(path), statfs);
      reply(result, statfsArray(statfs));
    },
  } satisfies Record<OperationName, (reply: Reply, ...args: never[]) => void>;

  const past = makePastOperations(fs, caller, counts, bufferOf);
  const failures = new FailureLog(log);
  const guarded: Record<string, Handler> = {};
  for (const [name, handler] of Object.entries(handlers) as [OperationName, Handler][]) {
    guarded[name] = (reply, ...args) => {
      counts.begun(name);
      let replied = false;
      let isAgain = false;
      const countingReply: Reply = (result, ...values) => {
        if (result === -errno.ENOSPC && !isAgain && makeRoom()) {
          isAgain = true;
          handler(countingReply, ...args);
          return;
        }
        replied = true;
        counts.served(name, result);
        requestLog.answered(name, args, result);
        reply(result, ...values);
      };
      const serve = (arrived?: number): void => {
        stopwatch.start(arrived);
        try {
          if (args.some(isDamaged)) countingReply(-EILSEQ, ...bufferOf(name, args));
          else if (!past(name, countingReply, args)) handler(countingReply, ...args);
        } catch (error) {
          fail(error);
        }
      };
      const fail = (error: unknown): void => {
        if (error instanceof errno.ContentAwaited) {
          const { arrived } = stopwatch;
          counts.putAside++;
          parked.park(() => {
            counts.putAside--;
            serve(arrived);
          });
          return;
        }
        failures.tell(name, error, { path: args[0] });
        if (!replied) countingReply(-errno.EIO, ...bufferOf(name, args));
      };
      serve();
    };
  }
  return guarded;
}

/** What a reply must carry besides its result: operations that were lent a buffer give it back. */
function bufferOf(operation: string, args: readonly unknown[]): unknown[] {
  const buffer = args.find((argument) => Buffer.isBuffer(argument))?.buffer;
  if (buffer === undefined) return [];
  return operation === 'read' || operation === 'write' ? [0, buffer] : [buffer];
}

/** Whether an argument is a string that was not UTF-8, or that cannot be told from one. */
function isDamaged(argument: unknown): boolean {
  return typeof argument === 'string' && argument.includes(REPLACEMENT);
}

const NO_CHANGE = newChange();

function place(path: string): Uint8Array {
  return path === '/' ? EMPTY : Buffer.from(path);
}

function parentOf(path: string): Uint8Array {
  return Buffer.from(path.slice(0, path.lastIndexOf('/')));
}

function nameOf(path: string): Uint8Array {
  return Buffer.from(path.slice(path.lastIndexOf('/') + 1));
}
