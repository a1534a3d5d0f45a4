/** A machine with a real store, that writes to the remote of a ShippingWorld whenever it can. */
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SpinneyError } from '../../../engine/errors.js';
import type { Site } from '../../../engine/remote/site.js';
import { removeShippedContent } from '../../../engine/shipping/contents/rows.js';
import { Shipper } from '../../../engine/shipping/live/shipper.js';
import {
  type RemoteStore,
  resumeRemoteStore,
  takeOverStore,
} from '../../../engine/shipping/open-remote-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import type { SimulatedProcess } from '../object/simulation.js';
import {
  type Contents,
  expectSame,
  LEASE_MS,
  Line,
  type ShippingWorld,
  versionOf,
} from './shipping-world.js';

const KEYS = 60;
const FILES = 6;
/** What may happen to whoever is not in time, or without an answer. */
const USUAL = new Set(['ERR_REMOTE_UNAVAILABLE', 'ERR_REMOTE_TAKEN', 'ERR_CLOSED']);

/** A machine: what is left of it when its process is killed is its directory. */
export class Machine {
  readonly #world: ShippingWorld;
  #process: SimulatedProcess;
  #holder: string;
  #directory: string;
  #line = new Line();
  #tree: Tree | undefined;
  #shipper: Shipper | undefined;
  #snapshots = 0;
  #epoch = 0;

  constructor(world: ShippingWorld) {
    this.#world = world;
    this.#process = world.newProcess();
    this.#holder = world.simulation.newId();
    this.#directory = world.newDirectory();
  }

  get process(): SimulatedProcess {
    return this.#process;
  }

