/**
 * The session worker's work: serves the mount from INIT until it is gone, then closes the filesystem layer.
 * Blocking throughout; messages to main are posted, none are received.
 */
import type { TreeOperations } from '../../../engine/api.js';
import type {
  ContentCopy,
  ContentName,
  ContentWorker,
  FsyncPlan,
  Reclaimer,
} from '../../filesystem/types.js';
import type { MountLog } from '../../types.js';
import { type RequestHandler, sendReply, serveRequests } from '../device/connection.js';
import { attributeInvalidation, backingFiles } from '../device/device-calls.js';
import type { MountState } from '../device/mount-state.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import { handle } from '../session/dispatch.js';
import { OVER, type Rehearsal } from '../session/rehearsal.js';
import type { ServedFileSystem } from '../session/served-filesystem.js';
import { Session, type SessionOptions } from '../session/session.js';
import { type CommandResult, carryOut, type SessionCommand } from './commands.js';
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
  /** `work`: does what the session put off. */
  makeFileSystem(reclaimer: Reclaimer, worker: ContentWorker, work: () => void): ServedFileSystem;
  content: ContentAccess;
  /** What main has asked for, in turn; undefined: nothing more. */
  nextCommand(): SessionCommand | undefined;
  answer(id: number, result: CommandResult): void;
  rehearsal: Rehearsal;
  ready(): void;
  log: MountLog;
}

/** Returns when the mount is gone and all its mutations are in the tree; throws when it cannot go on. */
export function runSession(options: RunnerOptions): void {
  new SessionRunner(options).run();
}

/** As the queue takes it. */
type Task = [kind: number, number, number, number];

class SessionRunner implements RequestHandler, Reclaimer, ContentWorker {
  readonly #options: RunnerOptions;
  readonly #fileSystem: ServedFileSystem;
  readonly #session: Session;
  readonly #record = new Float64Array(RECORD_FIELDS);
  /** Does the I/O worker's work when that is dead. */
  readonly #standIn: IoService;
  /** Tasks that found the queue full. */
  #overflow: Task[] = [];
  /** Copies that the I/O worker was asked for, and has not answered. */
  #copies: Task[] = [];
  /** Scheduled, and not known to be done. */
  #removals = 0;
  #ioEnded = false;
  #hurried = false;
  #isStandingIn = false;
  /** Who waits for a content may have it by now. */
  #isAnswered = false;

  readonly request: Session['request'];
  readonly reply: Session['reply'];

  constructor(options: RunnerOptions) {
    const { state, tree, log } = options;
    this.#options = options;
    this.#fileSystem = options.makeFileSystem(this, this, () => {
      while (this.#session.work());
    });
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
    if (this.#options.state.isIoGone) this.#standInForIo();
    this.#takeResults();
    this.#putOverflow();
    if (this.#isAnswered) this.#serveParked();
    this.#obey();
  }

  /** What was put aside is served again. Not while another request is: they share a buffer. */
  #serveParked(): void {
    this.#isAnswered = false;
    for (const bytes of this.#session.takeParked()) {
      this.request.bytes.set(bytes);
      const length = this.handle(bytes.length);
      const refused = length > 0 ? sendReply(this.#options.fd, this.reply.bytes, length) : 0;
      if (refused !== 0) this.replyRefused(refused);
    }
  }

  /** Carries out what main has asked for. */
  #obey(): void {
    const { nextCommand, answer } = this.#options;
    for (let command = nextCommand(); command !== undefined; command = nextCommand()) {
      answer(command.id, carryOut(this.#fileSystem.snapshots, command));
    }
  }

  work(): boolean {
    return this.#session.work() || this.#fileSystem.snapshots.work();
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
  schedule(ino: number, born: number, lsn: number): void {
    this.#removals++;
    this.#put([IoTask.REMOVE, ino, lsn, born]);
  }

  /** ContentWorker. */
  copy({ ino, born, next }: ContentCopy): void {
    this.#putCopy([IoTask.COPY, ino, born, next]);
  }

  place({ ino, born, next }: ContentCopy): void {
    this.#putCopy([IoTask.PLACE, ino, born, next]);
  }

  syncContents(): void {
    this.#putCopy([IoTask.SYNC_CONTENTS, 0, 0, 0]);
  }

  #putCopy(task: Task): void {
    this.#copies.push(task);
    this.#put(task);
  }

  #put(task: Task): void {
    this.#overflow.push(task);
    this.#putOverflow();
  }

  #putOverflow(): void {
    let done = 0;
    while (done < this.#overflow.length && this.#options.tasks.put(...this.#overflow[done]!)) done++;
    if (done > 0) this.#overflow = this.#overflow.slice(done);
  }

  /** What the I/O worker had taken it will not answer. */
  #standInForIo(): void {
    if (!this.#isStandingIn) {
      this.#isStandingIn = true;
      this.#overflow = [...this.#copies, ...this.#overflow.filter((task) => !this.#copies.includes(task))];
      this.#putOverflow();
    }
    this.#standIn.round(true);
  }

