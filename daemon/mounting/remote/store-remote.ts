/**
 * The remote of the store that a daemon serves, from before the store is opened to after it is closed. The work is done in a thread of its own, which is
 * loaded only where there is a remote.
 *
 * Order: an empty directory is filled from the remote before it is opened as a store. A store that is there is opened, and so locked, before HEAD is
 * taken. Changes are shipped from when the mount connects.
 */
import { join } from 'node:path';
import { newHolder, parseRemote, type RemoteRecord, writeRemoteRecord } from '../../../engine/before-open.js';
import { SpinneyError } from '../../../engine/errors.js';
import type { Tree } from '../../../engine/index.js';
import type { FinishProgress, ImageHost, RemoteThread, Starting } from '../../../mount/remote-thread.js';
import { noteStoreTaken } from '../../../mount/stores/taken-store.js';
import type { MountEnd, MountRemote } from '../../../mount/types.js';
import type { RemoteReport, WarmReport } from '../../control/reports.js';
import type { Problem } from '../../health/codes.js';
import { examineRemote } from '../../places/remote-place.js';
import { examineStore } from '../../places/store-directory.js';
import { failureOf } from '../../process/failure.js';
import { type Logger, mountLog } from '../../process/log/log.js';
import type { RemoteOptions } from '../daemon-options.js';
import { remoteProblems } from '../health/remote-problems.js';

/** How long the end waits for an object store that takes nothing. */
const STUCK_MS = 30_000;
const LOOK_MS = 500;
/** How long whoever looks for a name that is not here yet waits for an object store that does not answer. */
const IMAGE_PATIENCE_MS = 120_000;

interface RemotePlace {
  store: string;
  remote: RemoteOptions;
}

/** What a daemon has to do with its store's remote. */
export type ServedRemote = Pick<StoreRemote, keyof StoreRemote>;

export class StoreRemote {
  readonly #place: RemotePlace;
  readonly #thread: RemoteThread;
  readonly #record: RemoteRecord;
  readonly #log: Logger;
  /** HEAD is this store's: it was taken before the store was opened. */
  #isTaken = false;
  #isRestored = false;
  /** Fetches images of blobs that the store lacks; undefined: it has all. */
  #images: { host: ImageHost; board: SharedArrayBuffer } | undefined;

  private constructor(place: RemotePlace, thread: RemoteThread, record: RemoteRecord, log: Logger) {
    this.#place = place;
    this.#thread = thread;
    this.#record = record;
    this.#log = log;
  }

  /** @throws what keeps the remote from being this store's */
  static async begin(
    place: RemotePlace,
    { log, ...starting }: { log: Logger } & Starting,
  ): Promise<StoreRemote> {
    const { store, remote } = place;
    const { addressing, allowPlainHttp, endpoint, url } = remote;
    const before = examineRemote(store, remote);
    const record: RemoteRecord = {
      url,
      ...(endpoint !== undefined && { endpoint }),
      holder: before?.holder ?? newHolder(),
      isBegun: before?.isBegun === true,
    };
    // Before HEAD tells of this holder.
    writeRemoteRecord(store, record);
    // Loaded here only: no other daemon needs it.
    const { ImageHost, makeImageBoard, mayLackImages, RemoteThread } = await import(
      '../../../mount/remote-thread.js'
    );
    const s3 = {
      ...parseRemote(url),
      ...(endpoint !== undefined && { endpoint }),
      ...(addressing !== undefined && { addressing }),
      allowPlainHttp,
    };
    const thread = new RemoteThread(
      {
        s3,
        holder: record.holder,
        directory: store,
        contentDirectory: join(store, 'content'),
        contentCacheBytes: remote.contentCacheBytes,
      },
      mountLog(log),
      starting,
    );
    const own = new StoreRemote(place, thread, record, log);
    try {
      const isThere = isStore(store);
      if (!isThere || mayLackImages(store)) {
        const board = makeImageBoard();
        const data = { s3, board, directory: store, patienceMs: IMAGE_PATIENCE_MS };
        // Gets ready meanwhile.
        own.#images = { host: new ImageHost(data), board };
      }
      if (!isThere) await own.#takeOver();
      if (mayLackImages(store)) await own.#images?.host.serve();
      else await own.#endImages();
    } catch (error) {
      await thread.stop();
      await own.#endImages();
      throw own.#told(error);
    }
    return own;
  }

