/** Main's side of the thread that speaks with a store's remote. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MessagePort, Worker } from 'node:worker_threads';
import { type ErrorCode, SpinneyError } from '../../engine/errors.js';
import type { Tree, TreeHandle } from '../../engine/index.js';
import { makeShippingBoard, ShippingBoard } from '../../engine/shipped-contents.js';
import type { MountLog, MountRemote, RemoteStats, WarmProgress } from '../types.js';
import { watchWorker } from '../watched-worker.js';
import type { FinishProgress, RemoteAsked, RemoteMessage, RemoteThreadData } from './messages.js';

/** Who asks how it is gets what was told before where it does not answer for so long. */
const ANSWERS_MS = 2_000;

interface Waiter {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
  progress?: ((progress: never) => void) | undefined;
}

/** Of a daemon that is being started. */
export interface Starting {
  /** Gets what whoever waits should know. */
  notice?: ((text: string) => void) | undefined;
  /** Nobody waits any more. */
  signal?: AbortSignal | undefined;
}

export class RemoteThread {
  readonly #worker: Worker;
  readonly #waiters = new Map<number, Waiter>();
  readonly #board = makeShippingBoard();
  readonly #log: MountLog;
  #usesTree = false;
  #lastId = 0;
  #end: SpinneyError | undefined;
  #stats: RemoteStats | undefined;
  /** When these were heard, in milliseconds of `performance`. */
  #heardAt = 0;
  #serving: Promise<unknown> | undefined;
  /** Resolves when the thread has ended though nobody ended it: nobody brings contents, or ships, any more. */
  readonly died: Promise<Error>;
  #diedOf: (error: Error) => void = () => {};
  readonly #starting: Starting;

  /** Whoever waits for the mount hears of what takes long, and may give up until it is served. */
  constructor(data: RemoteThreadData, log: MountLog, starting: Starting = {}) {
    this.#log = log;
    this.#starting = starting;
    this.died = new Promise((resolve) => {
      this.#diedOf = resolve;
    });
    this.#worker = new Worker(new URL('./remote-worker.js', import.meta.url), { workerData: data });
    this.#worker.on('message', (message: RemoteMessage) => this.#hear(message));
    this.#worker.on('error', (error) => this.#endWith(`its thread has died: ${error}`));
    this.#worker.on('exit', () => this.#endWith('its thread has ended'));
    if (starting.signal?.aborted === true) this.#giveUp();
    starting.signal?.addEventListener('abort', this.#giveUp, { once: true });
  }

  /** As a kill, which may come at any time. */
  readonly #giveUp = () => {
    this.#end ??= new SpinneyError('ERR_CLOSED', 'Cannot mount: it was given up while it was being started');
    void this.#worker.terminate();
  };

