/**
 * What one client does in its directory: a list of operations that its seed tells, and what the directory holds after each of
 * them. What is found after a power cut must be the names of one moment, not before what was made durable, with the
 * contents that an fsync promised.
 */
import { below, pick, type Random } from '../../../engine/tree/keys.js';

export type Operation =
  | { kind: 'enter' | 'open-held' | 'sync-held' }
  | { kind: 'append'; path: string; fill: number; length: number }
  | { kind: 'append-held'; fill: number; length: number }
  | { kind: 'truncate'; path: string; size: number }
  | { kind: 'mkdir' | 'rmdir' | 'unlink' | 'sync'; path: string }
  | { kind: 'symlink'; path: string; target: string }
  | { kind: 'link' | 'rename'; path: string; to: string }
  | { kind: 'setxattr'; path: string; value: string };

/** As client.py shows it. */
export interface Shown {
  path: string;
  type: number;
  links: number;
  target?: string;
  value?: string;
  /** In hexadecimal digits. */
  content?: string;
}

interface Version {
  /** The operation that made it. */
  at: number;
  bytes: Buffer;
}

interface Inode {
  type: number;
  links: number;
  target?: string;
  value?: string;
  versions: Version[];
  /** Operations that made its content durable. */
  syncs: number[];
}

const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;
const HELD = 'held';
/** The directory itself. */
const TOP = '.';
const NAMES = ['a', 'b', 'c', 'a b', 'é', 'x'.repeat(200)];
const DEEPEST = 3;
const PATTERN = 251;
const FEW_BYTES = 20_000;
const MANY_BYTES = 400_000;

/** Names and what they lead to, changed by one operation after the other. */
class Directory {
  readonly entries = new Map<string, Inode>();

  apply(operation: Operation, at: number): void {
    const { entries } = this;
    switch (operation.kind) {
      case 'enter':
        entries.set(TOP, newInode(DIRECTORY));
        break;
      case 'open-held':
        this.#file(HELD, at);
        break;
      case 'append-held':
        this.#write(this.#file(HELD, at), at, operation);
        break;
      case 'append':
        this.#write(this.#file(operation.path, at), at, operation);
        break;
      case 'truncate':
        this.#truncate(entries.get(operation.path)!, at, operation.size);
        break;
      case 'mkdir':
        entries.set(operation.path, newInode(DIRECTORY));
        break;
      case 'symlink':
        entries.set(operation.path, { ...newInode(SYMLINK), target: operation.target });
        break;
      case 'rmdir':
      case 'unlink':
        this.#remove(operation.path);
        break;
      case 'sync-held':
        entries.get(HELD)!.syncs.push(at);
        break;
      case 'sync':
        entries.get(operation.path)!.syncs.push(at);
        break;
      case 'setxattr':
        entries.get(operation.path)!.value = operation.value;
        break;
      case 'link':
        this.#link(operation.path, operation.to);
        break;
      case 'rename':
        this.#rename(operation.path, operation.to);
    }
  }

  /** All that the names tell at this moment, on one line each. */
  show(): string {
    return [...this.entries]
      .map(([path, inode]) => lineOf(path, this.#linksOf(path, inode), inode))
      .sort()
      .join('\n');
  }

  paths(type: number): string[] {
    return [...this.entries].filter(([, inode]) => inode.type === type).map(([path]) => path);
  }

  isEmpty(path: string): boolean {
    return ![...this.entries.keys()].some((other) => other.startsWith(`${path}/`));
  }

  #linksOf(path: string, inode: Inode): number {
    if (inode.type !== DIRECTORY) return inode.links;
    return 2 + this.paths(DIRECTORY).filter((other) => other !== TOP && parentOf(other) === path).length;
  }

  #file(path: string, at: number): Inode {
    let inode = this.entries.get(path);
    if (inode === undefined) {
      inode = newInode(REGULAR);
      inode.versions.push({ at, bytes: Buffer.alloc(0) });
      this.entries.set(path, inode);
    }
    return inode;
  }

