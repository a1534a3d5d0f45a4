/** What runs in a RemoteWorld: machines that write and follow, as a daemon would, and what befalls them. */
import { SpinneyError } from '../../../engine/errors.js';
import { Collector } from '../../../engine/remote/collect.js';
import { RemoteFollower } from '../../../engine/remote/follower.js';
import { decodeManifest } from '../../../engine/remote/objects/manifest.js';
import type { Position } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import type { Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { bodyOf, RemoteState } from './remote-state.js';
import { LEASE_MS, type PinHolder, type RemoteWorld } from './remote-world.js';
import type { SimulatedProcess } from './simulation.js';

/** What may happen to whoever is not in time, or without an answer. */
const USUAL = new Set(['ERR_REMOTE_UNAVAILABLE', 'ERR_REMOTE_TAKEN', 'ERR_CLOSED', 'ERR_NOT_FOUND']);

/** Runs it; an error that is not one of the usual is a violation. */
async function usually(world: RemoteWorld, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const isUsual = error instanceof SpinneyError && USUAL.has(error.code);
    if (!isUsual)
      world.simulation.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}

/** A machine that becomes the writer again and again, for as long as its process lives. */
export async function writeForever(
  world: RemoteWorld,
  process: SimulatedProcess,
  holder: string,
): Promise<void> {
  const site = world.siteOf(process);
  const { between } = random(world);
  for (;;) {
    await usually(world, async () => {
      const state = new RemoteState();
      const writer = await takeOver(site, {
        holder,
        leaseMs: LEASE_MS,
        restore: (manifest) => state.load(site.store, manifest),
        replay: async (body) => state.apply(body),
      });
      world.figures.takeovers++;
      if (!writer.held.isServing()) return;
      world.serves(writer.epoch);
      world.shows(state, 'a new writer');
      const writing = new Writing(world, process, site, writer, state);
      await Promise.all([
        writing.append(),
        writing.serve(),
        writing.checkpoint(),
        writing.collect(),
        writing.release(),
      ]);
    });
    await site.clock.sleep(between(0, 4 * LEASE_MS));
  }
}

class Writing {
  readonly #world: RemoteWorld;
  readonly #process: SimulatedProcess;
  readonly #site: Site;
  readonly #writer: RemoteWriter;
  /** All that is in the journal before `#end`. */
  readonly #state: RemoteState;
  #end: Position;

  constructor(
    world: RemoteWorld,
    process: SimulatedProcess,
    site: Site,
    writer: RemoteWriter,
    state: RemoteState,
  ) {
    this.#world = world;
    this.#process = process;
    this.#site = site;
    this.#writer = writer;
    this.#state = state;
    this.#end = writer.end;
  }

  async append(): Promise<void> {
    await this.#repeat(0, 120, async () => {
      const items = this.#world.newItems();
      void usually(this.#world, async () => {
        const place = await this.#writer.append(bodyOf(items));
        this.#world.acknowledges(this.#process, this.#writer.epoch, items);
        this.#state.apply(bodyOf(items));
        this.#end = { epoch: place.epoch, sequence: place.sequence + 1 };
      });
    });
  }

  /** Answers from what it has, as long as it may. */
  async serve(): Promise<void> {
    await this.#repeat(0, 80, async () => {
      if (!this.#writer.held.isServing()) return;
      this.#world.serves(this.#writer.epoch);
      this.#world.shows(this.#state, 'a writer');
    });
  }

  async checkpoint(): Promise<void> {
    const { chance } = random(this.#world);
    await this.#repeat(100, 1_500, () => this.#checkpointOnce(chance(0.1)));
  }

  /** At any time, also while a checkpoint is under way. */
  async collect(): Promise<void> {
    const collector = new Collector(this.#site, this.#writer);
    await this.#repeat(0, 2_000, () => usually(this.#world, async () => void (await collector.collect())));
  }

  /** Now and then it lets go by itself. */
  async release(): Promise<void> {
    const { between, chance } = random(this.#world);
    await this.#repeat(3_000, 10_000, async () => {
      if (!chance(0.3)) return;
      await this.#site.clock.sleep(between(0, 50));
      await this.#writer.release();
    });
  }

  async #checkpointOnce(isAbandoned: boolean): Promise<void> {
    const { chance } = random(this.#world);
    const writer = this.#writer;
    const state = this.#state;
    const mark = writer.mark();
    const journal = this.#end;
    const isAnew = chance(0.3);
    const count = state.items.length;
    const items = state.items.slice(isAnew ? 0 : state.packed, count);
    const pack = writer.newName('blobs');
    await writer.held.answered(() => this.#site.store.put(pack, bodyOf(items)));
    if (isAbandoned) return;
    const next = Object.assign(new RemoteState(), {
      items: state.items.slice(0, count),
      packs: isAnew ? [pack] : [...state.packs, pack],
      packed: count,
      snapshots: state.snapshots.filter(() => chance(0.8)),
    });
    if (chance(0.3)) next.snapshots.push({ id: mark, packs: next.packs, count, hash: 0 });
    await writer.publish(next.manifest(), journal, mark);
    this.#world.figures.checkpoints++;
    Object.assign(state, { packs: next.packs, packed: count, snapshots: next.snapshots });
  }

  async #repeat(least: number, most: number, work: () => Promise<void>): Promise<void> {
    const { between } = random(this.#world);
    while (this.#writer.held.end === undefined) {
      await this.#site.clock.sleep(between(least, most));
      await work();
    }
  }
}

/** A machine that follows for as long as its process lives. */
export async function followForever(world: RemoteWorld, process: SimulatedProcess): Promise<void> {
  const site = world.siteOf(process);
  const { between } = random(world);
  let shown = 0;
  for (;;) {
    await usually(world, async () => {
      const following = new Following(world, process, site);
      try {
        shown = await following.follow(shown);
      } finally {
        following.end();
      }
    });
    await site.clock.sleep(between(0, LEASE_MS));
  }
}

class Following implements PinHolder {
  needs: ReadonlySet<string> = new Set();
  readonly #world: RemoteWorld;
  readonly #process: SimulatedProcess;
  readonly #site: Site;
  readonly #follower: RemoteFollower;
  readonly #state = new RemoteState();
  #renewedAt = 0;

  constructor(world: RemoteWorld, process: SimulatedProcess, site: Site) {
    this.#world = world;
    this.#process = process;
    this.#site = site;
    this.#follower = new RemoteFollower(site, LEASE_MS);
  }

  isPinned(): boolean {
    return this.#process.isAlive && this.#follower.isPinned();
  }

  /** Until it is behind, or now and then; shows nothing that is older than what it has shown. How much that is in the end. */
  async follow(shown: number): Promise<number> {
    const { between, chance } = random(this.#world);
    const { clock, store } = this.#site;
    const { manifest, unpin } = await this.#follower.adopt();
    this.#renewedAt = clock.now();
    if (manifest !== undefined) {
      const bytes = this.#world.bucket.objects.get(manifest);
      if (bytes !== undefined)
        this.needs = new Set([manifest, ...decodeManifest(manifest, bytes).references]);
      else if (this.isPinned()) this.#world.simulation.fail(`${manifest} is gone, and pinned`);
    }
    this.#world.pins.add(this);
    this.#world.figures.adoptions++;
    await this.#state.load(store, manifest, (name) => this.#read(name));
    while (!chance(0.02)) {
      const next = await this.#follower.next();
      if (next === 'behind') break;
      if (next !== 'end') {
        this.#state.apply(next.body);
        this.#follower.pass(next.place);
      }
      if (this.#state.items.length >= shown) {
        shown = this.#state.items.length;
        this.#world.shows(this.#state, 'a follower');
        this.#world.figures.followed++;
      }
      for (const { packs } of this.#state.snapshots) if (chance(0.02)) await this.#read(packs[0]!);
      if (next === 'end') await clock.sleep(between(0, 200));
      if (clock.now() - this.#renewedAt > this.#follower.renewalMs && !(await this.#renew())) break;
    }
    if (chance(0.8)) await unpin();
    return shown;
  }

  end(): void {
    this.#world.pins.delete(this);
  }

  async #renew(): Promise<boolean> {
    this.#renewedAt = this.#site.clock.now();
    return this.#follower.renew();
  }

  /** An object that it has pinned is there. */
  async #read(name: string): Promise<Uint8Array> {
    if (this.isPinned() && !this.#world.bucket.objects.has(name)) {
      this.#world.simulation.fail(`${name} is gone, and pinned`);
    }
    return (await this.#site.store.get(name))!.bytes;
  }
}

/** What befalls machines: they stand still, are cut off, are killed and start again. */
export async function runMachines(
  world: RemoteWorld,
  writers: number,
  followers: number,
  steps: number,
): Promise<void> {
  const { simulation } = world;
  const { between, chance } = random(world);
  const machines = Array.from({ length: writers + followers }, (_, index) => {
    const holder = simulation.newId();
    const start = () => {
      const process = world.newProcess();
      void (index < writers ? writeForever(world, process, holder) : followForever(world, process));
      return process;
    };
    return { start, process: start() };
  });
  for (const end = simulation.steps + steps; simulation.steps < end; ) {
    await simulation.run(Math.min(Math.ceil(between(20, 800)), end - simulation.steps));
    const machine = machines[Math.floor(between(0, machines.length))]!;
    machine.process.isCutOff = chance(0.2);
    if (chance(0.4)) {
      machine.process.pause(between(0, chance(0.5) ? LEASE_MS : 6 * LEASE_MS));
      world.figures.pauses++;
    } else if (chance(0.2)) {
      machine.process.isAlive = false;
      machine.process = machine.start();
      world.figures.kills++;
    }
  }
  for (const { process } of machines) process.isAlive = false;
}

function random({ simulation }: RemoteWorld) {
  return {
    between: (least: number, most: number) => simulation.between(least, most),
    chance: (probability: number) => simulation.random() < probability,
  };
}
