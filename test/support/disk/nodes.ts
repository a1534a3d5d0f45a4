/**
 * Files and directories of a simulated disk: of each what a process sees, what is durable, and the changes in between.
 */
import { Pages } from './pages.js';

/** Of a file: what its inode tells beside its size. */
export interface Times {
  readonly mtimeSeconds: number;
  readonly mtimeNanos: number;
  readonly ctimeSeconds: number;
}

/** `times`: those of the file after the change. */
export type FileChange = { readonly times: Times } & (
  | { kind: 'write'; position: number; data: Uint8Array }
  | { kind: 'allocate'; offset: number; length: number; keepsSize: boolean }
  | { kind: 'punch'; offset: number; length: number }
  | { kind: 'truncate'; size: number }
  | { kind: 'times' }
);

export type DirectoryChange =
  | { kind: 'add'; name: string; node: Node }
  | { kind: 'remove'; name: string }
  | { kind: 'rename'; from: string; to: string; node: Node };

/** What tells a node from all that were there before. */
interface Identity {
  readonly number: number;
}

export interface FileNode extends Identity {
  seen: Pages;
  durable: Pages;
  unsynced: FileChange[];
  links: number;
  /** Open descriptors and mappings. */
  opens: number;
  map?: { bytes: Uint8Array<ArrayBuffer>; users: number };
}

export interface DirectoryNode extends Identity {
  seen: Map<string, Node>;
  durable: Map<string, Node>;
  unsynced: DirectoryChange[];
}

export type Node = FileNode | DirectoryNode;

export function isFile(node: Node): node is FileNode {
  return node.seen instanceof Pages;
}

export function newFile(number: number): FileNode {
  return { number, seen: new Pages(), durable: new Pages(), unsynced: [], links: 0, opens: 0 };
}

export function newDirectory(number: number): DirectoryNode {
  return { number, seen: new Map(), durable: new Map(), unsynced: [] };
}

export function applyToFile(pages: Pages, change: FileChange): void {
  if (change.kind === 'write') pages.write(change.data, change.position);
  else if (change.kind === 'allocate') pages.allocate(change.offset, change.length, change.keepsSize);
  else if (change.kind === 'punch') pages.punch(change.offset, change.length);
  else if (change.kind === 'truncate') pages.truncate(change.size);
  pages.times = change.times;
}

export function applyToDirectory(entries: Map<string, Node>, change: DirectoryChange): void {
  if (change.kind === 'add') entries.set(change.name, change.node);
  else if (change.kind === 'remove') entries.delete(change.name);
  else {
    entries.delete(change.from);
    entries.set(change.to, change.node);
  }
}

/** Keeps of a write the file size, perhaps, and each of the pieces of `pieceBytes` that it touches, perhaps. */
export function applyTorn(pages: Pages, change: FileChange, random: () => number, pieceBytes: number): void {
  if (change.kind !== 'write') {
    applyToFile(pages, change);
    return;
  }
  const { size } = pages;
  const end = change.position + change.data.length;
  if (random() < 0.5) pages.size = Math.max(pages.size, end);
  for (let at = change.position; at < end; ) {
    const pieceEnd = Math.min(end, (Math.floor(at / pieceBytes) + 1) * pieceBytes);
    if (random() < 0.5) {
      pages.write(change.data.subarray(at - change.position, pieceEnd - change.position), at);
    }
    at = pieceEnd;
  }
  // Size and times are in one inode.
  if (pages.size !== size) pages.times = change.times;
}

/** All that is seen of a file, or of a directory, is durable. */
export function makeDurable(node: Node): void {
  if (isFile(node)) for (const change of node.unsynced) applyToFile(node.durable, change);
  else node.durable = new Map(node.seen);
  node.unsynced = [];
}
