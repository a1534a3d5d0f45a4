/**
 * Two threads' views of one tree, both run by one thread: so that what one of them does can be put before any step of
 * what the other does, and the same interleaving comes about each time.
 *
 * A step is a call of a method of the side's cache, locks, pre-images, store or frames. Where a side would have to wait
 * for the other, which cannot go on meanwhile, it throws WouldWait instead.
 */
import type { RangeEntry, TreeReads } from '../../../../engine/api.js';
import { FrameCache } from '../../../../engine/cache/frame-cache.js';
import { PreImages } from '../../../../engine/cache/pre-images.js';
import { C_APPEND_LOCK, C_ROUND_RUNNING, C_TREE_LOCK, Control } from '../../../../engine/shared/control.js';
import { GATE_ROW } from '../../../../engine/shared/gate.js';
import { MemoryBlobStore } from '../../../../engine/store/memory-blob-store.js';
import { openState, settingsOf } from '../../../../engine/tree/open.js';
import { Reader } from '../../../../engine/tree/read/reader.js';
import { Reads } from '../../../../engine/tree/read/reads.js';
import { Scanner } from '../../../../engine/tree/read/scanner.js';
import { Summation } from '../../../../engine/tree/read/summation.js';
import { Views } from '../../../../engine/tree/read/view.js';
import { NEED_FRAMES, TreeState } from '../../../../engine/tree/state/state.js';
import { Compaction } from '../../../../engine/tree/upkeep/compaction.js';
import { inlineMaintenance, satisfy } from '../../../../engine/tree/upkeep/maintenance.js';
import { Round } from '../../../../engine/tree/upkeep/round.js';
import type { Change } from '../../../../engine/tree/write/changes.js';
import { Writer } from '../../../../engine/tree/write/writer.js';
import { SMALL_CACHE } from '../harness.js';

/** The other side has what this one needs. */
export class WouldWait extends Error {}

type Method = (...args: unknown[]) => unknown;

const EMPTY = new Uint8Array(0);

/** Puts `around` in the place of the object's method; it is given the method, bound. */
export function shadow(
  object: object,
  name: string,
  around: (original: Method, args: unknown[]) => unknown,
): void {
  const method = Reflect.get(object, name) as Method;
  const original: Method = (...args) => Reflect.apply(method, object, args);
  Object.defineProperty(object, name, {
    configurable: true,
    writable: true,
    value: (...args: unknown[]) => around(original, args),
  });
}

function methodsOf(object: object): string[] {
  const prototype = Object.getPrototypeOf(object) as object;
  return Object.entries(Object.getOwnPropertyDescriptors(prototype))
    .filter(([name, { value }]) => typeof value === 'function' && name !== 'constructor')
    .map(([name]) => name);
}

export class Side {
  readonly state: TreeState;
  readonly writer: Writer;
  readonly round: Round;
  readonly compaction: Compaction;
  readonly reads: TreeReads;
  readonly views: Views;
  /** Called before each step. */
  onStep: ((step: string) => void) | undefined;
  readonly #watched = new WeakSet<object>();

  constructor(state: TreeState) {
    this.state = state;
    this.round = new Round(state);
    const inline = inlineMaintenance(state, this.round);
    const makeRoom = (): void => satisfy(state, inline, NEED_FRAMES);
    this.writer = new Writer(state, (need, wanted) => {
      const isRoundRunning = state.control.words[C_ROUND_RUNNING] !== 0;
      if (need.what === 'pre-image' || need.what === 'pace' || isRoundRunning) throw new WouldWait();
      satisfy(state, inline, need, wanted);
    });
    this.compaction = new Compaction(state, this.writer);
    const reader = new Reader(state, makeRoom);
    const check = (): void => state.checkOpen();
    const summation = new Summation(state, makeRoom, check);
    this.reads = new Reads(reader, new Scanner(state, reader), summation, check);
    this.views = new Views(state, makeRoom);
    this.#neverWait();
    this.#watchState();
  }

