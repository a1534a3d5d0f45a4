/**
 * A tree on a seeded disk under a seeded load, with its history: what it held at each LSN, and how much of that must
 * survive. Whatever is done to its disk, a tree opened on what is left must be one of those states.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { crc32 } from 'node:zlib';
import type { Durability, TreeReads } from '../../engine/api.js';
import type { Disk } from '../../engine/disk/disk.js';
import { SpinneyError, Tree } from '../../engine/index.js';
import type { JournalSizes } from '../../engine/journal/sizes.js';

import { MIN_CACHE_BYTES } from '../../engine/limits.js';
import { Run } from '../engine/tree/harness.js';
import { below, KEY_SPACES, pick, type Random, stepOf } from '../engine/tree/keys.js';
import { Model, type Operation } from '../engine/tree/model.js';
import { FaultDisk } from './disk/fault-disk.js';
import type { DiskCall, DiskCallName } from './disk/faults.js';
import { MemoryDisk } from './disk/memory-disk.js';
import { seededRandom } from './disk/random.js';
import { assertSums, SIZES } from './measured.js';

export const STORE = '/store';

/** Values for trees of one blob and of several; and journals as small as they allow, so that every edge is met soon. */
const SCALES = {
  small: {
    values: [0, 1, 7, 30, 100, 500, 2000],
    sizes: {
      ringBytes: 32_768,
      maxBodyBytes: 16_384,
      segmentBytes: 49_152,
      reserveBytes: 16_384,
      firstBytes: 8192,
    },
  },
  large: {
    values: [0, 30, 2000, 20_000, 30_000],
    sizes: {
      ringBytes: 262_144,
      maxBodyBytes: 200_000,
      segmentBytes: 524_288,
      reserveBytes: 262_144,
      firstBytes: 65_536,
    },
  },
} as const satisfies Record<string, { values: readonly number[]; sizes: JournalSizes }>;
export type Scale = keyof typeof SCALES;

/** Key spaces whose keys are short, so that the journal can be small. */
const SPACES = KEY_SPACES.filter(({ name }) => ['bytes', 'edges', 'paths'].includes(name));

/** Calls that change nothing that could be lost: a crash before one leaves what a crash before the next leaves. */
const LOOKS: ReadonlySet<DiskCallName> = new Set<DiskCallName>([
  'read',
  'size',
  'list',
  'exists',
  'isSameFile',
  'identify',
  'lock',
  'readAhead',
  'expectRandomReads',
  'freeBytes',
  'close',
  'status',
  'statusAt',
  'nodeAt',
  'space',
  'seek',
  'isWrittenElsewhere',
  'openDirectory',
  'startWriteback',
]);
export const isLook = (name: DiskCallName): boolean => LOOKS.has(name);

/**
 * Each opening takes some megabytes of shared memory, which the collector thinks nothing of: it would let thousands of them
 * pile up. Memory that is used again soon costs less than new memory, by far.
 */
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const OPENINGS_PER_COLLECTION = 50;
let openings = 0;

/** A tree on the disk, as small as can be; what is due is done when it is asked for. */
export function openOn(disk: Disk, options: { durability?: Durability; scale?: Scale } = {}): Tree {
  const { durability = 'buffered', scale = 'small' } = options;
  const checkpoint = { enabled: false };
  if (++openings % OPENINGS_PER_COLLECTION === 0) collectGarbage();
  return Tree.open(
    { dir: STORE, cacheBytes: MIN_CACHE_BYTES, durability, checkpoint, measure: SIZES },
    { disk, journalSizes: SCALES[scale].sizes },
  );
}

/** Ends a tree that may be past closing: its process has died, or its disk fails. */
export function abandon(tree: Tree): void {
  try {
    tree.close();
  } catch {
    // It is closed all the same.
  }
}

const VERSION = new DataView(new ArrayBuffer(8));

function mix(digest: number, key: Uint8Array, value: Uint8Array, version: number): number {
  VERSION.setFloat64(0, version);
  const head = crc32(new Uint8Array(VERSION.buffer), crc32(key, digest));
  return crc32(value, head);
}

/** Of keys, values and versions in order. */
export function digestOf(tree: TreeReads): number {
  let digest = 0;
  for (const entry of tree.range()) {
    if (entry.type === 'key') digest = mix(digest, entry.key, entry.value, entry.version);
  }
  return digest;
}

function modelDigest(model: Model): number {
  let digest = 0;
  for (const name of model.sorted()) {
    const record = model.records.get(name);
    if (record !== undefined) digest = mix(digest, Buffer.from(name, 'latin1'), record.value, record.version);
  }
  return digest;
}

interface Moment {
  digest: number;
  model: Model;
}

export class SeededTree {
  readonly random: Random;
  readonly durability: Durability;
  readonly scale: Scale;
  disk: FaultDisk;
  readonly run: Run;
  /** Mutations up to this one were acknowledged, or told to be durable. */
  acknowledged = 0;
  /** The last mutation that a call returned from. */
  returned = 0;
  #isOpen = false;
  readonly #moments = new Map<number, Moment>();
  readonly #space;