  #takeResults(): void {
    const { results } = this.#options;
    const record = this.#record;
    const removed: ContentName[] = [];
    const count = results.length;
    for (let i = 0; i < count && results.peek(i, record); i++) {
      const [kind, ino, born] = record as unknown as [number, number, number];
      if (kind === IoResult.ENDED) this.#ioEnded = true;
      else if (kind === IoResult.HURRIED) this.#hurried = true;
      else if (kind === IoResult.REMOVED) removed.push({ ino, born });
      else if (kind === IoResult.NAME_DURABLE) {
        this.#fileSystem.fsynced(ino, born, { file: record[3]!, birth: record[4]! });
      } else this.#takeAnswer(kind, ino, born, record[3]!, record[4]!);
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

  /** Of what `#putCopy` asked for. */
  #takeAnswer(kind: number, first: number, born: number, next: number, result: number): void {
    const { snapshots } = this.#fileSystem;
    const task =
      kind === IoResult.COPIED ? IoTask.COPY : kind === IoResult.PLACED ? IoTask.PLACE : IoTask.SYNC_CONTENTS;
    const at = this.#copies.findIndex(
      (asked) =>
        asked[0] === task && (task === IoTask.SYNC_CONTENTS || (asked[1] === first && asked[2] === born)),
    );
    // Of what two were asked for, as after the I/O worker's death, the second answer is none.
    if (at < 0) return;
    this.#copies.splice(at, 1);
    this.#isAnswered = true;
    try {
      if (task === IoTask.COPY) snapshots.copied({ ino: first, born, next }, result);
      else if (task === IoTask.PLACE) snapshots.placed({ ino: first, born, next }, result);
      else snapshots.contentsSynced(first);
    } catch (error) {
      this.#options.log('error', `Cannot go on with the copy of a content: ${error}`);
    }
  }

  /** Lets the I/O worker finish what it has, within a deadline. */
  #endIo(): void {
    // What is left of copies then is copied at the next start, as it is by then.
    this.#await(undefined, () => this.#copies.length === 0, LONGEST_END_MS);
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

  /** Gives the I/O worker a task, if any, after all removals, and takes results until it is done or the time is over. */
  #await(task: number | undefined, isDone: () => boolean, longestMs: number): void {
    const { state, tasks, results } = this.#options;
    const deadline = performance.now() + longestMs;
    let told = task === undefined;
    while (!isDone()) {
      const seen = results.events;
      this.#putOverflow();
      if (!told && this.#overflow.length === 0) told = tasks.put(task!);
      if (state.isIoGone) this.#standInForIo();
      this.#takeResults();
      const left = deadline - performance.now();
      if (left <= 0) return;
      if (!isDone()) results.wait(seen, left);
    }
  }
}
