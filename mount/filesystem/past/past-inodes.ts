/** Reads the names and inodes of one snapshot. Places are paths: what had no name then cannot be reached. */
import type { TreeReads } from '../../../engine/api.js';
import { type Found, findByKey, followEntry, type ReadableInodes } from '../inodes/readable.js';
import { entryKey } from '../records/keys.js';
import { Labels } from '../records/labels.js';
import type { Attributes, Place } from '../types.js';
import type { PastContents } from './past-files.js';

export class PastInodes implements ReadableInodes {
  readonly tree: TreeReads;
  readonly labels: Labels;
  readonly #contents: PastContents;

  constructor(tree: TreeReads, contents: PastContents) {
    this.tree = tree;
    this.labels = new Labels(tree);
    this.#contents = contents;
  }

  read(place: Place): Uint8Array | undefined {
    return typeof place === 'number' ? undefined : this.follow(this.tree.get(entryKey(place)));
  }

  find(place: Place): Found | undefined {
    return typeof place === 'number' ? undefined : findByKey(this.tree, entryKey(place));
  }

  follow(entry: Uint8Array | undefined): Uint8Array | undefined {
    return followEntry(this.tree, entry);
  }

  attributes(inode: Uint8Array, out: Attributes): void {
    this.#contents.attributesOf(inode, out);
    out.live = false;
    out.changesUnseen = false;
  }
}