  async #takeOver(): Promise<void> {
    this.#isRestored = await this.#thread.takeOver();
    this.#isTaken = true;
    this.#log.info({ remote: this.#place.remote.url, isRestored: this.#isRestored }, 'took the remote over');
  }

  /** Where the tree asks for images that the store lacks; undefined: it has all. */
  get images(): SharedArrayBuffer | undefined {
    return this.#images?.board;
  }

  /** The store is open: what it lacks is fetched from now on, beside what is asked for. @throws what keeps the remote from being this store's */
  async opened(tree: Tree): Promise<void> {
    this.#images?.host.fetchAll(tree.share().store as Parameters<ImageHost['fetchAll']>[0]);
    try {
      if (!this.#isTaken) await this.#thread.resume(tree);
      if (this.#isRestored) noteStoreTaken(tree);
      writeRemoteRecord(this.#place.store, { ...this.#record, isBegun: true });
    } catch (error) {
      throw this.#told(error);
    }
  }

  #told(error: unknown): Error {
    const { code, message } = failureOf(error);
    if (code !== 'ERR_REMOTE_TAKEN') return error as Error;
    const { store, remote } = this.#place;
    return new SpinneyError(
      'ERR_REMOTE_TAKEN',
      `Cannot mount ${store} with ${remote.url}, which another store writes to by now: ${message}; ` +
        'what that has is got by mounting the remote with an empty directory',
    );
  }

  /** Resolves, as the end of a mount does, when nothing more is shipped or brought though nobody ended that. */
  get failed(): Promise<MountEnd> {
    return this.#thread.died.then((error) => ({ reason: 'failed', error }));
  }

  mountRemote(tree: Tree): MountRemote {
    return this.#thread.mountRemote(tree, { isAwaited: this.#place.remote.durability === 'remote' });
  }

  refresh(): Promise<void> {
    return this.#thread.refresh();
  }

  /** Undefined: nothing is known yet. */
  report(): RemoteReport | undefined {
    const { url, endpoint, durability } = this.#place.remote;
    const stats = this.#thread.stats;
    return stats && { url, ...(endpoint !== undefined && { endpoint }), durability, ...stats };
  }

  problems(): readonly Problem[] {
    return remoteProblems(this.#place.remote.url, this.#thread.stats);
  }

  warm(path: Uint8Array, progress: (told: WarmReport) => void, signal: AbortSignal): Promise<WarmReport> {
    return this.#thread.warm(path, progress, signal);
  }

  /**
   * The mount is gone, and its last checkpoint made: ships what is left, as long as that goes on or until `hurried` settles. What is not shipped the store
   * has, and the next mount ships it. `progress` is told how much is left.
   */
  async finish(hurried: Promise<void>, progress: (left: FinishProgress) => void): Promise<void> {
    const controller = new AbortController();
    const giveUp = (why: string) =>
      controller.abort(new SpinneyError('ERR_CLOSED', `Cannot ship the rest: ${why}`));
    let last = '';
    let since = performance.now();
    void hurried.then(() => giveUp('told to hurry'));
    const looking = setInterval(() => {
      if (performance.now() - since > STUCK_MS) giveUp('the object store takes nothing');
    }, LOOK_MS);
    try {
      await this.#thread.finish((left) => {
        const now = JSON.stringify(left);
        if (now !== last) since = performance.now();
        last = now;
        progress(left);
      }, controller.signal);
      this.#log.info('the remote has everything');
    } catch (error) {
      this.#log.warn(
        { err: error },
        'the remote has not everything: the store has, and the next mount ships it',
      );
    } finally {
      clearInterval(looking);
    }
  }

  /** To be called before the tree is closed. */
  async stop(): Promise<void> {
    await this.#images?.host.stopFetching();
    await this.#thread.stop();
  }

  /** To be called after it is. */
  async closed(): Promise<void> {
    await this.#endImages();
  }

  async #endImages(): Promise<void> {
    await this.#images?.host.stop();
    this.#images = undefined;
  }
}

function isStore(store: string): boolean {
  try {
    return examineStore(store, { readOnly: false });
  } catch (error) {
    // One that was not finished.
    if (failureOf(error).code === 'ERR_NO_STORE') return false;
    throw error;
  }
}
