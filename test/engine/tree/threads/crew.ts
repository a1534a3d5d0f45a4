/** A tree in a directory with worker threads on it, which play the roles in crew-roles.mjs. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CheckpointOptions, TreeOptions } from '../../../../engine/api.js';
import { NodeDisk } from '../../../../engine/disk/node-disk.js';
import { FileBlobStore, type Tree } from '../../../../engine/index.js';
import { BUILT_ENGINE, builtEngine } from '../../../support/build.js';
import { checkStore } from '../check.js';
import { SMALL_CACHE } from '../harness.js';

/** Upkeep that never rests, so that rounds and merges meet everything else. */
const RESTLESS: CheckpointOptions = {
  idleIntervalMs: 2,
  dirtyBlobThreshold: 4,
  autoMerge: true,
  host: 'worker',
};

const ROLES = path.join(import.meta.dirname, 'crew-roles.mjs');

export interface Member<T> {
  id: number;
  worker: Worker;
  /** Its first message. */
  started: Promise<unknown>;
  /** What its role returned; undefined when the thread ended without. */
  result: Promise<T | undefined>;
}

export class Crew {
  readonly dir = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-crew-'));
  /** Shared with all members. Word 0: set to tell those that go on until told to stop. */
  readonly words = new Int32Array(new SharedArrayBuffer(4 * 64));
  tree!: Tree;
  #options: TreeOptions = {};
  #workers: Worker[] = [];

  static async open(options: TreeOptions = {}): Promise<Crew> {
    const crew = new Crew();
    crew.#options = options;
    await crew.open();
    return crew;
  }

  /** Opens the tree, again if it was closed. */
  async open(): Promise<void> {
    const built = await builtEngine();
    this.tree = built.Tree.open({
      dir: this.dir,
      cacheBytes: SMALL_CACHE,
      durability: 'buffered',
      checkpoint: RESTLESS,
      ...this.#options,
    });
  }

  /** `file`: of the worker, if its roles are not those of crew-roles.mjs. */
  start<T = unknown>(role: string, data: Record<string, unknown> = {}, file = ROLES): Member<T> {
    const workerData = { ...data, role, engine: BUILT_ENGINE, handle: this.tree.share(), words: this.words };
    const worker = new Worker(file, { workerData });
    this.#workers.push(worker);
    const { threadId } = worker;
    const started = new Promise((resolve) => worker.once('message', resolve));
    const result = new Promise<T | undefined>((resolve, reject) => {
      let posted: T | undefined;
      worker.on('message', (message: { result?: T }) => {
        posted = message.result ?? posted;
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve(posted));
    });
    // Whoever waits for it sees the failure; nobody may be waiting yet.
    result.catch(() => {});
    return { id: threadId, worker, started, result };
  }

  stop(): void {
    Atomics.store(this.words, 0, 1);
    Atomics.notify(this.words, 0);
  }

  /** Closes the tree and checks what it left in the store. Returns the number of keys there. */
  check(): number {
    // Until that, changes may wait beside the tree.
    this.tree.countPrefix('');
    this.tree.checkpoint();
    this.tree.close();
    const store = FileBlobStore.open({ dir: this.dir, disk: new NodeDisk(), readOnly: true, create: false });
    try {
      return checkStore(store).leaves;
    } finally {
      store.close();
    }
  }

  /** Ends all threads and removes the directory. */
  async end(): Promise<void> {
    this.stop();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    try {
      this.tree.close();
    } catch {
      // A poisoned tree cannot be closed well.
    } finally {
      fs.rmSync(this.dir, { recursive: true, force: true });
    }
  }
}