  #neverWait(): void {
    const { control, treeLock, roundLock, compactLock } = this.state;
    const { words, gate } = control;
    const isFree = (): boolean => {
      if (words[C_TREE_LOCK] !== 0) return false;
      for (let row = 0; row < gate.length; row += GATE_ROW) if (gate[row] !== 0) return false;
      return true;
    };
    shadow(treeLock, 'lock', (original) => {
      if (!isFree()) throw new WouldWait();
      return original();
    });
    shadow(treeLock, 'enter', (original) => {
      if (words[C_APPEND_LOCK] !== 0) throw new WouldWait();
      return original();
    });
    for (const lock of [roundLock, compactLock]) {
      shadow(lock, 'lock', () => {
        if (!lock.tryLock()) throw new WouldWait();
        return true;
      });
    }
  }

  #watchState(): void {
    const { cache, preImages, store, treeLock } = this.state;
    for (const object of [cache, preImages, store, treeLock]) this.#watch(object);
    shadow(this.state, 'forViews', (original) => {
      const then = original() as TreeState;
      this.#watch(then.cache);
      this.#watch(then.cache.views);
      return then;
    });
  }

  #watch(object: object): void {
    if (this.#watched.has(object)) return;
    this.#watched.add(object);
    for (const name of methodsOf(object)) {
      shadow(object, name, (original, args) => {
        this.onStep?.(name);
        const result = original(...args);
        if (name === 'frame') this.#watch(result as object);
        return result;
      });
    }
  }

  put(key: string, value: Uint8Array, expected = -1): boolean {
    return this.writer.write(Buffer.from(key), value, expected);
  }

  remove(key: string, expected = -1): boolean {
    return this.writer.remove(Buffer.from(key), expected);
  }

  batch(changes: Change[]): void {
    this.writer.batch(
      () => changes,
      () => ({ body: EMPTY, length: 0 }),
    );
  }

  renamePrefix(source: string, destination: string): void {
    this.batch([{ source: Buffer.from(source), destination: Buffer.from(destination) }]);
  }

  /** Blobs on the way to the key. */
  way(key: string): number[] {
    return this.writer.locked(() => {
      const { mutation } = this.writer;
      mutation.descend(Buffer.from(key));
      return Array.from(mutation.path.subarray(0, mutation.levels), (index) =>
        this.state.cache.blobIn(index),
      );
    });
  }

  keys(prefix: string): string[] {
    const entries = [...this.reads.range({ prefix, keysOnly: true })];
    return entries.map((entry) => nameIn(entry));
  }
}

export function nameIn(entry: RangeEntry): string {
  return Buffer.from(entry.type === 'key' ? entry.key : entry.prefix).toString();
}

/** Two sides of a tree in a store that holds a copy of what `images` does. */
export function openSides(images: MemoryBlobStore): { a: Side; b: Side; store: MemoryBlobStore } {
  const store = copyOf(images);
  const settings = settingsOf({ store, cacheBytes: SMALL_CACHE, flushOnWrite: false });
  const { state: first } = openState(settings);
  const { control, cache, preImages, options } = first;
  const shared = new Control(control.buffer);
  const second = new TreeState(
    shared,
    new FrameCache(shared, cache.handle),
    new PreImages(shared, preImages.handle),
    facadeOf(store),
    undefined,
    77,
    options,
    first.measure,
  );
  return { a: new Side(first), b: new Side(second), store };
}

/** The same store as another object, which is watched for itself. */
function facadeOf(store: MemoryBlobStore): MemoryBlobStore {
  const facade = new MemoryBlobStore();
  for (const name of methodsOf(store)) {
    const method = Reflect.get(MemoryBlobStore.prototype, name) as Method;
    shadow(facade, name, (_, args) => Reflect.apply(method, store, args));
  }
  return facade;
}

export function copyOf(store: MemoryBlobStore): MemoryBlobStore {
  const copy = new MemoryBlobStore();
  const image = new Uint8Array(512 * 1024);
  for (const id of store.listBlobs()) {
    store.readBlob(id, image);
    copy.writeBlob(id, image);
  }
  copy.flush(store.readMark());
  return copy;
}
