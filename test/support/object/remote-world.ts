/**
 * Two or three machines that want to write to one remote, and followers, with everything that can go wrong between them; and who
 * looks whether it does. What must never be:
 * - two writers that acknowledge in one epoch, or one that acknowledges or serves after a later one has begun;
 * - a state that anybody has, and that is not a beginning of the one history;
 * - an acknowledged item that the history has not;
 * - the deletion of an object that HEAD, a snapshot or a pin needs, or of the fence behind an epoch;
 * - an object other than HEAD that is written over.
 */
import { decodeHead, type Head } from '../../../engine/remote/objects/head.js';
import { HEADER_BYTES } from '../../../engine/remote/objects/journal-object.js';
import { decodeManifest } from '../../../engine/remote/objects/manifest.js';
import { comparePositions, HEAD, parseJournalName } from '../../../engine/remote/objects/names.js';
import type { Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { ETag, PutCondition } from '../../../engine/store/object/object-store.js';
import { RetryingObjectStore } from '../../../engine/store/object/retrying-object-store.js';
import { type Faults, FaultyObjectStore, NO_FAULTS } from './faulty-object-store.js';
import { RemoteState } from './remote-state.js';
import { SimulatedProcess, Simulation } from './simulation.js';

export const LEASE_MS = 1_000;
const PATIENCE_MS = 1_500;

/** The bucket, seen from inside: what is in it, and each deletion before it is done. */
class WatchedStore extends MemoryObjectStore {
  readonly objects = new Map<string, Uint8Array>();
  deleting: (key: string) => void = () => {};
  replaced: (key: string, before: Uint8Array | undefined) => void = () => {};

  override async put(key: string, bytes: Uint8Array, condition?: PutCondition): Promise<ETag> {
    const etag = await super.put(key, bytes, condition);
    const before = this.objects.get(key);
    this.objects.set(key, bytes);
    this.replaced(key, before);
    return etag;
  }

  override delete(key: string): Promise<void> {
    this.deleting(key);
    this.objects.delete(key);
    return super.delete(key);
  }
}

/** What a follower has pinned. */
export interface PinHolder {
  isPinned(): boolean;
  needs: ReadonlySet<string>;
}

export class RemoteWorld {
  readonly simulation: Simulation;
  readonly bucket = new WatchedStore();
  readonly faults: Faults;
  readonly pins = new Set<PinHolder>();
  readonly figures = {
    takeovers: 0,
    acknowledged: 0,
    checkpoints: 0,
    deleted: 0,
    adoptions: 0,
    followed: 0,
    kills: 0,
    pauses: 0,
  };
  /** The hash of the first so many items, once anybody has it. */
  readonly #history = new Map<number, number>();
  readonly #acknowledged = new Set<number>();
  readonly #writers = new Map<number, SimulatedProcess>();
  /** The last sequence of records that an epoch ever had. */
  readonly #lastRecords = new Map<number, number>();
  #begun = 0;
  #lastItem = 0;
  /** What HEAD needs, and the HEAD of which that is known. */
  #needs = new Set<string>();
  #neededBy: Uint8Array | undefined;

  constructor(seed: number) {
    this.simulation = new Simulation(seed);
    const most = (perMille: number) => this.simulation.between(0, perMille);
    this.faults = {
      lostRequests: most(30),
      lostAnswers: most(40),
      later: most(30),
      doneLater: most(20),
      slow: most(60),
    };
    this.bucket.deleting = (key) => this.#checkDeletion(key);
    this.bucket.replaced = (key, before) => {
      const bytes = this.bucket.objects.get(key)!;
      const place = parseJournalName(key);
      if (place !== undefined && bytes.length > HEADER_BYTES) {
        this.#lastRecords.set(place.epoch, Math.max(place.sequence, this.#lastRecords.get(place.epoch) ?? 0));
      }
      if (key === HEAD) this.#checkHead();
      // Requests whose answers were lost come again, with the same bytes.
      else if (before !== undefined && Buffer.compare(before, bytes) !== 0) {
        this.simulation.fail(`${key} is written over`);
      }
    };
  }

  newProcess(): SimulatedProcess {
    return new SimulatedProcess(this.simulation, this.simulation.between(0.99, 1.01));
  }

  siteOf(process: SimulatedProcess): Site {
    const { clock, simulation } = process;
    const network = new FaultyObjectStore(this.bucket, process, this.faults);
    const store = new RetryingObjectStore(network, {
      clock,
      random: simulation.random,
      patienceMs: PATIENCE_MS,
    });
    return { store, clock, newId: () => simulation.newId() };
  }

  newItems(): number[] {
    const count = Math.ceil(this.simulation.between(0, 3));
    return Array.from({ length: count }, () => ++this.#lastItem);
  }

  /** A writer of this epoch begins to serve, or goes on. */
  serves(epoch: number): void {
    if (epoch < this.#begun) this.simulation.fail(`epoch ${epoch} is served while ${this.#begun} is`);
    this.#begun = epoch;
  }

  acknowledges(process: SimulatedProcess, epoch: number, items: readonly number[]): void {
    this.serves(epoch);
    const writer = this.#writers.get(epoch) ?? process;
    if (writer !== process) this.simulation.fail(`two writers acknowledge in epoch ${epoch}`);
    this.#writers.set(epoch, writer);
    for (const item of items) this.#acknowledged.add(item);
    this.figures.acknowledged += items.length;
  }

  /** Somebody shows this state. */
  shows({ items, hash }: RemoteState, who: string): void {
    const known = this.#history.get(items.length) ?? hash;
    if (known !== hash) this.simulation.fail(`${who} shows ${items.length} items that never were those`);
    this.#history.set(items.length, known);
  }

  /** What a writer that meets no faults finds in the end. */
  async finish(): Promise<void> {
    Object.assign(this.faults, NO_FAULTS);
    const process = this.newProcess();
    const site = this.siteOf(process);
    const state = new RemoteState();
    const over = { isDone: false, failure: undefined as unknown };
    const last = takeOver(site, {
      holder: this.simulation.newId(),
      leaseMs: LEASE_MS,
      restore: (manifest) => state.load(site.store, manifest),
      replay: async (body) => state.apply(body),
    });
    last.then(
      (writer) => {
        this.serves(writer.epoch);
        over.isDone = true;
      },
      (error) => Object.assign(over, { isDone: true, failure: error }),
    );
    await this.simulation.run(100_000, () => over.isDone);
    if (over.failure !== undefined) throw over.failure;
    if (!over.isDone) throw new Error('nobody can take over');
    process.isAlive = false;
    this.shows(state, 'the last writer');
    const there = new Set(state.items);
    if (there.size !== state.items.length) throw new Error('an item is there twice');
    for (const item of this.#acknowledged)
      if (!there.has(item)) throw new Error(`acknowledged item ${item} is lost`);
    for (const snapshot of state.snapshots) await this.#checkSnapshot(snapshot.packs, snapshot.count);
  }

  async #checkSnapshot(packs: readonly string[], count: number): Promise<void> {
    const state = new RemoteState();
    for (const name of packs) state.apply((await this.bucket.get(name))!.bytes);
    if (state.items.length !== count) throw new Error('a snapshot is not what it was');
    this.shows(state, 'a snapshot');
  }

  /** What it needs is there. */
  #checkHead(): void {
    this.#needed();
    for (const name of this.#needs) {
      if (!this.bucket.objects.has(name))
        this.simulation.fail(`HEAD comes to need ${name}, which is not there`);
    }
  }

  #checkDeletion(key: string): void {
    const { objects } = this.bucket;
    const bytes = objects.get(key);
    const place = parseJournalName(key);
    if (bytes === undefined) return;
    this.figures.deleted++;
    const { journal } = this.#needed();
    if (key === HEAD || this.#needs.has(key)) this.simulation.fail(`${key} is deleted, and HEAD needs it`);
    if (place !== undefined && comparePositions(place, journal) >= 0) {
      this.simulation.fail(`${key} is deleted, and not replayed yet`);
    }
    // A fence that was long on its way may have come to the place of deleted records. The one that counts is behind all records.
    const isFence = place !== undefined && bytes.length === HEADER_BYTES;
    if (isFence && place.sequence > (this.#lastRecords.get(place.epoch) ?? 0)) {
      this.simulation.fail(`${key} is deleted, a fence`);
    }
    for (const pin of this.pins) {
      if (pin.isPinned() && pin.needs.has(key)) this.simulation.fail(`${key} is deleted, and pinned`);
    }
  }

  /** HEAD as it is; what it needs is in #needs then. */
  #needed(): Head {
    const bytes = this.bucket.objects.get(HEAD)!;
    const head = decodeHead(bytes);
    if (this.#neededBy !== bytes) {
      this.#neededBy = bytes;
      this.#needs = new Set();
      if (head.manifest !== undefined) {
        const manifest = this.bucket.objects.get(head.manifest);
        const references = manifest === undefined ? [] : decodeManifest(head.manifest, manifest).references;
        this.#needs = new Set([head.manifest, ...references]);
      }
    }
    return head;
  }
}
