/**
 * The session worker's work: serves the mount from INIT until it is gone, then closes the filesystem layer.
 * Blocking throughout; messages to main are posted, none are received.
 */
import { constants } from 'node:os';
import type { TreeOperations } from '../../../engine/api.js';
import type { Tree } from '../../../engine/index.js';
import { stopwatch } from '../../../engine/stopwatch.js';
import { ContentAwaited } from '../../filesystem/errno.js';
import type { ContentWorker, FsyncPlan, InodeKeepers, Reclaimer } from '../../filesystem/types.js';
import { Lane } from '../../request-log/memory.js';
import type { PendingRequests } from '../../request-log/pending.js';
import { monotonic } from '../../requests/request-failures.js';
import type { MountLog, ResumedSession, Timeouts } from '../../types.js';
import { type RequestHandler, sendReply, serveRequests } from '../device/connection.js';
import { attributeInvalidation, backingFiles, requestResending } from '../device/device-calls.js';
import { HeldReplies } from '../device/held-replies.js';
import type { MountState } from '../device/mount-state.js';
import type { SharedQueue } from '../device/shared-queue.js';
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
import { putSync } from './io-tasks.js';
import { LateAnswers } from './late-answers.js';
import type { SessionRemote } from './remote-link.js';
import { SessionIo } from './session-io.js';

const { EINTR } = constants.errno;

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

class SessionRunner implements RequestHandler {
  readonly #options: RunnerOptions;
  readonly #fileSystem: ServedFileSystem;
  readonly #session: Session;
  readonly #followed: FollowedChanges | undefined;
  readonly #io: SessionIo;
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
    const requests = new LateAnswers(state.requestLog, options.pending, Lane.SESSION);
    const standIn = new IoService({
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
    const { tasks, results } = options;
    this.#io = new SessionIo({ state, tasks, results, standIn, fileSystem: () => this.#fileSystem, log });
    const work = () => {
      while (this.#session.work());
    };
    this.#fileSystem = options.makeFileSystem(this.#io, this.#io, work, tables);
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
      this.#io.end();
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
    const { files, state } = this.#options;
    if (files?.isOpen !== true || state.isIoGone) return false;
    while (this.#session.work());
    if (!this.#io.endIdle()) return false;
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
    this.#io.lookAround();
    this.#hearRemote();
    if (this.#io.takeCopied() || this.#isAnswered) this.#serveParked();
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

  #makeRoom(): boolean {
    this.held.send();
    // Who was the last to have a removed file open keeps its content.
    while (this.#session.work());
    return this.#io.hurryRemovals();
  }
}

/** When the present request came, on the clock of all threads; if anything, a moment later. */
function arrivedAt(): number {
  const elapsed = performance.now() - stopwatch.arrived;
  return monotonic() - elapsed;
}
