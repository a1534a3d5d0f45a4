/**
 * What the session has the I/O worker do beside syncs: removing contents, and copying them for snapshots. What finds the queue
 * full waits here. When the I/O worker is dead the session does its work, and what that had taken and not answered once more.
 *
 * Used by the session worker alone. Whoever waits here does so with a deadline.
 */
import type { ContentCopy, ContentName, ContentWorker, Reclaimer } from '../../filesystem/types.js';
import type { MountLog } from '../../types.js';
import type { MountState } from '../device/mount-state.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import type { ServedFileSystem } from '../session/served-filesystem.js';
import type { IoService } from './io-service.js';
import { IoResult, IoTask } from './io-tasks.js';

/** How long the end of a mount waits for the removal of content, which the next start would do as well. */
const LONGEST_END_MS = 5000;

/** How long a request that found the disk full waits for the removal of content: somebody's sync may come before it. */
const LONGEST_ROOM_MS = 3000;

/** How long a mount that is handed over waits for the I/O worker, twice. */
const LONGEST_HAND_OVER_MS = 2000;

/** As the queue takes it. */
type Task = [kind: number, number, number, number];

export interface SessionIoOptions {
  state: MountState;
  tasks: SharedQueue;
  results: SharedQueue;
  /** Does the I/O worker's work when that is dead. */
  standIn: IoService;
  /** Who hears what was done; asked for once there is something. */
  fileSystem(): Pick<ServedFileSystem, 'fsynced' | 'reclaimed' | 'snapshots'>;
  log: MountLog;
}

export class SessionIo implements Reclaimer, ContentWorker {
  readonly #options: SessionIoOptions;
  readonly #record = new Float64Array(RECORD_FIELDS);
  /** Tasks that found the queue full. */
  #overflow: Task[] = [];
  /** Copies that the I/O worker was asked for, and has not answered. */
  #copies: Task[] = [];
  /** Scheduled, and not known to be done. */
  #removals = 0;
  #hasEnded = false;
  #hurried = false;
  #isStandingIn = false;
  #hasCopied = false;

  constructor(options: SessionIoOptions) {
    this.#options = options;
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

  /** Somebody woke the session: takes what was done, and gives what waits. */
  lookAround(): void {
    if (this.#options.state.isIoGone) this.#standInForIo();
    this.#takeResults();
    this.#putOverflow();
  }

  /** Whether a copy was answered since the last call. */
  takeCopied(): boolean {
    const has = this.#hasCopied;
    this.#hasCopied = false;
    return has;
  }

  /** What the I/O worker had taken it will not answer. */
  #standInForIo(): void {
    if (!this.#isStandingIn) {
      this.#isStandingIn = true;
      this.#overflow = [...this.#copies, ...this.#overflow.filter((task) => !this.#copies.includes(task))];
      this.#putOverflow();
    }
    this.#options.standIn.round(true);
  }

  #takeResults(): void {
    const { results, fileSystem, log } = this.#options;
    const record = this.#record;
    const removed: ContentName[] = [];
    const count = results.length;
    for (let i = 0; i < count && results.peek(i, record); i++) {
      const [kind, ino, born] = record as unknown as [number, number, number];
      if (kind === IoResult.ENDED) this.#hasEnded = true;
      else if (kind === IoResult.HURRIED) this.#hurried = true;
      else if (kind === IoResult.REMOVED) removed.push({ ino, born });
      else if (kind === IoResult.NAME_DURABLE) {
        fileSystem().fsynced(ino, born, { file: record[3]!, birth: record[4]! });
      } else this.#takeAnswer(kind, ino, born, record[3]!, record[4]!);
    }
    results.drop(count);
    if (removed.length === 0) return;
    this.#removals -= removed.length;
    try {
      fileSystem().reclaimed(removed);
    } catch (error) {
      // The records stay, and the next start takes them for orphans again.
      log('error', `Cannot delete the records of ${removed.length} removed inodes: ${error}`);
    }
  }

  /** Of what `#putCopy` asked for. */
  #takeAnswer(kind: number, first: number, born: number, next: number, result: number): void {
    const { fileSystem, log } = this.#options;
    const { snapshots } = fileSystem();
    const task =
      kind === IoResult.COPIED ? IoTask.COPY : kind === IoResult.PLACED ? IoTask.PLACE : IoTask.SYNC_CONTENTS;
    const at = this.#copies.findIndex(
      (asked) =>
        asked[0] === task && (task === IoTask.SYNC_CONTENTS || (asked[1] === first && asked[2] === born)),
    );
    // Of what two were asked for, as after the I/O worker's death, the second answer is none.
    if (at < 0) return;
    this.#copies.splice(at, 1);
    this.#hasCopied = true;
    try {
      if (task === IoTask.COPY) snapshots.copied({ ino: first, born, next }, result);
      else if (task === IoTask.PLACE) snapshots.placed({ ino: first, born, next }, result);
      else snapshots.contentsSynced(first);
    } catch (error) {
      log('error', `Cannot go on with the copy of a content: ${error}`);
    }
  }

  /** Lets the I/O worker finish what it has, within a deadline. */
  end(): void {
    // What is left of copies then is copied at the next start, as it is by then.
    this.#await(undefined, () => this.#copies.length === 0, LONGEST_END_MS);
    this.#await(IoTask.END, () => this.#hasEnded, LONGEST_END_MS);
  }

  /** Ends the I/O worker where it has nothing left to do. False: it has, or does not answer; the session goes on. */
  endIdle(): boolean {
    const { tasks } = this.#options;
    const isIdle = () => this.#copies.length === 0 && this.#overflow.length === 0 && tasks.length === 0;
    this.#await(undefined, isIdle, LONGEST_HAND_OVER_MS);
    if (!isIdle()) return false;
    this.#await(IoTask.END, () => this.#hasEnded, LONGEST_HAND_OVER_MS);
    return this.#hasEnded;
  }

  /** Has all removals done that were scheduled, within a deadline. False: there were none. */
  hurryRemovals(): boolean {
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
