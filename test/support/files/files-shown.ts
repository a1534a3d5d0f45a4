/** What a filesystem shows to who looks at all of it. */
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import type { FileSystem } from '../../../mount/filesystem/file-system.js';
import type { Caller } from '../../../mount/filesystem/types.js';
import { type ShownEntry, show } from './files-model.js';

export const CALLER: Caller = { uid: 0, gid: 0, pid: 1, umask: 0o022 };
const TYPE = 0o170000;
const DIRECTORY = 0o040000;

export const bytesOf = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const textOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

/** As a model's `shown`. */
export function shownBy(fs: FileSystem): string {
  const found: (Omit<ShownEntry, 'names'> & { ino: number; links: number })[] = [];
  const add = (path: string): void => {
    const { ino, mode, nlink } = statOf(fs, path);
    const isDirectory = (mode & TYPE) === DIRECTORY;
    found.push({ path, ino, isDirectory, links: nlink, xattrs: xattrsOf(fs, path) });
    if (isDirectory) for (const name of namesIn(fs, path)) add(`${path}/${name}`);
  };
  add('');
  return show(
    found.map((entry) => {
      const names = found.filter(({ ino }) => ino === entry.ino).map(({ path }) => path);
      if (!entry.isDirectory && names.length !== entry.links)
        throw new Error(`${entry.path} has ${entry.links} links, and ${names.length} names`);
      return { ...entry, names };
    }),
  );
}

/** The whole content, which has the size that stat tells. */
export function readContent(fs: FileSystem, path: string): Uint8Array {
  const handle = must(fs.open(CALLER, bytesOf(path), 0), `open ${path}`);
  try {
    const found = readHandle(fs, handle);
    const { size } = statOf(fs, path);
    if (size !== found.length)
      throw new Error(`${path} has ${found.length} bytes, and ${size} as stat tells`);
    return found;
  } finally {
    fs.release(handle);
  }
}

export function readHandle(fs: FileSystem, handle: number): Uint8Array {
  const into = new Uint8Array(1 << 17);
  return into.slice(0, must(fs.read(handle, into, 0, into.length, 0), `read ${handle}`));
}

export function statOf(fs: FileSystem, path: string) {
  const out = newAttributes();
  must(fs.getattr(bytesOf(path), out), `stat ${path}`);
  return out;
}

function namesIn(fs: FileSystem, path: string): string[] {
  const handle = must(fs.opendir(bytesOf(path)), `open ${path}`);
  const names: string[] = [];
  must(
    fs.readdir(handle, 0, false, (name) => {
      names.push(textOf(name));
      return true;
    }),
    `list ${path}`,
  );
  fs.releasedir(handle);
  return names.filter((name) => name !== '.' && name !== '..');
}

function xattrsOf(fs: FileSystem, path: string): [string, string][] {
  const names = fs.listxattr(CALLER, bytesOf(path));
  if (typeof names === 'number') throw new Error(`list attributes of ${path}: ${names}`);
  return textOf(names)
    .split('\0')
    .filter((name) => name !== '')
    .map((name) => {
      const value = fs.getxattr(bytesOf(path), bytesOf(name));
      if (typeof value === 'number') throw new Error(`attribute ${name} of ${path}: ${value}`);
      return [name, textOf(value)];
    });
}

export function must(result: number, what: string): number {
  if (result < 0) throw new Error(`${what}: errno ${-result}`);
  return result;
}