  #write(inode: Inode, at: number, { fill, length }: { fill: number; length: number }): void {
    const more = Buffer.from(Array.from({ length }, (_, i) => (fill + i) % PATTERN));
    inode.versions.push({ at, bytes: Buffer.concat([contentOf(inode), more]) });
  }

  #truncate(inode: Inode, at: number, size: number): void {
    const bytes = Buffer.alloc(size);
    contentOf(inode).copy(bytes);
    inode.versions.push({ at, bytes });
  }

  #link(path: string, to: string): void {
    const inode = this.entries.get(path)!;
    inode.links++;
    this.entries.set(to, inode);
  }

  #remove(path: string): void {
    this.entries.get(path)!.links--;
    this.entries.delete(path);
  }

  #rename(from: string, to: string): void {
    const { entries } = this;
    // Two names of one file: POSIX leaves both.
    if (entries.get(from) === entries.get(to)) return;
    if (entries.has(to)) this.#remove(to);
    for (const [path, inode] of [...entries]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      entries.delete(path);
      entries.set(to + path.slice(from.length), inode);
    }
  }
}

function newInode(type: number): Inode {
  return { type, links: 1, versions: [], syncs: [] };
}

function contentOf(inode: Inode): Buffer {
  return inode.versions.at(-1)!.bytes;
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf('/');
  return slash < 0 ? TOP : path.slice(0, slash);
}

function lineOf(
  path: string,
  links: number,
  { type, target, value }: Pick<Inode, 'type' | 'target' | 'value'>,
): string {
  return JSON.stringify([path, type, links, target ?? '', value ?? '']);
}

/** So many operations, each possible where it stands. */
export function operationsOf(random: Random, count: number): Operation[] {
  const directory = new Directory();
  const operations: Operation[] = [];
  const add = (operation: Operation | undefined): void => {
    if (operation === undefined) return;
    directory.apply(operation, operations.length);
    operations.push(operation);
  };
  add({ kind: 'enter' });
  add({ kind: 'open-held' });
  while (operations.length < count) add(operationOf(random, directory));
  return operations;
}

function operationOf(random: Random, directory: Directory): Operation | undefined {
  const { entries } = directory;
  const of = (type: number): string | undefined => {
    const paths = directory.paths(type).filter((path) => path !== TOP && path !== HELD);
    return paths.length === 0 ? undefined : pick(random, paths);
  };
  const place = (): string => {
    const parents = directory.paths(DIRECTORY).filter((path) => path.split('/').length < DEEPEST);
    const parent = pick(random, parents);
    return parent === TOP ? pick(random, NAMES) : `${parent}/${pick(random, NAMES)}`;
  };
  const free = (): string | undefined => {
    const path = place();
    return entries.has(path) ? undefined : path;
  };
  const fill = below(random, PATTERN);
  const length = below(random, random() < 0.05 ? MANY_BYTES : FEW_BYTES);
  const roll = random();
  const [file, directoryPath, path] = [of(REGULAR), of(DIRECTORY), free()];
  if (roll < 0.06) return { kind: 'sync-held' };
  if (roll < 0.1) return { kind: 'append-held', fill, length };
  if (roll < 0.13) return { kind: 'sync', path: directoryPath ?? TOP };
  if (roll < 0.35) {
    const at = place();
    return (entries.get(at)?.type ?? REGULAR) === REGULAR
      ? { kind: 'append', path: at, fill, length }
      : undefined;
  }
  if (roll < 0.45) return path === undefined ? undefined : { kind: 'mkdir', path };
  if (roll < 0.5) return path === undefined ? undefined : { kind: 'symlink', path, target: `to ${fill}` };
  if (roll < 0.55) {
    if (directoryPath === undefined || !directory.isEmpty(directoryPath)) return undefined;
    return { kind: 'rmdir', path: directoryPath };
  }
  if (roll < 0.65) return renameOf(directory, pick(random, [file, directoryPath, of(SYMLINK)]), place());
  if (file === undefined) return undefined;
  if (roll < 0.76) return { kind: 'sync', path: file };
  if (roll < 0.8) return { kind: 'truncate', path: file, size: below(random, FEW_BYTES) };
  if (roll < 0.87) return path === undefined ? undefined : { kind: 'link', path: file, to: path };
  if (roll < 0.94) return { kind: 'setxattr', path: file, value: `value ${fill}` };
  return { kind: 'unlink', path: file };
}

