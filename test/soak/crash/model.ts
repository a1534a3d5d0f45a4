/** What a directory must hold after the calls of client.py: which of them work, and what each does. Paths are relative, bytes UTF-8. */
import type { Step } from './log.js';

export type Kind = 'file' | 'directory' | 'symlink' | 'socket' | 'other';

/** Values are replaced, never changed in place, so that a shallow copy keeps what there was. */
export interface Inode {
  /** Undefined until it was seen. */
  ino: number | undefined;
  readonly kind: Kind;
  mode: number;
  content: Buffer;
  readonly target: string;
  xattrs: ReadonlyMap<string, Buffer>;
  /** Nanoseconds since 1970; undefined: when the call was made, which nobody noted. */
  mtime: string | undefined;
  /** Of a directory. */
  readonly entries: Map<string, Inode>;
  /** Names that it has. */
  links: number;
  /** Was opened without a name, and has had none yet. */
  unnamed: boolean;
}

export function newInode(kind: Kind, mode: number, target = ''): Inode {
  return {
    ino: undefined,
    kind,
    mode,
    content: Buffer.alloc(0),
    target,
    xattrs: new Map(),
    mtime: undefined,
    entries: new Map(),
    links: 0,
    unnamed: false,
  };
}

/** A name, there or not, in a directory that is there. */
interface Place {
  readonly directory: Inode;
  readonly name: string;
  readonly inode: Inode | undefined;
}

/** What a client's call does to the tree; false: it fails, and does nothing. */
export class Model {
  readonly root: Inode;
  readonly #client: number;
  #handles = new Map<string, Inode>();

  constructor(root: Inode, client: number) {
    this.root = root;
    this.#client = client;
  }

  /** A process of the client ends, and with it what it has open. */
  begin(): void {
    this.#handles = new Map();
  }

  /** Files that the client's process has open. */
  opened(): ReadonlySet<Inode> {
    return new Set(this.#handles.values());
  }

  /** The file of a step on a handle or on a path, where it is there. */
  fileOf([name, target]: Step): Inode | undefined {
    const isOnPath = name === 'truncate' || name === 'utime';
    return isOnPath ? this.#find(String(target)) : this.#handles.get(String(target));
  }

  /** The file whose bytes the step changes, if that is all that it does. */
  writtenBy([name, handle]: Step): Inode | undefined {
    return name === 'write' || name === 'store' ? this.#handles.get(String(handle)) : undefined;
  }

  apply(number: number, [name, ...args]: Step): boolean {
    const [a = '', b = ''] = args.map(String);
    const [, second = 0, third = 0] = args.map(Number);
    switch (name) {
      case 'create':
        return this.#make(b, newInode('file', third), a);
      case 'open':
        return this.#open(a, b, args[2] === true);
      case 'tmpfile':
        return this.#tmpfile(a, b);
      case 'linkfd':
        return this.#linkHandle(a, b);
      case 'close':
        return this.#handles.delete(a);
      case 'write':
      case 'store':
        return this.#write(this.#handle(a), second, pattern(this.#client, number, third));
      case 'ftruncate':
        return this.#resize(this.#handle(a), second);
      case 'truncate':
        return this.#resize(this.#find(a), second);
      case 'fsync':
        return this.#handles.has(a);
      case 'fsyncdir':
        return this.#find(a)?.kind === 'directory';
      case 'mkdir':
        return this.#make(a, newInode('directory', second));
      case 'mknod':
        return this.#make(a, newInode('socket', 0o600));
      case 'symlink':
        return this.#make(b, newInode('symlink', 0o777, a));
      case 'rmdir':
        return this.#rmdir(a);
      case 'unlink':
        return this.#unlink(a);
      case 'link':
        return this.#link(this.#find(a), b);
      case 'rename':
        return this.#rename(a, b);
      case 'exchange':
        return this.#exchange(a, b);
      case 'setxattr':
        return this.#setxattr(a, b, pattern(this.#client, number, third));
      case 'removexattr':
        return this.#setxattr(a, b, undefined);
      case 'chmod':
        return this.#chmod(a, second);
      case 'utime':
        return this.#utime(a, `${BigInt(second) * 1_000_000_000n + BigInt(third)}`);
      default:
        throw new Error(`nobody knows what ${name} does`);
    }
  }

  #handle(name: string): Inode {
    const inode = this.#handles.get(name);
    if (inode === undefined) throw new Error(`the handle ${name} is not open`);
    return inode;
  }

