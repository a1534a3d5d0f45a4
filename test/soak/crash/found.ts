/** What is in a directory, as look.py tells it, and what must hold of any tree. */
import { inflateSync } from 'node:zlib';
import { type Inode, type Kind, newInode } from './model.js';

interface Line {
  path: string;
  kind: Kind;
  mode: number;
  ino: number;
  links: number;
  size: number;
  mtime: string;
  content: string;
  target: string;
  xattrs: Record<string, string>;
}

/**
 * The tree that look.py told of. Throws where it contradicts itself: link counts that are not the names that there are,
 * sizes that are not the bytes, an inode of two kinds.
 */
export function readFound(text: string): Inode {
  const inodes = new Map<number, Inode>();
  const told = new Map<Inode, number>();
  let root: Inode | undefined;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const entry = JSON.parse(line) as Line;
    const inode = inodes.get(entry.ino) ?? inodeOf(entry);
    if (inodes.has(entry.ino) && (inode.kind === 'directory' || inode.kind !== entry.kind)) {
      throw new Error(`${entry.path}: inode ${entry.ino} is there already`);
    }
    inodes.set(entry.ino, inode);
    told.set(inode, entry.links);
    const bytes = inode.kind === 'symlink' ? Buffer.byteLength(inode.target) : inode.content.length;
    if (inode.kind !== 'directory' && entry.size !== bytes) {
      throw new Error(`${entry.path}: tells ${entry.size} bytes and has ${bytes}`);
    }
    if (root === undefined) root = inode;
    else put(root, entry.path, inode);
  }
  if (root === undefined) throw new Error('there is nothing to be seen');
  for (const [inode, links] of told) {
    const below = [...inode.entries.values()].filter(({ kind }) => kind === 'directory');
    const has = inode.kind === 'directory' ? 2 + below.length : inode.links;
    if (links !== has) throw new Error(`inode ${inode.ino} tells ${links} links and has ${has}`);
  }
  return root;
}

function inodeOf({ ino, kind, mode, mtime, content, target, xattrs }: Line): Inode {
  return {
    ...newInode(kind, mode, target),
    ino,
    mtime,
    content: content === '' ? Buffer.alloc(0) : unpacked(content),
    xattrs: new Map(Object.entries(xattrs).map(([name, value]) => [name, unpacked(value)])),
  };
}

function unpacked(text: string): Buffer {
  return inflateSync(Buffer.from(text, 'base64'));
}

function put(root: Inode, path: string, inode: Inode): void {
  const names = path.split('/');
  const name = names.pop()!;
  let directory = root;
  for (const step of names) directory = directory.entries.get(step)!;
  directory.entries.set(name, inode);
  inode.links++;
}