/** Files may go over files; directories to free places outside themselves. */
function renameOf(directory: Directory, path: string | undefined, to: string): Operation | undefined {
  if (path === undefined || to === path) return undefined;
  const { entries } = directory;
  const [source, target] = [entries.get(path)!, entries.get(to)];
  if (source.type !== DIRECTORY) {
    return target?.type === DIRECTORY ? undefined : { kind: 'rename', path, to };
  }
  const depth = Math.max(
    ...[...entries.keys()].filter((other) => other.startsWith(`${path}/`)).map(depthOf),
    0,
  );
  const isTooDeep = depthOf(to) + Math.max(depth - depthOf(path), 0) > DEEPEST;
  return target !== undefined || to.startsWith(`${path}/`) || isTooDeep
    ? undefined
    : { kind: 'rename', path, to };
}

function depthOf(path: string): number {
  return path.split('/').length;
}

/**
 * Throws unless `shown` is what the client's directory held after some operation of those that were begun, all that are
 * `durable` included. `begun`, `durable`: numbers of the last such operations; -1: none.
 */
export function checkShown(
  operations: readonly Operation[],
  shown: readonly Shown[],
  begun: number,
  durable: number,
): void {
  const lines = shown
    .map(({ path, links, ...inode }) => lineOf(path, links, inode))
    .sort()
    .join('\n');
  const directory = new Directory();
  let names: Map<string, Inode> | undefined;
  for (let at = -1; at <= begun; at++) {
    if (at >= 0) directory.apply(operations[at]!, at);
    if (at >= durable && names === undefined && directory.show() === lines)
      names = new Map(directory.entries);
  }
  if (names === undefined) {
    throw new Error(
      `the names are those of no moment from ${durable} to ${begun}:\n${lines}\nat the end:\n${directory.show()}`,
    );
  }
  for (const { path, content } of shown) {
    if (content !== undefined) checkContent(path, names.get(path)!, Buffer.from(content, 'hex'), durable);
  }
}

/** What was synced is there; of what was written since each byte is there, as a zero or not at all. */
function checkContent(path: string, { versions, syncs }: Inode, found: Buffer, durable: number): void {
  const synced = syncs.findLast((at) => at <= durable) ?? -1;
  const safe = versions.findLastIndex(({ at }) => at <= synced);
  const possible = versions.slice(Math.max(safe, 0));
  if (safe >= 0 && possible.length === 1) {
    if (!found.equals(possible[0]!.bytes)) {
      throw new Error(
        `${path}: ${found.length} bytes are not the ${possible[0]!.bytes.length} that were synced`,
      );
    }
    return;
  }
  const isExplained = (byte: number, at: number): boolean =>
    byte === 0 || possible.some(({ bytes }) => bytes[at] === byte);
  const longest = Math.max(...possible.map(({ bytes }) => bytes.length));
  const shortest = safe < 0 ? 0 : Math.min(...possible.map(({ bytes }) => bytes.length));
  if (found.length > longest || found.length < shortest) {
    throw new Error(`${path}: it has ${found.length} bytes, and may have ${shortest} to ${longest}`);
  }
  const wrong = found.findIndex((byte, at) => !isExplained(byte, at));
  if (wrong >= 0) throw new Error(`${path}: byte ${wrong} was never written there`);
}