  #place(path: string): Place | undefined {
    const names = path.split('/');
    const name = names.pop()!;
    let directory: Inode | undefined = this.root;
    for (const step of names) directory = directory?.entries.get(step);
    // The links to names that are here lead nowhere.
    if (directory?.kind !== 'directory') return undefined;
    return { directory, name, inode: directory.entries.get(name) };
  }

  #find(path: string): Inode | undefined {
    return this.#place(path)?.inode;
  }

  #make(path: string, inode: Inode, handle?: string): boolean {
    const place = this.#place(path);
    if (place === undefined || place.inode !== undefined) return false;
    set(place, inode);
    if (handle !== undefined) this.#handles.set(handle, inode);
    return true;
  }

  #open(handle: string, path: string, truncate: boolean): boolean {
    const inode = this.#find(path);
    if (inode?.kind !== 'file') return false;
    if (truncate) this.#resize(inode, 0);
    this.#handles.set(handle, inode);
    return true;
  }

  #tmpfile(handle: string, directory: string): boolean {
    if (this.#find(directory)?.kind !== 'directory') return false;
    this.#handles.set(handle, { ...newInode('file', 0o600), unnamed: true });
    return true;
  }

  #linkHandle(handle: string, path: string): boolean {
    const inode = this.#handle(handle);
    if (inode.links === 0 && !inode.unnamed) return false;
    if (!this.#link(inode, path)) return false;
    inode.unnamed = false;
    return true;
  }

  #write(inode: Inode, offset: number, bytes: Buffer): boolean {
    const content = Buffer.alloc(Math.max(inode.content.length, offset + bytes.length));
    inode.content.copy(content);
    bytes.copy(content, offset);
    inode.content = content;
    inode.mtime = undefined;
    return true;
  }

  #resize(inode: Inode | undefined, size: number): boolean {
    if (inode?.kind !== 'file') return false;
    const content = Buffer.alloc(size);
    inode.content.copy(content);
    inode.content = content;
    inode.mtime = undefined;
    return true;
  }

  #rmdir(path: string): boolean {
    const place = this.#place(path);
    if (place?.inode?.kind !== 'directory' || place.inode.entries.size > 0) return false;
    unset(place, place.inode);
    return true;
  }

  #unlink(path: string): boolean {
    const place = this.#place(path);
    if (place?.inode === undefined || place.inode.kind === 'directory') return false;
    unset(place, place.inode);
    return true;
  }

  #link(inode: Inode | undefined, path: string): boolean {
    const place = this.#place(path);
    if (inode === undefined || inode.kind === 'directory') return false;
    if (place === undefined || place.inode !== undefined) return false;
    set(place, inode);
    return true;
  }

  #rename(a: string, b: string): boolean {
    const [from, to] = [this.#place(a), this.#place(b)];
    if (from?.inode === undefined || to === undefined) return false;
    if (isBelow(a, b) || isBelow(b, a)) return false;
    if (to.inode === from.inode) return true;
    if (to.inode !== undefined) {
      if ((to.inode.kind === 'directory') !== (from.inode.kind === 'directory')) return false;
      if (to.inode.entries.size > 0) return false;
      unset(to, to.inode);
    }
    unset(from, from.inode);
    set(to, from.inode);
    return true;
  }

  #exchange(a: string, b: string): boolean {
    const [from, to] = [this.#place(a), this.#place(b)];
    if (from?.inode === undefined || to?.inode === undefined) return false;
    if (isBelow(a, b) || isBelow(b, a)) return false;
    if (from.inode === to.inode) return true;
    for (const place of [from, to]) unset(place, place.inode!);
    set(from, to.inode);
    set(to, from.inode);
    return true;
  }

  #setxattr(path: string, name: string, value: Buffer | undefined): boolean {
    const inode = this.#find(path);
    if (inode?.kind !== 'file' && inode?.kind !== 'directory') return false;
    const xattrs = new Map(inode.xattrs);
    if (value !== undefined) xattrs.set(name, value);
    else if (!xattrs.delete(name)) return false;
    inode.xattrs = xattrs;
    return true;
  }

  #chmod(path: string, mode: number): boolean {
    const inode = this.#find(path);
    if (inode === undefined || inode.kind === 'symlink') return false;
    inode.mode = mode;
    return true;
  }

  #utime(path: string, mtime: string): boolean {
    const inode = this.#find(path);
    if (inode === undefined) return false;
    inode.mtime = mtime;
    return true;
  }
}

function set({ directory, name }: Place, inode: Inode): void {
  directory.entries.set(name, inode);
  directory.mtime = undefined;
  inode.links++;
}

function unset({ directory, name }: Place, inode: Inode): void {
  directory.entries.delete(name);
  directory.mtime = undefined;
  inode.links--;
}

function isBelow(path: string, above: string): boolean {
  return path.startsWith(`${above}/`);
}

/** The bytes that a call of a client writes: whose they are can be read off. As `bytes` in client.py. */
export function pattern(client: number, number: number, length: number): Buffer {
  const word = String(client).padStart(2, '0') + String(number).padStart(6, '0');
  return Buffer.from(word.repeat(Math.ceil(length / word.length))).subarray(0, length);
}
