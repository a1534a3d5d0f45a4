/**
 * The tree as it would be after the operations of a batch that were played so far: what they left under each key they
 * touched, in layers between which a graft changed the names of keys; below that the tree as it stands.
 */
import type { RangeEntry } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import { MAX_BATCH_OPERATIONS } from '../../limits.js';
import { keepShape } from '../../shared/shapes.js';
import type { Scans } from '../read/scanner.js';
import { type Bound, startsWith } from '../state/bound.js';
import type { Change, Graft } from './changes.js';
import { KeyTable } from './key-table.js';

/** The tree as it stands; called under the tree lock. */
export interface Projection {
  version(key: Uint8Array): number | undefined;
  value(key: Uint8Array): Uint8Array | undefined;
  /** Whether no key begins with the prefix. */
  isEmpty(prefix: Uint8Array): boolean;
  /** Keys and values that begin with the prefix, in order. */
  scan(prefix: Uint8Array): Iterable<Entry>;
}

interface Entry {
  key: Uint8Array;
  value: Uint8Array;
}

/** Entries that a look at a prefix collects at a time, after the first. */
const SCANNED_AT_ONCE = 256;

/** What the writer finds of keys, and the scanner of prefixes. */
export function projectionOf(writer: Pick<Projection, 'version' | 'value'>, scanner: Scans): Projection {
  return {
    version: (key) => writer.version(key),
    value: (key) => writer.value(key),
    isEmpty: (prefix) => scanner.count({ key: prefix, inclusive: true }, 1, prefix).keys === 0,
    *scan(prefix) {
      const options = { prefix, delimiter: -1, keysOnly: false };
      let bound: Bound | undefined = { key: prefix, inclusive: true };
      for (let size = 1; bound !== undefined; size = SCANNED_AT_ONCE) {
        const found: RangeEntry[] = [];
        bound = scanner.collect(bound, size, options, found);
        for (const entry of found) if (entry.type === 'key') yield entry;
      }
    },
  };
}

/** What a key holds once the batch has touched it. */
interface Projected {
  readonly key: Uint8Array;
  value: Uint8Array | undefined;
  /** The tree had it, so that its deletion is a change. */
  readonly existed: boolean;
}

/** What the batch did between two grafts. */
interface Layer {
  /** The graft that came before; none for the first layer. */
  graft: Graft | undefined;
  touched: KeyTable<Projected>;
}

/** In place of the version of a key that this very batch has written, which no caller can know. */
export const VERSION_OF_BATCH = -1;

const NOTHING: Projected = { key: new Uint8Array(0), value: undefined, existed: false };

export class ProjectedTree {
  readonly #tree: Projection;
  readonly #layers: Layer[] = [];
  #top = new KeyTable<Projected>();
  /** Under which name the tree knows the key that the batch was last found not to have touched. */
  #name = NOTHING.key;

  constructor(tree: Projection) {
    this.#tree = tree;
    this.#layers.push({ graft: undefined, touched: this.#top });
  }

  version(key: Uint8Array): number | undefined {
    const touched = this.#touched(key);
    if (touched === undefined) return this.#tree.version(this.#name);
    return touched.value === undefined ? undefined : VERSION_OF_BATCH;
  }

  value(key: Uint8Array): Uint8Array | undefined {
    const touched = this.#touched(key);
    return touched === undefined ? this.#tree.value(this.#name) : touched.value;
  }

