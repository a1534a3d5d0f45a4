/**
 * A remote with writers by turns and one that follows, step by step, all from a seed. Requests of the follower take turns of their own, get no answer
 * now and then, and what it plays may fail in between. What it shows must be one of the states that the writer's tree had, and never an earlier one
 * than before.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { SpinneyError } from '../../../engine/errors.js';
import { beginFollowing } from '../../../engine/following/begin.js';
import { type FollowedTree, Following } from '../../../engine/following/following.js';
import { MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { Collector } from '../../../engine/remote/collect.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import type { Site } from '../../../engine/remote/site.js';
import { recordsOf } from '../../../engine/shipping/records.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import type { Change } from '../../../engine/tree/write/changes.js';
import { seededRandom } from '../disk/random.js';
import { ShippedTree } from './shipped-tree.js';

const PREFIXES = ['a/', 'b/', 'c/'];
const USUAL = new Set(['ERR_REMOTE_UNAVAILABLE', 'ERR_NO_SPACE']);

export class FollowedWorld {
  readonly bucket = new MemoryObjectStore();
  readonly figures = {
    changes: 0,
    appends: 0,
    checkpoints: 0,
    takeovers: 0,
    moments: 0,
    adoptions: 0,
    failures: 0,
  };
  readonly #random: () => number;
  readonly #directory = mkdtempSync(join(tmpdir(), 'spinney-followed-'));
  /** What the tree held, by LSN. */
  readonly #history = new Map<number, string>([[0, '']]);
  #now = 0;
  #ids = 0;
  #shipped!: ShippedTree;
  #writer!: RemoteWriter;
  #collector!: Collector;
  #tree!: Tree;
  #following!: Following;
  #shown = 0;
  #isDone = false;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  async run(steps: number): Promise<void> {
    try {
      await this.#takeOver();
      for (let i = 0; i < 5; i++) await this.#write();
      await this.#begin();
      await Promise.all([this.#writeForLong(steps), this.#followForLong()]);
      await this.#shipped.append(this.#writer);
      await this.#followTo(this.#shipped.tree.lastLsn());
      this.figures.adoptions = this.#following.state.adoptions;
      await this.#following.end();
    } finally {
      this.#tree?.close();
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }

  #below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  /** `isFaulty`: as a machine sees it through a network. */
  #site(isFaulty: boolean): Site {
    const clock = { now: () => this.#now, sleep: () => new Promise<void>(() => {}) };
    const newId = () => (++this.#ids).toString(16).padStart(32, '0');
    const store = isFaulty ? this.#faulty() : this.bucket;
    return { store, clock, newId };
  }

  #faulty(): MemoryObjectStore {
    const lose = (when: string) => {
      if (this.#random() < 0.02) throw new SpinneyError('ERR_REMOTE_UNAVAILABLE', `no answer (${when})`);
    };
    const wrapped = new Proxy(this.bucket, {
      get:
        (bucket, name: keyof MemoryObjectStore) =>
        async (...given: unknown[]) => {
          await this.#turns();
          lose('before');
          const answer = await (bucket[name] as (...given: unknown[]) => Promise<unknown>).apply(
            bucket,
            given,
          );
          await this.#turns();
          lose('after');
          return answer;
        },
    });
    return wrapped;
  }

  async #turns(): Promise<void> {
    this.#now += this.#below(40);
    for (let turns = this.#below(30); turns > 0; turns--) await Promise.resolve();
  }

  async #takeOver(): Promise<void> {
    const { shipped, writer } = await ShippedTree.takeOver(this.#site(false), 'a'.repeat(32));
    // What was not in the journal never was.
    for (const lsn of this.#history.keys()) if (lsn > shipped.tree.lastLsn()) this.#history.delete(lsn);
    this.#shipped = shipped;
    this.#writer = writer;
    this.#collector = new Collector(this.#site(false), writer);
    this.figures.takeovers++;
  }

  async #writeForLong(steps: number): Promise<void> {
    for (let step = 0; step < steps; step++) {
      await this.#write();
      await this.#turns();
    }
    this.#isDone = true;
  }

  async #write(): Promise<void> {
    const what = this.#random();
    if (what < 0.62) this.#change();
    else if (what < 0.9) {
      await this.#shipped.append(this.#writer);
      this.figures.appends++;
    } else if (what < 0.98) {
      // A tree that never had anything has no checkpoint.
      if (this.#shipped.tree.lastLsn() === 0)
        this.#make([{ key: Buffer.from('a/0'), value: Buffer.from('0') }]);
      await this.#shipped.ship(this.#writer, this.#random() < 0.3);
      await this.#collector.collect();
      this.figures.checkpoints++;
    } else await this.#takeOver();
  }

  #change(): void {
    const { tree } = this.#shipped;
    const [from, to] = [this.#below(PREFIXES.length), this.#below(PREFIXES.length)].map(
      (at) => PREFIXES[at]!,
    );
    if (this.#random() < 0.15 && from !== to && tree.isPrefixEmpty(to!) && !tree.isPrefixEmpty(from!)) {
      this.#make([{ source: Buffer.from(from!), destination: Buffer.from(to!) }]);
    } else {
      const keys = new Set(Array.from({ length: 1 + this.#below(3) }, () => `${from}${this.#below(12)}`));
      this.#make(
        [...keys].map((key) => ({
          key: Buffer.from(key),
          value: this.#random() < 0.3 ? undefined : Buffer.from(`${key}: ${this.#below(1e9)}`),
        })),
      );
    }
  }

  #make(changes: Change[]): void {
    this.#shipped.change(...changes);
    const { tree } = this.#shipped;
    this.#history.set(tree.lastLsn(), contentsOf(tree));
    this.figures.changes++;
  }

  async #begin(): Promise<void> {
    const store = join(this.#directory, 'store');
    const begun = await beginFollowing(this.#site(false), store);
    this.#tree = Tree.open({ dir: store, cacheBytes: MIN_CACHE_BYTES });
    const tree: FollowedTree = { reads: this.#tree, play: (bodies) => this.#play(bodies) };
    this.#following = new Following({
      ...begun,
      site: this.#site(true),
      tree,
      disk: new NodeDisk(),
      scratch: this.#directory,
    });
    this.#look();
  }

  async #play(bodies: readonly Uint8Array[]): Promise<void> {
    await this.#turns();
    for (const body of bodies) {
      for (const { changes } of recordsOf(body)) {
        if (this.#random() < 0.01) throw new SpinneyError('ERR_NO_SPACE', 'the disk is full');
        this.#tree.apply(changes);
      }
    }
  }

  async #followForLong(): Promise<void> {
    while (!this.#isDone) {
      await this.#step();
      // Sometimes it is away, so that the journal is gone.
      const pause = this.#random() < 0.015 ? 300 : this.#below(3);
      for (let turns = 0; turns < pause && !this.#isDone; turns++) await this.#turns();
    }
  }

  async #followTo(lsn: number): Promise<void> {
    for (let tries = 0; this.#following.state.lsn < lsn; tries++) {
      if (tries > 1_000)
        throw new Error(`it is at ${this.#following.state.lsn}, and does not come to ${lsn}`);
      await this.#step();
    }
  }

  async #step(): Promise<void> {
    try {
      await this.#following.step();
    } catch (error) {
      if (!(error instanceof SpinneyError) || !USUAL.has(error.code)) throw error;
      this.figures.failures++;
      return;
    }
    this.#look();
  }

  #look(): void {
    const { lsn } = this.#following.state;
    if (lsn < this.#shown) throw new Error(`it shows ${lsn}, and has shown ${this.#shown}`);
    this.#shown = lsn;
    const expected = this.#history.get(lsn);
    const found = contentsOf(this.#tree);
    if (expected !== found) throw new Error(`at ${lsn} it shows\n${found}\nwhere there was\n${expected}`);
    this.figures.moments++;
  }
}

function contentsOf(tree: Tree): string {
  let text = '';
  for (const entry of tree.range()) {
    if (entry.type === 'key') text += `${Buffer.from(entry.key)} = ${Buffer.from(entry.value)}\n`;
  }
  return text;
}
