/**
 * Plays what another machine has changed, in the thread that serves the mount, so that no request sees the tree in between. What the kernel and the node table
 * believe of names follows; what the kernel has to forget is told to whoever announces it, in another thread: an announcement may wait for a request.
 */
import type { Tree } from '../../../engine/index.js';
import { contentOfRow, recordsOf } from '../../../engine/shipped-contents.js';
import {
  ENTRY,
  ENTRY_XATTR,
  entryKey,
  INODE,
  INODE_XATTR,
  inoOfKey,
  isNumberedKey,
  ORPHAN,
  ownerOfXattr,
  parentOf,
  pathOfKey,
  SLASH,
} from '../../filesystem/records/keys.js';
import * as record from '../../filesystem/records/record.js';
import type { FollowedAnswers } from '../../filesystem/types.js';
import { ROOT_NODE } from '../protocol/protocol.js';
import { ReusableBytes } from '../protocol/reusable-bytes.js';
import type { NodeTable } from './node-table.js';

/** What the kernel is to forget. */
export interface Announcement {
  /** Names in directories, by these nodes. */
  entries: { parent: number; name: Uint8Array }[];
  /** Attributes, and with them contents and listings. */
  inodes: number[];
}

/** One name before and after. */
interface Name {
  path: Uint8Array;
  was: Held | undefined;
}

interface Held {
  parent: number;
  ino: number;
}

type Changes = Parameters<Tree['apply']>[0];

export class FollowedChanges {
  readonly #tree: Tree;
  readonly #nodes: NodeTable;
  readonly #fileSystem: FollowedAnswers;
  readonly #path = new ReusableBytes(4096);
  /** Not announced yet. */
  #entries: Announcement['entries'] = [];
  readonly #inodes = new Set<number>();

  constructor(tree: Tree, nodes: NodeTable, fileSystem: FollowedAnswers) {
    this.#tree = tree;
    this.#nodes = nodes;
    this.#fileSystem = fileSystem;
  }

  /** Plays bodies of records, one after another. @throws as `Tree.apply`; then some are played, and `announcement` has these */
  play(bodies: readonly Uint8Array[]): void {
    try {
      for (const body of bodies) {
        for (const { changes } of recordsOf(body)) this.#playRecord(changes);
      }
    } finally {
      this.#fileSystem.relocate((ino) => this.#placeOf(ino));
    }
  }

  /** What the kernel is to forget since this was asked last. */
  announcement(): Announcement {
    const isKnown = (ino: number) => ino === ROOT_NODE || this.#nodes.has(ino);
    const announcement = { entries: this.#entries, inodes: [...this.#inodes].filter(isKnown) };
    this.#entries = [];
    this.#inodes.clear();
    return announcement;
  }

  #playRecord(changes: Changes): void {
    const inodes = this.#inodes;
    const names: Name[] = [];
    const contents: { ino: number; born: number }[] = [];
    for (const change of changes) {
      // What is below a directory goes with it: nodes know their parents, not paths.
      if ('source' in change) continue;
      const { key } = change;
      switch (key[0]) {
        case ENTRY: {
          const path = new Uint8Array(pathOfKey(key));
          names.push({ path, was: this.#held(path) });
          break;
        }
        case INODE:
        case ORPHAN:
          if (isNumberedKey(key)) inodes.add(inoOfKey(key));
          break;
        case ENTRY_XATTR:
        case INODE_XATTR:
          this.#noteOwner(key);
          break;
        default: {
          const content = contentOfRow(key);
          if (content?.row === 0) contents.push(content);
        }
      }
    }
    this.#tree.apply(changes);
    this.#follow(names);
    for (const { ino, born } of contents) {
      this.#fileSystem.contentChanged(ino, born);
      inodes.add(ino);
    }
  }

  #follow(names: readonly Name[]): void {
    const nodes = this.#nodes;
    const inodes = this.#inodes;
    const now = names.map(({ path }) => this.#held(path));
    // A name that is given anew must have been lost before.
    for (const [index, { path, was }] of names.entries()) {
      const is = now[index];
      if (was === undefined || isSame(was, is)) continue;
      const name = nameOf(path);
      // One that moves keeps its node while it has no name.
      nodes.nameRemoved(was.parent, name, was.ino);
      this.#fileSystem.nameLost(was.parent, name);
    }
    for (const [index, { path, was }] of names.entries()) {
      const is = now[index];
      for (const held of [was, is]) if (held !== undefined) inodes.add(held.ino);
      if (path.length === 0 || isSame(was, is)) continue;
      const name = nameOf(path);
      if (is !== undefined) nodes.nameAdded(is.parent, name, is.ino);
      for (const held of [was, is]) {
        if (held === undefined || (held.parent !== ROOT_NODE && !nodes.has(held.parent))) continue;
        this.#entries.push({ parent: held.parent, name });
        inodes.add(held.parent);
      }
    }
  }

  #placeOf(ino: number): Uint8Array | undefined {
    const place = this.#nodes.place(ino, this.#path);
    return typeof place === 'number' ? undefined : place;
  }

  /** What has this path, and what its directory is. */
  #held(path: Uint8Array): Held | undefined {
    const entry = this.#tree.get(entryKey(path));
    if (entry === undefined) return undefined;
    const parent = path.length === 0 ? undefined : this.#tree.get(entryKey(parentOf(path)));
    return { parent: parent === undefined ? 0 : record.inoOf(parent), ino: record.inoOf(entry) };
  }

  #noteOwner(key: Uint8Array): void {
    const owner = ownerOfXattr(key);
    const found = owner && this.#tree.get(owner);
    if (found !== undefined) this.#inodes.add(record.inoOf(found));
  }
}

function isSame(was: Held | undefined, is: Held | undefined): boolean {
  return was?.ino === is?.ino && was?.parent === is?.parent;
}

function nameOf(path: Uint8Array): Uint8Array {
  return path.slice(path.lastIndexOf(SLASH) + 1);
}