  /** Looks down through the layers; undefined: the batch has not touched the key. */
  #touched(key: Uint8Array): Projected | undefined {
    let name = key;
    for (let level = this.#layers.length - 1; level >= 0; level--) {
      const { graft, touched } = this.#layers[level] as Layer;
      const found = touched.get(name);
      if (found !== undefined) return found;
      if (graft === undefined) continue;
      if (startsWith(name, graft.destination)) name = replacePrefix(name, graft.destination, graft.source);
      else if (startsWith(name, graft.source)) return NOTHING;
    }
    this.#name = name;
    return undefined;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const before = this.#top.get(key);
    if (before !== undefined) before.value = value;
    // Whether a key that is put existed does not matter, unless the batch deletes it after that; then that is one in vain.
    else this.#top.add({ key, value, existed: true });
  }

  /** `exists`: whether the key is there. */
  remove(key: Uint8Array, exists: boolean): void {
    const before = this.#top.get(key);
    if (before !== undefined) before.value = undefined;
    else this.#top.add({ key, value: undefined, existed: exists });
  }

  graft(source: Uint8Array, destination: Uint8Array): void {
    this.#top = new KeyTable();
    this.#layers.push({ graft: { source, destination }, touched: this.#top });
  }

  /** Everything that begins with the prefix, in no particular order. */
  entries(prefix: Uint8Array): Iterable<Entry> {
    return this.#entries(prefix, this.#layers.length - 1);
  }

  *#entries(prefix: Uint8Array, level: number): Generator<Entry> {
    const { touched } = this.#layers[level] as Layer;
    for (const { key, value } of touched.all) {
      if (value !== undefined && startsWith(key, prefix)) yield { key, value };
    }
    for (const entry of this.#below(prefix, level)) {
      if (touched.get(entry.key) === undefined) yield entry;
    }
  }

  /** What the layers below show, under the names that the graft between gave it. */
  *#below(prefix: Uint8Array, level: number): Generator<Entry> {
    const { graft } = this.#layers[level] as Layer;
    if (graft === undefined) {
      yield* this.#tree.scan(prefix);
      return;
    }
    const { source, destination } = graft;
    const isInside = startsWith(prefix, destination);
    if (isInside || startsWith(destination, prefix)) {
      const moved = isInside ? replacePrefix(prefix, destination, source) : source;
      for (const { key, value } of this.#entries(moved, level - 1)) {
        yield { key: replacePrefix(key, source, destination), value };
      }
    }
    // Nothing else is below the destination, and nothing is left below the source.
    if (isInside || startsWith(prefix, source)) return;
    for (const entry of this.#entries(prefix, level - 1)) if (!startsWith(entry.key, source)) yield entry;
  }

  /** Entries below the prefix, as many as one batch may touch. */
  list(prefix: Uint8Array): Entry[] {
    const found: Entry[] = [];
    for (const entry of this.entries(prefix)) {
      if (found.push(entry) <= MAX_BATCH_OPERATIONS) continue;
      throw new SpinneyError(
        'ERR_BATCH_TOO_LARGE',
        `Cannot do the batch: more than ${MAX_BATCH_OPERATIONS} keys begin with the prefix`,
      );
    }
    return found;
  }

  /** Whether nothing begins with the prefix, besides what begins with `except`. */
  isEmpty(prefix: Uint8Array, except?: Uint8Array): boolean {
    if (except !== undefined && startsWith(prefix, except)) return true;
    const mayExcept = except !== undefined && startsWith(except, prefix);
    if (!mayExcept && this.#isUntouched(prefix)) return this.#tree.isEmpty(prefix);
    for (const { key } of this.entries(prefix)) {
      if (except === undefined || !startsWith(key, except)) return false;
    }
    return true;
  }

  /** Whether what begins with the prefix is as in the tree as it stands. */
  #isUntouched(prefix: Uint8Array): boolean {
    return this.#layers.length === 1 && !this.#top.all.some(({ key }) => startsWith(key, prefix));
  }

  changes(): Change[] {
    const changes: Change[] = [];
    for (const { graft, touched } of this.#layers) {
      if (graft !== undefined) changes.push(graft);
      for (const { key, value, existed } of touched.all) {
        if (value !== undefined || existed) changes.push({ key, value });
      }
    }
    return changes;
  }
}

export function replacePrefix(key: Uint8Array, from: Uint8Array, to: Uint8Array): Uint8Array {
  return Buffer.concat([to, key.subarray(from.length)]);
}

keepShape(
  new ProjectedTree({
    version: () => undefined,
    value: () => undefined,
    isEmpty: () => true,
    scan: () => [],
  }),
);
