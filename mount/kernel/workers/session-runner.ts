/**
 * The session worker's work: serves the mount from INIT until it is gone, then closes the filesystem layer.
 * Blocking throughout; messages to main are posted, none are received.
 */
import { constants } from 'node:os';
import type { TreeOperations } from '../../../engine/api.js';
import type { Tree } from '../../../engine/index.js';
import { stopwatch } from '../../../engine/stopwatch.js';
import { ContentAwaited } from '../../filesystem/errno.js';
import type {
  ContentCopy,
  ContentName,
  ContentWorker,
  FsyncPlan,
  InodeKeepers,
  Reclaimer,
} from '../../filesystem/types.js';
import { Lane } from '../../request-log/memory.js';
import type { PendingRequests } from '../../request-log/pending.js';
import { monotonic } from '../../requests/request-failures.js';
import type { MountLog, ResumedSession, Timeouts } from '../../types.js';
import { type RequestHandler, sendReply, serveRequests } from '../device/connection.js';
import { attributeInvalidation, backingFiles, requestResending } from '../device/device-calls.js';
import { HeldReplies } from '../device/held-replies.js';
import type { MountState } from '../device/mount-state.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import type { SessionFiles } from '../kept/session-files.js';
import { SessionTables } from '../kept/session-tables.js';
import { handle } from '../session/dispatch.js';
import { FollowedChanges } from '../session/followed-changes.js';
import { OVER, type Rehearsal } from '../session/rehearsal.js';
import { Resumption } from '../session/resume.js';
import type { ServedFileSystem } from '../session/served-filesystem.js';
import { Session } from '../session/session.js';
import { type CommandResult, carryOut, type SessionCommand } from './commands.js';
import { Interrupts, isThreadDying } from './interrupts.js';
import { type ContentAccess, IoService, type RemoteSyncs } from './io-service.js';
import { IoResult, IoTask, putSync } from './io-tasks.js';
import { LateAnswers } from './late-answers.js';
import type { SessionRemote } from './remote-link.js';

const { EINTR } = constants.errno;

/** How long the end of a mount waits for the removal of content, which the next start would do as well. */
const LONGEST_END_MS = 5000;

/** How long a request that found the disk full waits for the removal of content: somebody's sync may come before it. */
const LONGEST_ROOM_MS = 3000;

/** How long a mount that is handed over waits for the I/O worker, twice. */
const LONGEST_HAND_OVER_MS = 2000;

/** How often the filesystem layer gets time for what it put off. */
const REST_MS = 1000;

export interface RunnerOptions extends Timeouts {
  fd: number;
  state: MountState;
  tasks: SharedQueue;
  results: SharedQueue;
  /** Of the requests in `tasks`. */
  pending: PendingRequests;
  tree: TreeOperations;
  /** `work`: does what the session put off. */
  makeFileSystem(
    reclaimer: Reclaimer,
    worker: ContentWorker,
    work: () => void,
    keepers: InodeKeepers,
  ): ServedFileSystem;
  content: ContentAccess;
  /** Undefined: the store has no remote. */
  remote: SessionRemote | undefined;
  /** The tree, where it is another machine's that is followed. */
  followed: Tree | undefined;
  /** Syncs wait for it, too; undefined: they do not. */
  remoteSyncs: RemoteSyncs | undefined;
  /** Where the session is kept; undefined: in this process alone. */
  files: SessionFiles | undefined;
  /** What is in `files` is another process's, and is gone on with. */
  resumes: boolean;
  /** What main has asked for, in turn; undefined: nothing more. */
  nextCommand(): SessionCommand | undefined;
  answer(id: number, result: CommandResult): void;
  rehearsal: Rehearsal;
  /** The mount answers; `isKept`: another daemon could go on with it. */
  ready(isKept: boolean, resumed?: ResumedSession): void;
  /** Another daemon's session cannot be gone on with. */
  refused(reason: string): void;
  log: MountLog;
}

/**
 * Returns true when the mount is gone and all its mutations are in the tree, or it was left to another daemon; false where it is
 * another daemon's that cannot be gone on with; throws when it cannot go on.
 */
export function runSession(options: RunnerOptions): boolean {
  return new SessionRunner(options).run();
}

/** As the queue takes it. */
type Task = [kind: number, number, number, number];

class SessionRunner implements RequestHandler, Reclaimer, ContentWorker {
  readonly #options: RunnerOptions;
  readonly #fileSystem: ServedFileSystem;
  readonly #session: Session;
  readonly #followed: FollowedChanges | undefined;
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
  #isHandedOver = false;

