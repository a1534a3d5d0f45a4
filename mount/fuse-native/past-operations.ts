/**
 * The binding's operations on snapshot directories and what is in them. The binding knows paths only: which part of one is in a
 * snapshot is found anew each time, and a directory that is moved takes its snapshot directory along.
 *
 * Handles of files in snapshots are above all others, so that one is never taken for a live file's.
 */
import { isUtf8 } from 'node:buffer';
import { constants } from 'node:os';
import { newAttributes } from '../filesystem/arguments.js';
import * as errno from '../filesystem/errno.js';
import type { FileSystem } from '../filesystem/file-system.js';
import type { PastPlace } from '../filesystem/past/past-place.js';
import type { Caller } from '../filesystem/types.js';
import type { Reply } from './binding.js';
import { copyOut, entryArray, statArray, TWO_TO_32 } from './structs.js';

const FIRST_HANDLE = 0x4000_0000;
/** Numbers of objects in snapshots have the highest of the 32 bits that the binding has for them. */
const PAST_NUMBERS = 0x8000_0000;
const { EILSEQ } = constants.errno;

/** A snapshot directory, a name in it (which may not be there), or an object of a snapshot. */
type Past =
  | { kind: 'directory'; home: number }
  | { kind: 'root'; home: number; name: Uint8Array }
  | { kind: 'object'; place: PastPlace | number };

/** Serves an operation that concerns snapshots; false: it does not. */
export type PastOperations = (operation: string, reply: Reply, args: readonly unknown[]) => boolean;

