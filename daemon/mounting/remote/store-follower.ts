/**
 * A store that is a copy of what another machine writes to an object store, for a mount that follows: made anew by each daemon, and brought up to date by a thread of its
 * own, which is loaded only here.
 */
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { newHolder, parseRemote, writeRemoteRecord } from '../../../engine/before-open.js';
import { FileBlobStore, type Tree } from '../../../engine/index.js';
import type { RemoteThread, Starting } from '../../../mount/remote-thread.js';
import type { MountEnd, MountRemote } from '../../../mount/types.js';
import type { RemoteReport, WarmReport } from '../../control/reports.js';
import type { Problem } from '../../health/codes.js';
import { examineRemote } from '../../places/remote-place.js';
import { failureOf } from '../../process/failure.js';
import { type Logger, mountLog } from '../../process/log/log.js';
import type { RemoteOptions } from '../daemon-options.js';
import { followingProblems } from '../health/remote-problems.js';
import type { ServedRemote } from './store-remote.js';

/** What another daemon of the directory has made, its log and its record aside. */
const COPY =
  /^(blobs\.dat|manifest(\.log|\.spare|\.old)?|lock|journal[.-][0-9a-z.]+|content|repair\.unfinished|remote-images|shipped-packs)$/;

export class StoreFollower implements ServedRemote {
  readonly #remote: RemoteOptions;
  readonly #thread: RemoteThread;
  readonly images = undefined;

  private constructor(remote: RemoteOptions, thread: RemoteThread) {
    this.#remote = remote;
    this.#thread = thread;
  }

  /** Makes the store. @throws ERR_STORE_LOCKED where another daemon has the directory, and what keeps the remote from being followed */
  static async begin(
    { store, remote }: { store: string; remote: RemoteOptions },
    { log, ...starting }: { log: Logger } & Starting,
  ): Promise<StoreFollower> {
    const { addressing, allowPlainHttp, contentCacheBytes, endpoint, url } = remote;
    const before = examineRemote(store, remote);
    if (before !== undefined) removeCopy(store);
    const holder = before?.holder ?? newHolder();
    writeRemoteRecord(store, {
      url,
      ...(endpoint !== undefined && { endpoint }),
      holder,
      isBegun: true,
      follows: true,
    });
    const { RemoteThread } = await import('../../../mount/remote-thread.js');
    const thread = new RemoteThread(
      {
        s3: {
          ...parseRemote(url),
          ...(endpoint !== undefined && { endpoint }),
          ...(addressing !== undefined && { addressing }),
          allowPlainHttp,
        },
        holder,
        directory: store,
        contentDirectory: join(store, 'content'),
        contentCacheBytes,
      },
      mountLog(log),
      starting,
    );
    try {
      await thread.follow();
    } catch (error) {
      await thread.stop();
      throw error;
    }
    return new StoreFollower(remote, thread);
  }

  async opened(tree: Tree): Promise<void> {
    await this.#thread.catchUp(tree);
  }

  mountRemote(...[tree]: Parameters<ServedRemote['mountRemote']>): MountRemote {
    return this.#thread.mountRemote(tree, { follows: true });
  }

  get failed(): Promise<MountEnd> {
    return this.#thread.died.then((error) => ({ reason: 'failed', error }));
  }

  refresh(): Promise<void> {
    return this.#thread.refresh();
  }

  report(): RemoteReport | undefined {
    const { url, endpoint, durability } = this.#remote;
    const { stats } = this.#thread;
    return stats && { url, ...(endpoint !== undefined && { endpoint }), durability, ...stats };
  }

  problems(): readonly Problem[] {
    return followingProblems(this.#remote.url, this.#thread.stats);
  }

  warm(path: Uint8Array, progress: (told: WarmReport) => void, signal: AbortSignal): Promise<WarmReport> {
    return this.#thread.warm(path, progress, signal);
  }

  async finish(): Promise<void> {}

  async stop(): Promise<void> {
    await this.#thread.stop();
  }

  async closed(): Promise<void> {}
}

/** Removes what another daemon of this directory has made, unless that has it still. @throws ERR_STORE_LOCKED */
function removeCopy(store: string): void {
  try {
    FileBlobStore.open({ dir: store }).close();
  } catch (error) {
    // It is removed, whatever else is the matter with it.
    if (failureOf(error).code === 'ERR_STORE_LOCKED') throw error;
  }
  for (const name of readdirSync(store)) {
    if (COPY.test(name)) rmSync(join(store, name), { recursive: true });
  }
}