  /** Makes the remote's store in the directory, which is empty; true where the remote has one. @throws as `takeOverStore` */
  async takeOver(): Promise<boolean> {
    const { isRestored } = (await this.#ask({ kind: 'take-over' })) as { isRestored: boolean };
    return isRestored;
  }

  /** Goes on with the remote that the store, which is open, writes to, or begins with one that is empty. @throws as `resumeRemoteStore` */
  async resume(tree: Tree): Promise<void> {
    await this.#ask({ kind: 'resume', tree: this.#share(tree) });
  }

  /** Makes a store in the directory, which is empty, of what another machine writes, to be followed. @throws as `beginFollowing` */
  async follow(): Promise<void> {
    await this.#ask({ kind: 'follow' });
  }

  /** That store is open: it becomes what the remote has by now. @throws as `Following.catchUp` */
  async catchUp(tree: Tree): Promise<void> {
    await this.#ask({ kind: 'catch-up', tree: this.#share(tree) });
  }

  /** For a mount of the store. From when that connects, what is changed is shipped, or what is followed is shown. */
  mountRemote(tree: Tree, { isAwaited = false, follows = false }): MountRemote {
    return {
      isAwaited,
      follows,
      board: this.#board,
      connect: (end) => {
        this.#starting.signal?.removeEventListener('abort', this.#giveUp);
        const ports = [end.session, end.io];
        this.#serving = this.#ask({ kind: 'serve', tree: this.#share(tree), end, board: this.#board }, ports);
        this.#serving.catch((error: unknown) => this.#log('error', `Cannot ship to the remote: ${error}`));
      },
    };
  }

  /** As last told; undefined: not yet. Where that is long ago, the lag may be as much longer. */
  get stats(): RemoteStats | undefined {
    const silentMs = performance.now() - this.#heardAt;
    if (this.#stats === undefined || silentMs < ANSWERS_MS) return this.#stats;
    return { ...this.#stats, lagSeconds: this.#stats.lagSeconds + silentMs / 1000 };
  }

  /** Has `stats` as they are now: what was acknowledged before is in them. Never throws. */
  async refresh(): Promise<void> {
    const asked = this.#ask({ kind: 'stats' }).then(
      (stats) => stats !== undefined && this.#told(stats as RemoteStats),
      // It ends: what it told last holds.
      () => {},
    );
    await Promise.race([asked, sleep(ANSWERS_MS, undefined, { ref: false })]);
  }

  /** @throws ERR_NOT_FOUND, ERR_CLOSED */
  async warm(
    path: Uint8Array,
    progress: (told: WarmProgress) => void,
    signal: AbortSignal,
  ): Promise<WarmProgress> {
    await this.#serving;
    return (await this.#askFor({ kind: 'warm', path }, progress, signal)) as WarmProgress;
  }

  /** Ships all that is left, and lets others take over. @throws ERR_REMOTE_TAKEN, ERR_CLOSED */
  async finish(progress: (told: FinishProgress) => void, signal: AbortSignal): Promise<void> {
    await this.#askFor({ kind: 'finish' }, progress, signal);
  }

  /** Ends it at once: then nothing uses the tree any more. The remote stays this store's, unless it was let go. Never throws. */
  async stop(): Promise<void> {
    this.#starting.signal?.removeEventListener('abort', this.#giveUp);
    try {
      if (this.#end === undefined) await this.#ask({ kind: 'stop' });
    } catch (error) {
      this.#log('warn', `Cannot end the remote's thread cleanly: ${error}`);
    }
    this.#end ??= new SpinneyError('ERR_CLOSED', 'Cannot use the remote: it is closed');
    await this.#worker.terminate();
  }

  #share(tree: Tree): TreeHandle {
    if (!this.#usesTree) watchWorker(this.#worker, tree);
    this.#usesTree = true;
    return tree.share();
  }

  #askFor(asked: RemoteAsked, progress: (told: never) => void, signal: AbortSignal): Promise<unknown> {
    const answer = this.#ask(asked, [], progress);
    const of = this.#lastId;
    const cancel = () => void this.#ask({ kind: 'cancel', of }).catch(() => {});
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel, { once: true });
    return answer.finally(() => signal.removeEventListener('abort', cancel));
  }

  #ask(
    asked: RemoteAsked,
    ports: readonly MessagePort[] = [],
    progress?: (told: never) => void,
  ): Promise<unknown> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject, progress });
      this.#worker.postMessage({ ...asked, id }, ports);
    });
  }

  #told(stats: RemoteStats): void {
    this.#stats = stats;
    this.#heardAt = performance.now();
  }

  #hear(message: RemoteMessage): void {
    if (message.kind === 'stats') this.#told(message.stats);
    else if (message.kind === 'log') this.#log(message.level, message.message, message.fields);
    else if (message.kind === 'notice') this.#starting.notice?.(message.text);
    else if (message.kind === 'progress')
      this.#waiters.get(message.id)?.progress?.(message.progress as never);
    else {
      const waiter = this.#waiters.get(message.id);
      this.#waiters.delete(message.id);
      if (message.kind === 'answer') waiter?.resolve(message.value);
      else waiter?.reject(failureOf(message.code, message.message));
    }
  }

  #endWith(why: string): void {
    if (this.#end === undefined) {
      this.#end = new SpinneyError('ERR_CLOSED', `Cannot use the remote: ${why}`);
      this.#log('error', this.#end.message);
      this.#diedOf(this.#end);
      // Nobody looks at the lease any more: who waits for that must not wait for ever.
      new ShippingBoard(this.#board).end();
    }
    for (const { reject } of this.#waiters.values()) reject(this.#end);
    this.#waiters.clear();
  }
}

function failureOf(code: ErrorCode | undefined, message: string): Error {
  return code === undefined ? new Error(message) : new SpinneyError(code, message);
}