/** `counts` is told of open files and of bytes read; `bufferOf` gives what a reply has to give back. */
export function makePastOperations(
  fs: FileSystem,
  caller: Caller,
  counts: { openFiles: number; bytesRead: number },
  bufferOf: (operation: string, args: readonly unknown[]) => unknown[],
): PastOperations {
  const { past: files } = fs;
  if (files.name === undefined) return () => false;
  const marker = `/${Buffer.from(files.name).toString()}`;
  const attributes = newAttributes();

  /** What the path leads to through a snapshot directory; undefined: it does not. */
  function find(path: unknown): Past | undefined {
    if (typeof path !== 'string') return undefined;
    for (let at = path.indexOf(marker); at >= 0; at = path.indexOf(marker, at + 1)) {
      const end = at + marker.length;
      if (end < path.length && path[end] !== '/') continue;
      // A live entry of that name, which an older store may have, is one.
      if (fs.getattr(Buffer.from(path.slice(0, end)), attributes) === 0) continue;
      if (fs.getattr(Buffer.from(path.slice(0, at)), attributes) !== 0) return undefined;
      const [name, ...rest] = path.slice(end + 1).split('/');
      const home = attributes.ino;
      if (name === undefined || name === '') return { kind: 'directory', home };
      if (rest.length === 0) return { kind: 'root', home, name: Buffer.from(name) };
      const root = files.find(home, Buffer.from(name));
      if (typeof root === 'number') return { kind: 'object', place: root };
      const below = Buffer.from(`/${rest.join('/')}`);
      return { kind: 'object', place: { ...root, path: Buffer.concat([root.path, below]) } };
    }
    return undefined;
  }

  function placeOf(past: Past): PastPlace | number {
    if (past.kind === 'object') return past.place;
    return past.kind === 'root' ? files.find(past.home, past.name) : -errno.EISDIR;
  }

  /** Number 0 stands for the snapshot of a snapshot directory. */
  function numbered(words: Uint32Array, snapshot: number, ino: number): Uint32Array {
    words[7] = PAST_NUMBERS + ((Math.imul(snapshot + 1, 0x9e3779b1) + ino) & 0x7fff_ffff);
    return words;
  }

  function getattr(past: Past): [number, Uint32Array] {
    if (past.kind === 'directory') {
      files.directoryAttributes(past.home, attributes);
      return [0, numbered(statArray(attributes), 0, attributes.ino)];
    }
    const place = placeOf(past);
    const result = typeof place === 'number' ? place : files.getattr(place, attributes);
    if (typeof place === 'number' || result < 0) return [result, new Uint32Array(18)];
    return [0, numbered(statArray(attributes), place.snapshot, attributes.ino)];
  }

  function list(past: Past): [number, string[]?, Uint32Array[]?] {
    const names: string[] = ['.', '..'];
    const stats: Uint32Array[] = [];
    if (past.kind === 'directory') {
      files.directoryAttributes(past.home, attributes);
      // An entry without a number is none to programs.
      for (const _dots of names) stats.push(numbered(entryArray(attributes), 0, past.home));
      for (const { id, name } of files.names(past.home, 0)) {
        names.push(name);
        attributes.ino = past.home;
        stats.push(numbered(entryArray(attributes), id, past.home));
      }
      return [0, names, stats];
    }
    const place = placeOf(past);
    const handle = typeof place === 'number' ? place : files.opendir(place);
    if (typeof place === 'number' || handle < 0) return [handle];
    let position = 0;
    let result: number;
    let before: number;
    names.length = 0;
    stats.length = 0;
    do {
      before = names.length;
      result = files.readdir(handle, position, false, attributes, (name, next, { ino }) => {
        names.push(Buffer.from(name).toString());
        stats.push(numbered(entryArray(attributes), place.snapshot, ino));
        position = next;
        return true;
      });
    } while (result >= 0 && names.length > before);
    files.releasedir(handle);
    return result < 0 ? [result] : [0, names, stats];
  }

  function readlink(past: Past): [number, string?] {
    const place = placeOf(past);
    const target = typeof place === 'number' ? place : files.readlink(place);
    if (typeof target === 'number') return [target];
    return isUtf8(target) ? [0, Buffer.from(target).toString()] : [-EILSEQ];
  }

  function open(past: Past, flags: number): [number, number?] {
    const place = placeOf(past);
    const handle = typeof place === 'number' ? place : files.open(place, flags);
    if (handle < 0) return [handle];
    counts.openFiles++;
    return [0, FIRST_HANDLE + handle];
  }

  function getxattr(past: Past, name: string): Uint8Array | number {
    if (past.kind === 'directory') return -errno.ENODATA;
    const place = placeOf(past);
    return typeof place === 'number' ? place : files.getxattr(place, Buffer.from(name));
  }

  function listxattr(past: Past): Uint8Array | number {
    if (past.kind === 'directory') return new Uint8Array(0);
    const place = placeOf(past);
    return typeof place === 'number' ? place : files.listxattr(caller, place);
  }

  function change(operation: string, past: Past): number {
    if (past.kind === 'directory' && operation === 'rmdir') return -errno.EPERM;
    if (past.kind !== 'root') return -errno.EROFS;
    const { home, name } = past;
    if (operation === 'rmdir') return files.remove(caller, home, name);
    if (operation !== 'mkdir') return -errno.EROFS;
    const made = files.make(caller, home, name);
    return typeof made === 'number' ? made : 0;
  }

  /** By handle, whatever has become of the path. */
  function serveHandle(operation: string, handle: number, reply: Reply, args: readonly unknown[]): void {
    if (operation === 'read') {
      const [, , into, length, low, high] = args as [string, number, Buffer, number, number, number];
      const read = files.read(handle, into, 0, length, low + high * TWO_TO_32);
      if (read > 0) counts.bytesRead += read;
      reply(read, 0, into.buffer);
    } else if (operation === 'release') {
      counts.openFiles--;
      reply(files.release(handle));
    } else
      reply(operation === 'flush' || operation === 'fsync' ? 0 : -errno.EROFS, ...bufferOf(operation, args));
  }

  return (operation, reply, args) => {
    const handle = HANDLES[operation] === undefined ? 0 : Number(args[HANDLES[operation]]);
    if (handle >= FIRST_HANDLE) {
      serveHandle(operation, handle - FIRST_HANDLE, reply, args);
      return true;
    }
    // The first argument of symlink is what the link says.
    const first = operation === 'symlink' ? undefined : find(args[0]);
    const second = TWO_PATHS.has(operation) ? find(args[1]) : undefined;
    const past = first ?? second;
    if (past === undefined) return false;
    if (operation === 'getattr' || operation === 'fgetattr') reply(...getattr(past));
    else if (operation === 'readdir') reply(...list(past));
    else if (operation === 'readlink') reply(...readlink(past));
    else if (operation === 'open') reply(...open(past, Number(args[1])));
    else if (operation === 'getxattr' || operation === 'listxattr') {
      const into = args.find((argument) => Buffer.isBuffer(argument)) as Buffer;
      const value = operation === 'getxattr' ? getxattr(past, String(args[1])) : listxattr(past);
      reply(copyOut(value, into), into.buffer);
    } else if (operation === 'statfs' || operation === 'fsyncdir') return false;
    else if (operation === 'rename' && first?.kind === 'directory') reply(-errno.EPERM);
    else if (operation === 'rename' && second?.kind === 'directory') reply(-errno.EEXIST);
    else if (operation === 'link' || operation === 'rename') {
      reply(first !== undefined && second !== undefined ? -errno.EROFS : -errno.EXDEV);
    } else reply(change(operation, past), ...bufferOf(operation, args));
    return true;
  };
}

/** Operations by an open file's handle, and which argument that is. */
const HANDLES: Readonly<Record<string, number>> = {
  read: 1,
  write: 1,
  flush: 1,
  release: 1,
  ftruncate: 1,
  fsync: 2,
};
const TWO_PATHS: ReadonlySet<string> = new Set(['link', 'rename', 'symlink']);
