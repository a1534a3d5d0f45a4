/** The contents that the rows of a tree promise, against what lies in the remote. */
import { reasonOf } from '../../errors.js';
import { FETCHES_AT_ONCE } from '../../limits.js';
import type { WorkProgress } from '../../progress.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import type { Tree } from '../../tree/tree.js';
import { fetchPart } from '../contents/fetch-part.js';
import {
  type ContentPart,
  contentOfRow,
  namesInRow,
  SHIPPED_CONTENTS_PREFIX,
  shippedContent,
} from '../contents/rows.js';
import { eachAtOnce } from '../each-at-once.js';

export interface ContentTotals {
  /** Contents that rows tell of, and their bytes. */
  contents: number;
  bytes: number;
  /** Objects that they are in. */
  objects: number;
}

export interface RemoteContentsOptions {
  tree: Tree;
  /** Names and bytes of the objects that are there. */
  objects: ReadonlyMap<string, number>;
  /** What the manifest keeps, and up to which LSN the tree is the manifest's. */
  references: ReadonlySet<string>;
  checkpointLsn: number;
  /** No writer has the remote: nothing is still to be shipped. */
  isReleased: boolean;
}

export class RemoteContents {
  /** Whether somebody ships what is missing. */
  readonly isBeingShipped: boolean;
  /** Objects that rows name. */
  readonly needed = new Set<string>();
  readonly #options: RemoteContentsOptions;
  #totals: ContentTotals = { contents: 0, bytes: 0, objects: 0 };

  constructor(options: RemoteContentsOptions) {
    this.#options = options;
    this.isBeingShipped = !options.isReleased;
  }

  get totals(): ContentTotals {
    return this.#totals;
  }

  /** Looks at all rows, and tells of objects that the manifest does not keep. */
  checkRows(damage: (message: string) => void): void {
    const { tree, references, checkpointLsn } = this.#options;
    let bytes = 0;
    let contents = 0;
    for (const item of tree.range({ prefix: SHIPPED_CONTENTS_PREFIX })) {
      if (item.type !== 'key') continue;
      const content = contentOfRow(item.key);
      if (content === undefined) continue;
      for (const name of namesInRow(item.key, item.value)) {
        const isLost = item.version <= checkpointLsn && !references.has(name) && !this.needed.has(name);
        this.needed.add(name);
        if (isLost) damage(`${name}: files have contents in it, and the manifest does not keep it`);
      }
      if (content.row > 0) continue;
      contents++;
      bytes += this.find(content.ino, content.born)?.bytes ?? 0;
    }
    this.#totals = { contents, bytes, objects: this.needed.size };
  }

  /** Bytes of the content, and what of them is missing; undefined: the remote has nothing of it. */
  find(ino: number, born: number): { bytes: number; fault: string | undefined } | undefined {
    try {
      const content = shippedContent(this.#options.tree, ino, born);
      if (content === undefined) return undefined;
      const { parts, size } = content;
      for (const [index, part] of parts.entries()) {
        const fault = this.#faultOf(part);
        if (fault !== undefined)
          return {
            bytes: size,
            fault: `part ${index + 1} of ${parts.length} of its content is missing: ${fault}`,
          };
      }
      return { bytes: size, fault: undefined };
    } catch (error) {
      if (!hasCode(error, 'ERR_REMOTE_CORRUPT')) throw error;
      return { bytes: 0, fault: reasonOf(error) };
    }
  }

  *list(): IterableIterator<{ ino: number; born: number }> {
    for (const item of this.#options.tree.range({ prefix: SHIPPED_CONTENTS_PREFIX })) {
      if (item.type !== 'key') continue;
      const content = contentOfRow(item.key);
      if (content?.row === 0) yield content;
    }
  }

  /** Fetches all of them, and compares their checksums. `between` is called between any two requests. @throws as the object store */
  async checkBytes(
    store: ObjectStore,
    damage: (message: string) => void,
    progress: WorkProgress,
    between: () => Promise<void>,
  ): Promise<void> {
    progress.begin('reading contents', this.#totals.bytes);
    await eachAtOnce(this.#partsThere(), FETCHES_AT_ONCE, async ({ where, part }) => {
      await between();
      try {
        await fetchPart(store, part);
      } catch (error) {
        if (!hasCode(error, 'ERR_REMOTE_CORRUPT')) throw error;
        damage(`${where}: ${reasonOf(error)}`);
      }
      progress.step(part.bytes);
    });
  }

  /** Those that were not told to be missing. */
  *#partsThere(): IterableIterator<{ where: string; part: ContentPart }> {
    for (const { ino, born } of this.list()) {
      if (this.find(ino, born)?.fault !== undefined) continue;
      const made = born === 0 ? '' : `, made after snapshot ${born}`;
      const { parts } = shippedContent(this.#options.tree, ino, born)!;
      for (const [index, part] of parts.entries())
        yield { where: `part ${index + 1} of ${parts.length} of the content of inode ${ino}${made}`, part };
    }
  }

  #faultOf({ name, offset, bytes }: ContentPart): string | undefined {
    if (name === undefined) return undefined;
    const there = this.#options.objects.get(name);
    if (there === undefined) return `there is no ${name}`;
    return there >= offset + bytes
      ? undefined
      : `${name} has ${there} bytes, it should have ${offset + bytes}`;
  }
}