  readonly request: Session['request'];
  readonly reply: Session['reply'];
  readonly held: HeldReplies;

  constructor(options: RunnerOptions) {
    const { state, tree, log } = options;
    this.#options = options;
    const tables = options.files?.tables ?? new SessionTables();
    const work = () => {
      while (this.#session.work());
    };
    this.#fileSystem = options.makeFileSystem(this, this, work, tables);
    const requests = new LateAnswers(state.requestLog, options.pending, Lane.SESSION);
    this.#standIn = new IoService({
      fd: options.fd,
      tasks: options.tasks,
      results: options.results,
      tree,
      content: options.content,
      answered: (opcode, result, times) => state.syncAnswered(opcode, result, times),
      requests,
      remote: options.remoteSyncs,
      wakeSession: () => state.wakeSession(),
      log,
    });
    const { remote, remoteSyncs } = options;
    const queues = remoteSyncs === undefined ? [options.tasks] : [options.tasks, remoteSyncs.queue];
    const interrupts = new Interrupts(options.fd, queues, requests);
    const services = {
      log,
      ready: (resends: boolean) => this.#agreed(resends),
      sync: (plan: FsyncPlan | undefined) => this.#sync(plan),
      remote,
      makeRoom: () => this.#makeRoom(),
      interrupted: (low: number, high: number) => {
        interrupts.interrupt(low, high);
        this.#session.dropParked({ low, high }, isThreadDying, this.#letGo);
      },
      // The kernel lets nobody else register files.
      // Nor could a content be exchanged that the kernel reads by itself.
      backingFiles:
        process.geteuid?.() === 0 && options.followed === undefined ? backingFiles(options.fd) : undefined,
      invalidateAttributes: attributeInvalidation(options.fd),
    };
    this.#session = new Session(this.#fileSystem, state, services, options, tables);
    this.#followed =
      options.followed &&
      new FollowedChanges(options.followed, this.#session.nodes, this.#fileSystem.followed!);
    this.request = this.#session.request;
    this.reply = this.#session.reply;
    this.held = new HeldReplies(options.fd, this.#session, (errno) =>
      log('error', 'The kernel refused a reply that was held back', { errno }),
    );
  }

