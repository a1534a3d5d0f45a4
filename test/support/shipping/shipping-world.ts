/**
 * Machines with real stores that write to one remote by turns, each through a network that loses and delays, and that are killed at any
 * moment; and who looks whether what must never be, is:
 * - a store that was taken over and is not what the writer before had at one moment, or lacks what was acknowledged as shipped;
 * - a snapshot that is not what it was;
 * - a row of a content whose parts are not in the remote, or an acknowledged content that is an older one;
 * - a writer that acknowledges after a later one has begun.
 */
import { join } from 'node:path';
import type { Site } from '../../../engine/remote/site.js';
import { fetchPart } from '../../../engine/shipping/contents/fetch-part.js';
import { contentOfRow, shippedContent } from '../../../engine/shipping/contents/rows.js';
import type { RemoteStore } from '../../../engine/shipping/open-remote-store.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { PutCondition } from '../../../engine/store/object/object-store.js';
import { RetryingObjectStore } from '../../../engine/store/object/retrying-object-store.js';
import type { Tree } from '../../../engine/tree/tree.js';
import { type Faults, FaultyObjectStore } from '../object/faulty-object-store.js';
import { SimulatedProcess, Simulation } from '../object/simulation.js';

export const LEASE_MS = 1_000;
const PATIENCE_MS = 1_500;

export type Contents = Map<string, string>;

interface Operation {
  lsn: number;
  apply: (state: Contents) => void;
}

/** What one writer after another did: that of the one who has the remote, and of those before as far as he has it. */
export class Line {
  operations: Operation[] = [];
  /** The remote was said to have it up to there. */
  acknowledged = 0;
  /** Versions of contents that the remote was said to have, by inode. */
  versions = new Map<number, number>();
  /** How often each content went for good. */
  removals = new Map<number, number>();

  at(lsn: number): Contents {
    const state: Contents = new Map();
    for (const operation of this.operations) if (operation.lsn <= lsn) operation.apply(state);
    return state;
  }

  upTo(lsn: number): Line {
    const next = new Line();
    next.operations = this.operations.filter((operation) => operation.lsn <= lsn);
    next.acknowledged = lsn;
    next.versions = new Map(this.versions);
    return next;
  }
}

class CountingStore extends MemoryObjectStore {
  readonly puts = new Map<string, number>();

  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    const etag = await super.put(key, bytes, condition);
    const kind = key.split('/')[0]!;
    this.puts.set(kind, (this.puts.get(kind) ?? 0) + 1);
    return etag;
  }
}

export class ShippingWorld {
  readonly simulation: Simulation;
  readonly bucket = new CountingStore();
  readonly faults: Faults;
  readonly directory: string;
  readonly figures = { takeovers: 0, resumes: 0, kills: 0, operations: 0, acknowledged: 0, checkpoints: 0 };
  /** Of whoever had the remote last. */
  line = new Line();
  epoch = 0;
  #lastVersion = 0;
  #lastDirectory = 0;

  constructor(seed: number, directory: string) {
    this.simulation = new Simulation(seed);
    this.directory = directory;
    const most = (perMille: number) => this.simulation.between(0, perMille);
    this.faults = {
      lostRequests: most(20),
      lostAnswers: most(30),
      later: most(20),
      doneLater: most(20),
      slow: most(40),
    };
  }

  newProcess(): SimulatedProcess {
    return new SimulatedProcess(this.simulation, this.simulation.between(0.99, 1.01));
  }

  siteOf(process: SimulatedProcess): Site {
    const { clock, simulation } = process;
    const store = new RetryingObjectStore(new FaultyObjectStore(this.bucket, process, this.faults), {
      clock,
      random: simulation.random,
      patienceMs: PATIENCE_MS,
    });
    return { store, clock, newId: () => simulation.newId() };
  }

  newDirectory(): string {
    return join(this.directory, String(++this.#lastDirectory));
  }

  newVersion(): number {
    return ++this.#lastVersion;
  }

  chance(probability: number): boolean {
    return this.simulation.random() < probability;
  }

  pick(count: number): number {
    return Math.floor(this.simulation.random() * count);
  }

  begins({ writer }: RemoteStore, line: Line): void {
    if (writer.epoch <= this.epoch) this.simulation.fail(`epoch ${writer.epoch} is there twice`);
    this.epoch = writer.epoch;
    this.line = line;
  }

  /** All that rows tell of can be had. The version of each content, by inode. */
  async contentsOf(tree: Tree): Promise<Map<number, number>> {
    const versions = new Map<number, number>();
    for (const entry of tree.range({ prefix: 'r' })) {
      const row = contentOfRow(entry.type === 'key' ? entry.key : new Uint8Array());
      if (row === undefined) continue;
      const { parts } = shippedContent(tree, row.ino, row.born)!;
      const bytes = await Promise.all(parts.map((part) => fetchPart(this.bucket, part)));
      versions.set(row.ino, versionOf(Buffer.concat(bytes).toString(), row.ino));
    }
    return versions;
  }
}

export function versionOf(text: string, ino: number): number {
  const [, name, version] = /^content of (\d+), version (\d+)\n/.exec(text) ?? [];
  if (Number(name) !== ino) throw new Error(`content ${ino} is ${JSON.stringify(text.slice(0, 60))}`);
  return Number(version);
}

/** The tree has these records, and no others but rows of contents. */
export function expectSame(what: string, tree: Pick<Tree, 'range'>, expected: Contents): void {
  const found: Contents = new Map();
  for (const entry of tree.range()) {
    if (entry.type === 'key' && entry.key[0] !== 0x72)
      found.set(Buffer.from(entry.key).toString(), Buffer.from(entry.value).toString());
  }
  for (const key of new Set([...found.keys(), ...expected.keys()])) {
    if (found.get(key) !== expected.get(key))
      throw new Error(`${what}: ${key} is ${found.get(key)}, and was ${expected.get(key)}`);
  }
}
