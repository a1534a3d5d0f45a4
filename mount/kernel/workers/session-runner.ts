/**
 * The session worker's work: serves the mount from INIT until it is gone, then closes the filesystem layer.
 * Blocking throughout; messages to main are posted, none are received.
 */
import type { TreeOperations } from '../../../engine/api.js';
import type { FsyncPlan, Reclaimer } from '../../filesystem/types.js';
import type { MountLog } from '../../types.js';
import { type RequestHandler, serveRequests } from '../device/connection.js';
import { attributeInvalidation, backingFiles } from '../device/device-calls.js';
import type { MountState } from '../device/mount-state.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import { handle } from '../session/dispatch.js';
import { OVER, type Rehearsal } from '../session/rehearsal.js';
import type { ServedFileSystem } from '../session/served-filesystem.js';
import { Session, type SessionOptions } from '../session/session.js';
import { Interrupts } from './interrupts.js';
import { type ContentAccess, IoResult, IoService, IoTask, putSync } from './io-service.js';

/** How long the end of a mount waits for the removal of content, which the next start would do as well. */
const LONGEST_END_MS = 5000;

/** How long a request that found the disk full waits for the removal of content: somebody's sync may come before it. */
const LONGEST_ROOM_MS = 3000;

/** How often the filesystem layer gets time for what it put off. */
const REST_MS = 1000;

export interface RunnerOptions extends SessionOptions {
  fd: number;
  state: MountState;
  tasks: SharedQueue;
  results: SharedQueue;
  tree: TreeOperations;
  makeFileSystem(reclaimer: Reclaimer): ServedFileSystem;
  content: ContentAccess;
  rehearsal: Rehearsal;
  ready(): void;
  log: MountLog;
}

/** Returns when the mount is gone and all its mutations are in the tree; throws when it cannot go on. */
export function runSession(options: RunnerOptions): void {
  new SessionRunner(options).run();
}

class SessionRunner implements RequestHandler, Reclaimer {
  readonly #options: RunnerOptions;
  readonly #fileSystem: ServedFileSystem;
  readonly #session: Session;
  readonly #record = new Float64Array(RECORD_FIELDS);
  /** Does the I/O worker's work when that is dead. */
  readonly #standIn: IoService;
  /** Removals, ino and LSN in turn, that found the queue full. */
  #overflow: number[] = [];
  /** Scheduled, and not known to be done. */
  #removals = 0;
  #ioEnded = false;
  #hurried = false;

  readonly request: Session['request'];
  readonly reply: Session['reply'];