  run(): boolean {
    const { fd, files, resumes, state } = this.#options;
    if (!resumes) this.#fileSystem.start();
    else if (!this.#resume()) return false;
    try {
      serveRequests(fd, state, this);
    } catch (error) {
      // All stays as it is for a daemon that goes on with it.
      if (files?.isOpen !== true) this.#end();
      throw error;
    } finally {
      this.held.close();
    }
    if (this.#isHandedOver) files?.leave();
    else this.#end();
    return true;
  }

  /** The mount is gone, or nobody can serve it any more. */
  #end(): void {
    const { files, state } = this.#options;
    files?.ending();
    // What it does from here on keeps no request waiting.
    state.setAsleep(true);
    try {
      while (this.#session.work());
      this.#endIo();
      this.#fileSystem.close();
    } finally {
      files?.end();
    }
  }

  /** INIT was answered. */
  #agreed(resends: boolean): void {
    const { files, log, ready } = this.#options;
    if (files !== undefined && !resends) {
      files.ending('the kernel cannot send requests again, which Linux can from 6.9 on');
      log('info', 'No other daemon could go on with the mount: that needs Linux 6.9');
    }
    files?.open();
    ready(files?.isOpen === true);
  }

  /** Goes on with another daemon's session. False: that cannot be. */
  #resume(): boolean {
    const { fd, files, log, ready, refused, tree } = this.#options;
    const began = performance.now();
    try {
      if (tree.previousEnd !== 'killed' && tree.previousEnd !== 'closed') {
        throw new Error('the store was not just left by another daemon');
      }
      const resumption = new Resumption(this.#session);
      this.#fileSystem.start((ino) => resumption.isHeld(ino));
      const resumed = resumption.finish();
      requestResending(fd);
      this.#session.publishNodes();
      log('debug', 'Goes on with the mount', { ...resumed });
      ready(files?.isOpen === true, { ...resumed, ms: performance.now() - began });
      return true;
    } catch (error) {
      refused((error as Error).message);
      files?.leave();
      return false;
    }
  }

  /** Leaves the mount to another daemon, if there is nothing that only this one can bring to an end. */
  #handOver(): boolean {
    const { files, state, tasks } = this.#options;
    if (files?.isOpen !== true || state.isIoGone) return false;
    const isIdle = () => this.#copies.length === 0 && this.#overflow.length === 0 && tasks.length === 0;
    while (this.#session.work());
    this.#await(undefined, isIdle, LONGEST_HAND_OVER_MS);
    if (!isIdle()) return false;
    this.#await(IoTask.END, () => this.#ioEnded, LONGEST_HAND_OVER_MS);
    // Else the session does its work from now on.
    if (!this.#ioEnded) return false;
    this.#isHandedOver = true;
    state.stopSession();
    return true;
  }

  handle(length: number): number {
    return handle(this.#session, length);
  }

  replyRefused(error: number): void {
    const { opcode, node } = this.request;
    this.#options.log('error', 'The kernel refused a reply', { opcode, node, errno: error });
  }

  woken(): void {
    if (this.#options.state.hasSyncFailed) {
      // The next daemon would not know that what was lost must not be told to be durable.
      this.#options.files?.void('a sync failed, and what it was for may be lost');
    }
    if (this.#options.state.isIoGone) this.#standInForIo();
    this.#takeResults();
    this.#hearRemote();
    this.#putOverflow();
    if (this.#isAnswered) this.#serveParked();
    this.#obey();
  }

  #hearRemote(): void {
    const { log, remote, remoteSyncs } = this.#options;
    const { away } = this.#fileSystem;
    if (remote === undefined || away === undefined) return;
    const isAny = remote.receive(
      away,
      (error) => log('error', `Cannot use what came from the remote: ${error}`),
      this.#followed,
    );
    // Who found the queue of syncs full is told of nothing.
    if (isAny || remoteSyncs !== undefined) this.#isAnswered = true;
  }

  /** False: the session does it, and those whose replies are held do not wait for it. Where a remote is waited for that cannot be. */
  #sync(plan: FsyncPlan | undefined): boolean {
    const { remoteSyncs, state } = this.#options;
    if (remoteSyncs === undefined) {
      if (!state.isIoGone && this.#putSync(plan)) return true;
      this.held.send();
      return false;
    }
    // A full queue has room once the remote has answered; then it is asked again.
    if (!this.#putSync(plan)) throw new ContentAwaited();
    if (state.isIoGone) state.wakeSession();
    return true;
  }

  /** False: the queue is full. */
  #putSync(plan: FsyncPlan | undefined): boolean {
    const { tasks, pending } = this.#options;
    if (tasks.isFull) return false;
    pending.put(tasks.written, this.#session.requestLog.describe());
    return putSync(tasks, this.request, arrivedAt(), plan);
  }

  /** What was put aside is served again. Not while another request is: they share a buffer. */
  #serveParked(): void {
    this.#isAnswered = false;
    for (const { bytes, arrived } of this.#session.takeParked()) {
      this.request.bytes.set(bytes);
      const length = handle(this.#session, bytes.length, arrived);
      const refused = length > 0 ? sendReply(this.#options.fd, this.reply.bytes, length) : 0;
      if (refused !== 0) this.replyRefused(refused);
    }
  }

  /** Carries out what main has asked for. */
  #obey(): void {
    const { nextCommand, answer } = this.#options;
    const commanded = {
      snapshots: this.#fileSystem.snapshots,
      setTimeouts: (timeouts: Timeouts) => this.#session.setTimeouts(timeouts),
      handOver: () => this.#handOver(),
    };
    for (let command = nextCommand(); command !== undefined; command = nextCommand()) {
      answer(command.id, carryOut(commanded, command));
    }
  }

  work(): boolean {
    if (this.#session.isResending) this.#session.resent();
    return this.#session.work() || this.#fileSystem.snapshots.work();
  }

  /** Whoever waited for a content is dying. */
  readonly #letGo = (low: number, high: number): void => {
    const { reply } = this.#session;
    sendReply(this.#options.fd, reply.bytes, reply.finish(low, high, -EINTR, 0));
  };

  idle(): number {
    const waits = this.#session.rest() || this.#session.hasParked;
    if (this.#session.hasParked) this.#session.dropParked(undefined, isThreadDying, this.#letGo);
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
    this.held.send();
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

/** When the present request came, on the clock of all threads; if anything, a moment later. */
function arrivedAt(): number {
  const elapsed = performance.now() - stopwatch.arrived;
  return monotonic() - elapsed;
}
