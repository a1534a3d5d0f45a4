/** The thread that speaks with a store's remote. Serves `RemoteThread`. */
import { parentPort, workerData } from 'node:worker_threads';
import { SpinneyError } from '../../engine/errors.js';
import { Tree } from '../../engine/index.js';
import {
  type BegunFollowing,
  BOOT_CLOCK,
  beginFollowing,
  type FollowedTree,
  Following,
  NodeDisk,
  newId,
  openRemote,
  openRemoteToRead,
  type RemoteStore,
  RetryingObjectStore,
  resumeRemoteStore,
  type Site,
  takeOverStore,
} from '../../engine/remote-store.js';
import { recordsOf } from '../../engine/shipped-contents.js';
import { FILESYSTEM_MEASURE } from '../filesystem/records/measure.js';
import type { MountLog } from '../types.js';
import { FollowService } from './follow-service.js';
import type { RemoteMessage, RemoteRequest, RemoteThreadData } from './messages.js';
import { RemoteService } from './remote-service.js';

/** How long HEAD is ours without a renewal; and how long another machine waits after this one has died. */
const LEASE_MS = 5_000;
/** From when on the object store counts as away. */
const PATIENCE_MS = 3_000;
const STATS_MS = 500;
/** How often long work of the start is told. */
const TOLD_MS = 5_000;

const { s3, holder, directory, contentDirectory, contentCacheBytes } = workerData as RemoteThreadData;
const post = (message: RemoteMessage) => parentPort!.postMessage(message);
const log: MountLog = (level, message, fields) => post({ kind: 'log', level, message, fields });

let site: Site | undefined;
let store: RemoteStore | undefined;
let tree: Tree | undefined;
/** What another machine writes is followed. */
let begun: BegunFollowing | undefined;
let following: Following | undefined;
/** As long as there is no mount: at once. */
let play: FollowedTree['play'] = async (bodies) => {
  for (const body of bodies) for (const { changes } of recordsOf(body)) tree!.apply(changes);
};
let service: RemoteService | FollowService | undefined;
const cancelled = new Map<number, AbortController>();

/** One that only reads tries no conditions out. */
async function openSite(writes = true): Promise<Site> {
  if (site !== undefined) return site;
  if (!writes) {
    site = await openRemoteToRead(s3, PATIENCE_MS);
    return site;
  }
  const opened = await openRemote(s3);
  const retrying = new RetryingObjectStore(opened, {
    clock: BOOT_CLOCK,
    random: Math.random,
    patienceMs: PATIENCE_MS,
  });
  site = { store: retrying, clock: BOOT_CLOCK, newId };
  return site;
}

function options() {
  return {
    holder,
    leaseMs: LEASE_MS,
    onProgress: (objects: number) =>
      post({ kind: 'notice', text: `reading the remote: ${objects} objects of its journal` }),
  };
}

/** Tells now and then how much of the tree has come. */
function fetchTold(): (done: number, total: number) => void {
  let toldAt = performance.now();
  return (done, total) => {
    if (performance.now() - toldAt < TOLD_MS) return;
    toldAt = performance.now();
    post({ kind: 'notice', text: `fetching the remote's tree: ${done} of ${total} blobs` });
  };
}

function attach(handle: unknown): Tree {
  tree ??= Tree.attach(handle as Parameters<typeof Tree.attach>[0], { measure: FILESYSTEM_MEASURE });
  return tree;
}

function follow(following: Following, request: Extract<RemoteRequest, { kind: 'serve' }>): FollowService {
  return new FollowService({
    site: site!,
    following,
    playBy: (other) => {
      play = other;
    },
    tree: attach(request.tree),
    contentDirectory,
    contentCacheBytes,
    end: request.end,
    log,
  });
}

async function carryOut(request: RemoteRequest): Promise<unknown> {
  switch (request.kind) {
    case 'take-over': {
      const taken = await takeOverStore(await openSite(), directory, { ...options(), isLazy: true });
      store = taken;
      return { isRestored: taken.shipped.isRestored };
    }
    case 'resume':
      store = await resumeRemoteStore(await openSite(), attach(request.tree), options());
      return undefined;
    case 'follow':
      begun = await beginFollowing(await openSite(false), directory, fetchTold());
      return undefined;
    case 'catch-up':
      following = new Following({
        ...begun!,
        tree: { reads: attach(request.tree), play: (bodies, isStepwise) => play(bodies, isStepwise) },
        disk: new NodeDisk(),
        scratch: directory,
      });
      await following.catchUp();
      return undefined;
    case 'serve': {
      const { board, end } = request;
      service =
        following !== undefined
          ? follow(following, request)
          : new RemoteService({
              site: site!,
              store: store!,
              tree: attach(request.tree),
              directory,
              contentDirectory,
              contentCacheBytes,
              end,
              board,
              log,
            });
      setInterval(() => post({ kind: 'stats', stats: service!.stats() }), STATS_MS).unref();
      return service.stats();
    }
    case 'stats':
      return service?.stats();
    case 'warm':
    case 'finish': {
      const controller = new AbortController();
      cancelled.set(request.id, controller);
      try {
        const { id } = request;
        const tell = (progress: Extract<RemoteMessage, { kind: 'progress' }>['progress']) =>
          post({ kind: 'progress', id, progress });
        if (request.kind === 'warm') return await service!.warm(request.path, tell, controller.signal);
        // Who follows has nothing to bring there.
        if (service instanceof FollowService) await service.stop();
        else if (service !== undefined) await service.finish(tell, controller.signal);
        else await store?.writer.release();
        return undefined;
      } finally {
        cancelled.delete(request.id);
      }
    }
    case 'cancel':
      cancelled.get(request.of)?.abort(new SpinneyError('ERR_CLOSED', 'Cannot go on: nobody waits for it'));
      return undefined;
    case 'stop':
      for (const controller of cancelled.values())
        controller.abort(new SpinneyError('ERR_CLOSED', 'Cannot go on: the daemon is ending'));
      if (service !== undefined) await service.stop();
      else
        store?.writer.held.endWith(
          new SpinneyError('ERR_CLOSED', 'Cannot write to the remote: it is closed'),
        );
      tree?.close();
      tree = undefined;
      await site?.store.close();
      return undefined;
  }
}

parentPort!.on('message', (request: RemoteRequest) => {
  carryOut(request).then(
    (value) => post({ kind: 'answer', id: request.id, value }),
    (error: unknown) => {
      const code = error instanceof SpinneyError ? error.code : undefined;
      post({ kind: 'failure', id: request.id, code, message: (error as Error).message });
    },
  );
});