  /** `scale` and `durability` are drawn where they are not given. `watch` sees the disk before it is used. */
  constructor(
    seed: number,
    options: { scale?: Scale; durability?: Durability; watch?: (site: SeededTree) => void } = {},
  ) {
    this.random = seededRandom(seed);
    this.scale = options.scale ?? (this.random() < 0.75 ? 'small' : 'large');
    this.durability = options.durability ?? pick(this.random, ['buffered', 'written', 'synced'] as const);
    this.#space = pick(this.random, SPACES);
    this.disk = new FaultDisk(new MemoryDisk());
    this.#moments.set(0, { digest: 0, model: new Model() });
    options.watch?.(this);
    this.run = new Run(() => this.open(this.disk));
    this.#isOpen = true;
  }

  get tree(): Tree {
    return this.run.tree;
  }

  open(disk: Disk): Tree {
    return openOn(disk, this);
  }

  /** What must survive a power cut now. */
  get durable(): number {
    return Math.max(this.acknowledged, this.#isOpen ? this.tree.durableLsn() : 0);
  }

  keys = (): string => {
    const { records } = this.run.model;
    if (records.size > 0 && (this.random() < 0.4 || records.size > 80)) {
      const names = this.run.model.sorted();
      return names[below(this.random, names.length)] as string;
    }
    return this.#space.key(this.random);
  };

  /** A mutation, a batch of them, or what makes them durable. */
  operation(isReopened = true): Operation | 'sync' {
    const roll = this.random();
    const { values } = SCALES[this.scale];
    if (roll < 0.06) return 'sync';
    if (roll < 0.09) return { op: 'checkpoint' };
    if (roll < 0.1) return { op: 'compact' };
    if (roll < 0.12 && isReopened) return { op: 'reopen' };
    if (roll < 0.3) {
      const steps = [];
      for (let n = 1 + below(this.random, 5); n > 0; n--) steps.push(stepOf(this.random, this.keys, values));
      return { op: 'atomic', steps };
    }
    return stepOf(this.random, this.keys, values);
  }

  /** Does it, notes what the tree holds, and what is acknowledged by that. */
  apply(operation: Operation | 'sync'): void {
    const before = this.returned;
    if (operation === 'sync') this.tree.sync();
    else this.run.apply(operation);
    this.note();
    const op = operation === 'sync' ? operation : operation.op;
    const isSynced = this.durability === 'synced' && this.returned > before;
    if (isSynced || op === 'sync' || op === 'checkpoint' || op === 'reopen')
      this.acknowledged = this.returned;
  }

  /** Does it on a disk that may fail: the error that it threw. It may have been made all the same, then. */
  attempt(operation: Operation | 'sync'): SpinneyError | undefined {
    try {
      this.apply(operation);
      return undefined;
    } catch (error) {
      if (!(error instanceof SpinneyError)) throw error;
      if (this.tree.lastLsn() > this.returned && operation !== 'sync') this.run.assume(operation);
      this.note();
      return error;
    }
  }

  /** Notes the model as what the tree holds now. */
  note(): void {
    const lsn = this.tree.lastLsn();
    if (lsn > this.returned + 1 && this.returned > 0)
      throw new Error(`an operation took ${lsn - this.returned} numbers`);
    this.returned = lsn;
    if (this.#moments.has(lsn)) return;
    const { model } = this.run;
    this.#moments.set(lsn, { digest: modelDigest(model), model: model.snapshot() });
  }

  /** Throws unless the tree is what it was at its LSN, which is within the bounds. */
  check(tree: Tree, least: number, most: number): number {
    const lsn = tree.lastLsn();
    if (lsn < least || lsn > most) throw new Error(`found LSN ${lsn}, must be ${least} to ${most}`);
    if (digestOf(tree) !== this.#moments.get(lsn)?.digest)
      throw new Error(`the contents at LSN ${lsn} are not what they were`);
    assertSums(tree, '');
    return lsn;
  }

  /** Opens what is left on a disk, checks it, and closes it again. Returns its LSN. */
  checkDisk(disk: Disk, least: number, most: number): number {
    const tree = this.open(disk);
    let lsn: number;
    try {
      lsn = this.check(tree, least, most);
    } catch (error) {
      abandon(tree);
      throw error;
    }
    tree.close();
    return lsn;
  }

  /** Goes on with what is left on `inner` of this one's disk. */
  restart(inner: MemoryDisk, watch?: FaultDisk['onCall']): void {
    const least = this.acknowledged;
    const most = this.returned;
    this.returned = least;
    this.disk.heal();
    this.end();
    this.disk = new FaultDisk(inner);
    this.disk.onCall = watch;
    this.run.tree = this.open(this.disk);
    this.#isOpen = true;
    const lsn = this.check(this.tree, least, most);
    for (const [known, { model }] of this.#moments) {
      if (known > lsn) this.#moments.delete(known);
      else if (known === lsn) this.run.model = model.snapshot();
    }
    this.returned = lsn;
    // Recovery has made durable what it found.
    this.acknowledged = lsn;
  }

  end(): void {
    this.#isOpen = false;
    abandon(this.tree);
  }
}

/** How many of the calls that a load on an undisturbed disk makes are of a kind. */
export function countCalls(seed: number, operations: number, isOfKind: (call: DiskCall) => boolean): number {
  const site = new SeededTree(seed);
  let count = 0;
  site.disk.onCall = (call) => {
    if (isOfKind(call)) count++;
    return undefined;
  };
  try {
    for (let done = 0; done < operations; done++) site.apply(site.operation(false));
  } finally {
    site.disk.heal();
    site.end();
  }
  return count;
}