  start(): void {
    const world = this.#world;
    void this.#live(this.#process).catch((error: unknown) => {
      world.simulation.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
    });
  }

  /** As kill -9, now. Its directory is what another process finds. */
  kill(): void {
    const { simulation } = this.#world;
    this.#process.isAlive = false;
    this.#world.figures.kills++;
    const left = this.#world.newDirectory();
    if (existsSync(this.#directory)) {
      cpSync(this.#directory, left, { recursive: true });
      this.end();
      rmSync(this.#directory, { recursive: true });
    }
    this.#directory = left;
    this.#process = this.#world.newProcess();
    this.#tree = undefined;
    this.#shipper = undefined;
    this.#process.plan(simulation.now + simulation.between(0, 2 * LEASE_MS), () => {
      this.start();
      return true;
    });
  }

  end(): void {
    this.#process.isAlive = false;
    void this.#shipper?.stop();
    this.#tree?.close();
  }

  /** Whoever has the remote works on it; who lost it begins anew. */
  async #live(process: SimulatedProcess): Promise<void> {
    const world = this.#world;
    const site = world.siteOf(process);
    for (;;) {
      try {
        const remote = await this.#begin(site);
        world.begins(remote, this.#line);
        this.#epoch = remote.writer.epoch;
        await this.#work(site, remote);
      } catch (error) {
        if (!(error instanceof SpinneyError) || !USUAL.has(error.code)) throw error;
        if (error.code === 'ERR_REMOTE_TAKEN') this.#forget();
      }
      await site.clock.sleep(world.simulation.between(0, 4 * LEASE_MS));
    }
  }

  #forget(): void {
    void this.#shipper?.stop();
    this.#shipper = undefined;
    this.#tree?.close();
    this.#tree = undefined;
    rmSync(this.#directory, { recursive: true, force: true });
    this.#holder = this.#world.simulation.newId();
  }

  async #begin(site: Site): Promise<RemoteStore> {
    const world = this.#world;
    const options = { holder: this.#holder, leaseMs: LEASE_MS };
    const isFinished = () => !existsSync(join(this.#directory, 'store', 'repair.unfinished'));
    mkdirSync(this.#directory, { recursive: true });
    if (existsSync(join(this.#directory, 'store', 'manifest')) && isFinished()) {
      this.#tree ??= this.#open();
      const last = this.#line.operations.at(-1)?.lsn ?? 0;
      if (this.#tree.lastLsn() < last) world.simulation.fail(`a kill has lost ${last}`);
      this.#compare('its own', this.#tree.lastLsn());
      const remote = await resumeRemoteStore(site, this.#tree, options);
      this.#assertLatest(remote);
      world.figures.resumes++;
      return remote;
    }
    const remote = await takeOverStore(site, join(this.#directory, 'store'), options);
    this.#assertLatest(remote);
    const { line } = world;
    mkdirSync(join(this.#directory, 'content'), { recursive: true });
    this.#tree = this.#open();
    const lsn = this.#tree.lastLsn();
    if (lsn < line.acknowledged)
      world.simulation.fail(`taken over at ${lsn}, though ${line.acknowledged} was acknowledged`);
    this.#line = line.upTo(lsn);
    this.#compare('the one before', lsn);
    await this.#compareContents(line);
    world.figures.takeovers++;
    return remote;
  }

  /** Who was slow may have been overtaken before it began. */
  #assertLatest({ writer }: RemoteStore): void {
    if (writer.epoch < this.#world.epoch) throw new SpinneyError('ERR_REMOTE_TAKEN', 'overtaken');
  }

  #open(): Tree {
    return Tree.open({ dir: join(this.#directory, 'store'), checkpoint: { enabled: false } });
  }

  #compare(whose: string, lsn: number): void {
    const tree = this.#tree!;
    expectSame(`the tree of ${whose} at ${lsn}`, tree, this.#line.at(lsn));
    for (const { name, lsn: at } of tree.snapshots()) {
      const past = tree.at(name);
      expectSame(`snapshot ${name}`, past, this.#line.at(at));
      past.close();
    }
  }

  async #compareContents({ versions }: Line): Promise<void> {
    const there = await this.#world.contentsOf(this.#tree!);
    for (const [ino, version] of versions) {
      const found = there.get(ino);
      if (found === undefined || found < version)
        this.#world.simulation.fail(`content ${ino} is of version ${found}, and was shipped as ${version}`);
    }
    for (const [ino, version] of there) this.#write(ino, version);
    this.#line.versions = there;
  }

  async #work(site: Site, { writer, shipped }: RemoteStore): Promise<void> {
    const world = this.#world;
    const shipper = new Shipper({
      site,
      writer,
      shipped,
      tree: this.#tree!,
      directory: join(this.#directory, 'store'),
      random: world.simulation.random,
      contents: {
        pathOf: (ino) => this.#pathOf(ino),
        contentOf: (key, value) =>
          key[0] === 0x66
            ? {
                ino: Number(Buffer.from(key).toString().slice(1)),
                born: 0,
                isLive: Buffer.from(value).toString() === 'live',
              }
            : undefined,
      },
      onEvent: ({ type }) => {
        if (type === 'checkpoint') world.figures.checkpoints++;
      },
    });
    this.#shipper = shipper;
    shipper.start();
    while (shipper.ended === undefined) {
      await site.clock.sleep(world.simulation.between(0, 200));
      if (shipper.ended !== undefined) break;
      for (let count = world.pick(5); count > 0; count--) this.#change();
      if (world.chance(0.3)) this.#wait(shipper);
      if (world.chance(0.02)) void shipper.checkpoint().catch(() => {});
      const end = world.pick(200);
      if (end < 2) await shipper.stop();
      else if (end < 4) await this.#finish(shipper);
    }
    throw shipper.ended!;
  }

  /** What it has by then, contents included, the remote has. */
  async #finish(shipper: Shipper): Promise<void> {
    await shipper.finish();
    const there = await this.#world.contentsOf(this.#tree!);
    for (let ino = 1; ino <= FILES; ino++) {
      const record = this.#tree!.get(`f${ino}`) ?? 'live';
      // One that did not get to where it was taken over is nowhere.
      if (Buffer.from(record).toString() === 'live' || !existsSync(this.#pathOf(ino))) continue;
      const version = versionOf(readFileSync(this.#pathOf(ino), 'utf8'), ino);
      if (there.get(ino) !== version)
        this.#world.simulation.fail(
          `finished with content ${ino} of version ${there.get(ino)}, and it is ${version}`,
        );
    }
  }

  /** Acknowledged is what the model then has to find again. */
  #wait(shipper: Shipper): void {
    const world = this.#world;
    const tree = this.#tree!;
    const line = this.#line;
    const epoch = this.#epoch;
    const lsn = tree.lastLsn();
    const ino = 1 + world.pick(FILES);
    const isThere = existsSync(this.#pathOf(ino)) && world.chance(0.5);
    const version = isThere ? versionOf(readFileSync(this.#pathOf(ino), 'utf8'), ino) : 0;
    const removals = line.removals.get(ino) ?? 0;
    shipper.waitUntilShipped(lsn, isThere ? [{ ino, born: 0 }] : []).then(
      () => {
        if (world.epoch !== epoch)
          world.simulation.fail(`epoch ${epoch} acknowledges while ${world.epoch} is`);
        line.acknowledged = Math.max(line.acknowledged, lsn);
        // It may be gone by now: then another has its number.
        if (isThere && removals === (line.removals.get(ino) ?? 0))
          line.versions.set(ino, Math.max(version, line.versions.get(ino) ?? 0));
        world.figures.acknowledged++;
      },
      () => {},
    );
  }

  #change(): void {
    const world = this.#world;
    const tree = this.#tree!;
    world.figures.operations++;
    const key = `key/${world.pick(KEYS)}`;
    const version = world.newVersion();
    const value = `value ${version}`;
    const roll = world.pick(100);
    if (roll < 50)
      this.#did(
        () => tree.put(key, Buffer.from(value)),
        (state) => state.set(key, value),
      );
    else if (roll < 65)
      this.#did(
        () => tree.delete(key),
        (state) => state.delete(key),
      );
    else if (roll < 75) this.#move();
    else if (roll < 80) this.#snapshot();
    else if (roll < 82) tree.checkpoint();
    else this.#changeContent(1 + world.pick(FILES), version);
  }

  #did(change: () => unknown, apply: (state: Contents) => void): void {
    const before = this.#tree!.lastLsn();
    change();
    const lsn = this.#tree!.lastLsn();
    if (lsn > before) this.#line.operations.push({ lsn, apply });
  }

  /** All keys of one prefix get another, and lose it the next time. */
  #move(): void {
    const tree = this.#tree!;
    const [from, to] = tree.isPrefixEmpty('moved/') ? ['key/1', 'moved/'] : ['moved/', 'key/1'];
    if (!tree.isPrefixEmpty(to) || tree.isPrefixEmpty(from)) return;
    this.#did(
      () => tree.renamePrefix(from, to),
      (state) => {
        for (const [name, value] of [...state]) {
          if (!name.startsWith(from)) continue;
          state.delete(name);
          state.set(to + name.slice(from.length), value);
        }
      },
    );
  }

  #snapshot(): void {
    const tree = this.#tree!;
    const all = tree.snapshots();
    if (all.length >= 3) tree.deleteSnapshot(all[this.#world.pick(all.length)]!.name);
    else tree.snapshot(`${this.#holder} ${++this.#snapshots} ${this.#world.newVersion()}`);
  }

  #changeContent(ino: number, version: number): void {
    const tree = this.#tree!;
    const name = `f${ino}`;
    if (this.#world.chance(0.1)) {
      this.#did(
        () => tree.delete(name),
        (state) => state.delete(name),
      );
      rmSync(this.#pathOf(ino), { force: true });
      removeShippedContent(tree, ino, 0);
      // What is made under this number from here on is another.
      this.#line.versions.delete(ino);
      this.#line.removals.set(ino, (this.#line.removals.get(ino) ?? 0) + 1);
      return;
    }
    this.#write(ino, version);
    const state = this.#world.chance(0.5) ? 'live' : 'rest';
    this.#did(
      () => tree.put(name, Buffer.from(state)),
      (contents) => contents.set(name, state),
    );
  }

  #write(ino: number, version: number): void {
    const padding = 'x'.repeat((version * 7919) % 3000);
    // At once: another thread may be reading it.
    writeFileSync(`${this.#pathOf(ino)}.new`, `content of ${ino}, version ${version}\n${padding}`);
    renameSync(`${this.#pathOf(ino)}.new`, this.#pathOf(ino));
  }

  #pathOf(ino: number): string {
    return join(this.#directory, 'content', String(ino));
  }
}
