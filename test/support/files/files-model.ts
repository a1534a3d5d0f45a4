/** What a filesystem under a seeded load should hold: its names at one moment, and what of each file's content may be lost. */

export interface InodeModel {
  readonly isDirectory: boolean;
  readonly xattrs: ReadonlyMap<string, string>;
}

/** Names, and what they stand for. Paths are as `/d/a`; the root is the empty path. */
export class NamesModel {
  readonly paths: Map<string, number>;
  readonly inodes: Map<number, InodeModel>;

  constructor(from?: NamesModel) {
    this.paths = new Map(from?.paths ?? [['', 0]]);
    this.inodes = new Map(from?.inodes ?? [[0, { isDirectory: true, xattrs: new Map() }]]);
  }

  directories(): string[] {
    return [...this.paths].filter(([, id]) => this.inodes.get(id)!.isDirectory).map(([path]) => path);
  }

  files(): string[] {
    return [...this.paths].filter(([, id]) => !this.inodes.get(id)!.isDirectory).map(([path]) => path);
  }

  inode(path: string): InodeModel {
    return this.inodes.get(this.paths.get(path)!)!;
  }

  isEmpty(directory: string): boolean {
    return ![...this.paths.keys()].some((path) => path.startsWith(`${directory}/`));
  }

  add(path: string, id: number, isDirectory = false): void {
    this.paths.set(path, id);
    if (!this.inodes.has(id)) this.inodes.set(id, { isDirectory, xattrs: new Map() });
  }

  remove(path: string): void {
    const id = this.paths.get(path)!;
    this.paths.delete(path);
    if (![...this.paths.values()].includes(id)) this.inodes.delete(id);
  }

  move(from: string, to: string): void {
    const moved = [...this.paths].filter(([path]) => path === from || path.startsWith(`${from}/`));
    if (this.paths.has(to)) this.remove(to);
    for (const [path] of moved) this.paths.delete(path);
    for (const [path, id] of moved) this.paths.set(to + path.slice(from.length), id);
  }

  setXattr(path: string, name: string, value: string | undefined): void {
    const id = this.paths.get(path)!;
    const inode = this.inodes.get(id)!;
    const xattrs = new Map(inode.xattrs);
    if (value === undefined) xattrs.delete(name);
    else xattrs.set(name, value);
    this.inodes.set(id, { ...inode, xattrs });
  }

  /** All that can be seen, as text. */
  shown(): string {
    return show(
      [...this.paths].map(([path, id]) => {
        const { isDirectory, xattrs } = this.inodes.get(id)!;
        const names = [...this.paths].filter(([, other]) => other === id).map(([name]) => name);
        return { path, isDirectory, names, xattrs: [...xattrs] };
      }),
    );
  }
}

export interface ShownEntry {
  path: string;
  isDirectory: boolean;
  /** All paths of the same inode. */
  names: readonly string[];
  xattrs: readonly (readonly [string, string])[];
}

export function show(entries: readonly ShownEntry[]): string {
  return entries
    .map(({ path, isDirectory, names, xattrs }) => {
      const values = [...xattrs].sort().map(([name, value]) => `${name}=${value}`);
      return [path || '/', isDirectory ? 'directory' : [...names].sort().join('='), ...values].join(' ');
    })
    .sort()
    .join('\n');
}

/** The content of a file: now, and what it was since it was durable for sure. */
export class ContentModel {
  now: Uint8Array = new Uint8Array(0);
  /** Of the acknowledged sync, first; and all since. */
  versions: Uint8Array[] = [this.now];
  /** Nothing that was lost comes back: what is acknowledged of it now is not known to be durable. */
  isDoubtful = false;

  become(content: Uint8Array): void {
    this.now = content;
    this.versions.push(content);
  }

  synced(): void {
    if (!this.isDoubtful) this.versions = [this.now];
  }
}

export function written(content: Uint8Array, data: Uint8Array, position: number): Uint8Array {
  const result = new Uint8Array(Math.max(content.length, position + data.length));
  result.set(content);
  result.set(data, position);
  return result;
}

export function resized(content: Uint8Array, size: number): Uint8Array {
  const result = new Uint8Array(size);
  result.set(content.subarray(0, size));
  return result;
}

/**
 * What is wrong with `found`, which must be one of the versions or, where there are several, made of their bytes (and of
 * zeros, if something may be lost) and of a size between theirs.
 */
export function faultOf(
  found: Uint8Array,
  versions: readonly Uint8Array[],
  mayBeLost: boolean,
): string | undefined {
  const least = Math.min(...versions.map(({ length }) => length));
  const most = Math.max(...versions.map(({ length }) => length));
  if (found.length < least || found.length > most)
    return `it has ${found.length} bytes, not ${least} to ${most}`;
  const mayBeZero = mayBeLost && versions.length > 1;
  for (let i = 0; i < found.length; i++) {
    const byte = found[i];
    if (byte === 0 && mayBeZero) continue;
    if (!versions.some((version) => (version[i] ?? 0) === byte))
      return `its byte ${i} is ${byte}, not ${[...new Set(versions.map((version) => version[i]))].join(' or ')}`;
  }
  return undefined;
}