  constructor(options: RunnerOptions) {
    const { state, tree, log } = options;
    this.#options = options;
    this.#fileSystem = options.makeFileSystem(this);
    this.#standIn = new IoService({
      fd: options.fd,
      tasks: options.tasks,
      results: options.results,
      tree,
      content: options.content,
      answered: (result) => state.syncAnswered(result),
      wakeSession: () => state.wakeSession(),
      log,
    });
    const interrupts = new Interrupts(options.fd, options.tasks);
    const services = {
      log,
      ready: options.ready,
      sync: (uniqueLow: number, uniqueHigh: number, plan: FsyncPlan | undefined) =>
        !state.isIoGone && putSync(options.tasks, uniqueLow, uniqueHigh, this.request.pid, plan),
      makeRoom: () => this.#makeRoom(),
      interrupted: (uniqueLow: number, uniqueHigh: number) => interrupts.interrupt(uniqueLow, uniqueHigh),
      // The kernel lets nobody else register files.
      backingFiles: process.geteuid?.() === 0 ? backingFiles(options.fd) : undefined,
      invalidateAttributes: attributeInvalidation(options.fd),
    };
    this.#session = new Session(this.#fileSystem, state, services, options);
    this.request = this.#session.request;
    this.reply = this.#session.reply;
  }

  run(): void {
    const { fd, state } = this.#options;
    this.#fileSystem.start();
    try {
      serveRequests(fd, state, this);
    } finally {
      // What it does from here on keeps no request waiting.
      state.setAsleep(true);
      while (this.#session.work());
      this.#endIo();
      this.#fileSystem.close();
    }
  }

  handle(length: number): number {
    return handle(this.#session, length);
  }

  replyRefused(error: number): void {
    const { opcode, node } = this.request;
    this.#options.log('error', 'The kernel refused a reply', { opcode, node, errno: error });
  }

  woken(): void {
    if (this.#options.state.isIoGone) this.#standIn.round(true);
    this.#takeResults();
    this.#putOverflow();
  }

  work(): boolean {
    return this.#session.work();
  }

  idle(): number {
    const waits = this.#session.rest();
    if (this.#options.state.isIoGone) this.woken();
    const untilRehearsal = this.#rehearse();
    if (untilRehearsal !== OVER) return untilRehearsal;
    return waits ? REST_MS : -1;
  }

  /** The mount does not depend on it. */
  #rehearse(): number {
    const { rehearsal, state, log } = this.#options;
    try {
      return rehearsal.idle(state.requests);
    } catch (error) {
      log('error', `${error}`);
      return OVER;
    }
  }

  /** Reclaimer: the filesystem layer has an inode whose content is to be removed. */
  schedule(ino: number, lsn: number): void {
    this.#removals++;
    this.#overflow.push(ino, lsn);
    this.#putOverflow();
  }

  #putOverflow(): void {
    let done = 0;
    const overflow = this.#overflow;
    while (
      done < overflow.length &&
      this.#options.tasks.put(IoTask.REMOVE, overflow[done]!, overflow[done + 1]!)
    ) {
      done += 2;
    }
    if (done > 0) this.#overflow = overflow.slice(done);
  }

  #takeResults(): void {
    const { results } = this.#options;
    const removed: number[] = [];
    const count = results.length;
    for (let i = 0; i < count && results.peek(i, this.#record); i++) {
      const [kind, ino, file, birth] = this.#record as unknown as [number, number, number, number];
      if (kind === IoResult.ENDED) this.#ioEnded = true;
      else if (kind === IoResult.HURRIED) this.#hurried = true;
      else if (kind === IoResult.REMOVED) removed.push(ino);
      else this.#fileSystem.fsynced(ino, { file, birth });
    }
    results.drop(count);
    if (removed.length === 0) return;
    this.#removals -= removed.length;
    try {
      this.#fileSystem.reclaimed(removed);
    } catch (error) {
      // The records stay, and the next start takes them for orphans again.
      this.#options.log('error', `Cannot delete the records of ${removed.length} removed inodes: ${error}`);
    }
  }

  /** Lets the I/O worker finish what it has, within a deadline. */
  #endIo(): void {
    this.#await(IoTask.END, () => this.#ioEnded, LONGEST_END_MS);
  }

  #makeRoom(): boolean {
    // Who was the last to have a removed file open keeps its content.
    while (this.#session.work());
    if (this.#removals <= 0) return false;
    this.#hurried = false;
    this.#await(IoTask.HURRY, () => this.#hurried, LONGEST_ROOM_MS);
    // What could not be done is left to the next start.
    if (this.#hurried) this.#removals = 0;
    return true;
  }

  /** Gives the I/O worker a task after all removals, and takes results until it is done or the time is over. */
  #await(task: number, isDone: () => boolean, longestMs: number): void {
    const { state, tasks, results } = this.#options;
    const deadline = performance.now() + longestMs;
    let told = false;
    while (!isDone()) {
      const seen = results.events;
      this.#putOverflow();
      if (!told && this.#overflow.length === 0) told = tasks.put(task);
      if (state.isIoGone) this.#standIn.round(true);
      this.#takeResults();
      const left = deadline - performance.now();
      if (left <= 0) return;
      if (!isDone()) results.wait(seen, left);
    }
  }
}
