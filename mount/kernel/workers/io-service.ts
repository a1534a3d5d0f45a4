/**
 * What may take long, done off the request loop: fsync, and removal of content whose deletion must be durable
 * first. It runs in the I/O worker; when that worker died, in the session worker, which then waits.
 *
 * - A sync makes the content durable, then the tree, then replies to the kernel. All that are waiting share one
 *   sync of the tree.
 * - A sync's record leaves the queue after its reply, so a dead worker's syncs are answered by its successor (a
 *   second reply is refused by the kernel and does no harm).
 * - Where a sync is to be in a remote, too, the remote is asked as soon as the content is durable and has its name, and goes on while that name and the
 *   tree are synced. The sync waits for it in a queue of its own, in order, and holds up nothing here. What the remote has is durable here: a sync whose
 *   worker died before it synced the tree may be answered all the same.
 * - Copies of contents go on bit by bit, between what others wait for. They are made, and take their places, in the order in
 *   which that was asked, and after the syncs that were asked for before: a sync finds its file under the name that
 *   it had then.
 * - Removals wait for somebody's sync, but no longer than a second; not when many wait, or much of the disk is waiting
 *   for them, or somebody does.
 *
 * Ownership of descriptors: none passes through the queues. A number that the session may close means another file by the time
 * that it is used here; a sync so names its file, which is opened, recognised, synced and closed by the thread that syncs
 * it. What is used by several threads (the FUSE descriptor, the wake-up pipe) is main's, which closes it when the
 * workers have ended, and not before.
 */

import { constants } from 'node:os';
import { PARTS, Part } from '../../../engine/stopwatch.js';
import type { CopyInProgress } from '../../filesystem/contents/content-copy.js';
import { systemErrnoOf } from '../../filesystem/errno.js';
import type { ContentCopy, FileIdentity } from '../../filesystem/types.js';
import { monotonic } from '../../requests/request-failures.js';
import type { MountLog } from '../../types.js';
import { sendReply } from '../device/connection.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import { OutHeader } from '../protocol/protocol.js';
import { Reply } from '../protocol/reply.js';
import { IoResult, IoTask, NO_CONTENT } from './io-tasks.js';
import type { LateAnswers } from './late-answers.js';

const { EIO } = constants.errno;
const LONGEST_REMOVAL_WAIT_MS = 1000;
const MANY_REMOVALS = 1024;
/** What removals give back is not put off from here on; nor where it is this part of what is free, */
const MUCH_BYTES = 64 * 1024 * 1024;
const MUCH_OF_FREE = 1 / 4;
/** nor where no more than this part of the disk is free. */
const SHORT_OF_ALL = 1 / 20;
/** How long a full queue of results keeps an answer waiting. */
const ANSWER_AGAIN_MS = 10;

/** A copy that is being made. */
export type Copying = Pick<CopyInProgress, 'step' | 'end'>;

/** The content files, by inode number and born. */
export interface ContentAccess {
  /** One that is missing is no error. */
  remove(ino: number, born: number): void;
  /**
   * Makes a content file durable, and where `names` its name, which it gets here if it is that spare yet and not empty.
   * Returns whether the name is durable now; undefined: the file is no more, and nobody should be waiting. Throws EIO where
   * it is missing or another one is in its place, which is left alone. `ready` is called once the content is durable, and under its name
   * where `names`, though that may not be durable yet; possibly more than once.
   */
  sync(
    ino: number,
    born: number,
    spare: number,
    identity: FileIdentity,
    names: boolean,
    ready?: () => void,
  ): boolean | undefined;
  /** Makes all contents and their names durable. */
  syncAll(): void;
  /** Begins a copy. */
  copy(copy: ContentCopy): Copying;
  /** Puts a copy in place of what it is of. */
  place(copy: ContentCopy): void;
  /** Bytes of the disk that the removal gives back; 0 where the file is missing. */
  usedBytes(ino: number, born: number): number;
  /** Bytes of the disk that are free for anyone, and in all. */
  space(): { free: number; all: number };
}

/** Syncs that are done here, and are answered once a remote has what they are for. Several wait for one answer of the remote. */
export interface RemoteSyncs {
  /** Records of SYNC, in the order in which they were asked for; where they have other fields than in `tasks` see `#ship`. */
  readonly queue: SharedQueue;
  /** The sync that is put at this position of the queue: the remote is to have all up to `lsn`, and the content (NO_CONTENT: none). */
  ask(position: number, lsn: number, ino: number, born: number): void;
  /** Syncs of which it is known what became of them, mod 2^32: those before this position. */
  readonly answered: number;
  /** Of one of these: 0, or a negative errno. */
  resultOf(position: number): number;
  /** Another machine has the remote: nothing more gets there. */
  readonly isOver: boolean;
}

export interface IoServices {
  /** The FUSE descriptor. */
  fd: number;
  tasks: SharedQueue;
  results: SharedQueue;
  tree: { sync(): void; durableLsn(): number; lastLsn(): number };
  content: ContentAccess;
  /** A sync is answered, with 0 or a negative errno. `times`: milliseconds of each part, as a stopwatch has them. */
  answered(opcode: number, result: number, times: Float64Array): void;
  /** What the request log has of syncs; missing: there is none. */
  requests?: LateAnswers | undefined;
  /** Whether another machine has the store's remote: then nothing may be answered. Missing: it has none. */
  isTaken?: (() => boolean) | undefined;
  /** Is told of contents that were synced while they may be open: the remote is to have them, too. */
  synced?: ((ino: number, born: number) => void) | undefined;
  /** Undefined: a sync is done when it is done here. */
  remote?: RemoteSyncs | undefined;
  /** There are results for the session worker. */
  wakeSession(): void;
  log: MountLog;
}

interface Removal {
  ino: number;
  born: number;
  lsn: number;
}

export class IoService {
  readonly #services: IoServices;
  readonly #reply = new Reply(OutHeader.SIZE);
  readonly #record = new Float64Array(RECORD_FIELDS);
  readonly #times = new Float64Array(PARTS);
  #removals: Removal[] = [];
  /** In the order in which they were asked for. */
  readonly #copies: ContentCopy[] = [];
  /** Answers for which the queue had no room. */
  readonly #untold: [number, ...number[]][] = [];
  #copying: Copying | undefined;
  /** What the removals give back. */
  #waitingBytes = 0;
  /** Somebody waits for the removals. */
  #hurried = false;
  /** As many syncs wait for the remote as may. */
  #isBlocked = false;
  /** Positions of syncs that wait for the remote and are answered already: they failed here. */
  readonly #failed = new Set<number>();
  #ending = false;
  #lastSync = 0;

  constructor(services: IoServices) {
    this.#services = services;
  }

  /** Works until told to end, or until `stopped` says so at a wake-up. */
  run(stopped: () => boolean): void {
    const { tasks } = this.#services;
    while (!stopped()) {
      const seen = tasks.events;
      if (this.round(false)) return;
      if ((tasks.length > 0 && !this.#isBlocked) || this.#copies.length > 0) continue;
      const removalsWait = this.#removals.length > 0 ? LONGEST_REMOVAL_WAIT_MS : Number.POSITIVE_INFINITY;
      tasks.wait(seen, this.#hurried || this.#untold.length > 0 ? ANSWER_AGAIN_MS : removalsWait);
    }
  }

  /** Does what is there to do, without waiting for more. `now`: no removal waits. Returns whether the end came. */
  round(now: boolean): boolean {
    const { tasks, results } = this.#services;
    this.#answerShipped();
    this.#takeTasks();
    if (this.#ending) this.#giveCopiesUp();
    do {
      if (this.#copies.length > 0) this.#goOnCopying();
    } while (now && this.#copies.length > 0);
    this.#tellAgain();
    if (this.#removals.length > 0) this.#remove(now || this.#ending);
    if (this.#hurried && results.put(IoResult.HURRIED)) {
      this.#hurried = false;
      this.#services.wakeSession();
    }
    if (!this.#ending || this.#removals.length > 0 || (tasks.length > 0 && !this.#isBlocked)) return false;
    results.put(IoResult.ENDED);
    this.#services.wakeSession();
    return true;
  }

  #takeTasks(): void {
    const { tasks, remote } = this.#services;
    let count = tasks.length;
    const room = remote?.queue.room ?? Number.POSITIVE_INFINITY;
    const record = this.#record;
    const failures: number[] = [];
    /** Milliseconds in the content's system calls. */
    const below: number[] = [];
    /** Of those that wait for the remote. */
    const positions: number[] = [];
    let syncs = 0;
    this.#isBlocked = false;
    for (let i = 0; i < count && tasks.peek(i, record); i++) {
      if (record[0] === IoTask.SYNC && syncs >= room) {
        this.#isBlocked = true;
        count = i;
      } else if (record[0] === IoTask.REMOVE) {
        this.#putRemoval(record[1]!, record[3]!, record[2]!);
      } else if (record[0] === IoTask.HURRY) {
        this.#hurried = true;
      } else if (record[0] === IoTask.END) {
        this.#ending = true;
      } else if (record[0] === IoTask.COPY) {
        this.#copies.push({ ino: record[1]!, born: record[2]!, next: record[3]! });
      } else if (record[0] === IoTask.PLACE) {
        this.#place({ ino: record[1]!, born: record[2]!, next: record[3]! });
      } else if (record[0] === IoTask.SYNC_CONTENTS) {
        const result = this.#attempt('sync the contents', () => this.#services.content.syncAll());
        this.#tell(IoResult.CONTENTS_SYNCED, result);
      } else {
        syncs++;
        const began = performance.now();
        const ready = () => {
          if (remote === undefined || positions[i] !== undefined) return;
          positions[i] = remote.queue.written;
          this.#ship(remote, tasks.taken + i, performance.now() - began);
        };
        failures[i] = record[3] === NO_CONTENT ? 0 : this.#syncContent(record, ready);
        if (record[3] === NO_CONTENT) ready();
        below[i] = performance.now() - began;
      }
    }
    if (syncs > 0) {
      const began = performance.now();
      const failure = this.#syncTree();
      const journal = performance.now() - began;
      for (let i = 0; i < count && tasks.peek(i, record); i++) {
        if (record[0] !== IoTask.SYNC) continue;
        const result = failures[i] || failure;
        const position = positions[i];
        if (position !== undefined && result === 0) continue;
        if (position !== undefined) this.#failed.add(position);
        if (result === 0 && record[3] !== NO_CONTENT) this.#services.synced?.(record[3]!, record[9]!);
        this.#answer(tasks.taken + i, result, below[i]!, journal);
      }
    }
    if (count > 0) tasks.drop(count);
  }

  /**
   * The sync in `#record`, whose content is durable, is to be in the remote. In that queue's record the spare's number is the sync's position
   * in `tasks`, and the identity how long it took.
   */
  #ship({ ask, queue }: RemoteSyncs, position: number, below: number): void {
    const [, low, high, ino, names, pid, , , , born, opcode, arrived] = this.#record as unknown as number[];
    const at = queue.written;
    queue.put(IoTask.SYNC, low, high, ino, names, pid, position, below, 0, born, opcode, arrived);
    ask(at, this.#services.tree.lastLsn(), ino!, born!);
  }

  /** Answers the syncs of which the remote has everything. */
  #answerShipped(): void {
    const { remote } = this.#services;
    if (remote === undefined) return;
    const { isOver, queue } = remote;
    const record = this.#record;
    const count = isOver ? queue.length : (remote.answered - queue.taken) >>> 0;
    for (let i = 0; i < count && queue.peek(i, record); i++) {
      const position = (queue.taken + i) >>> 0;
      if (this.#failed.delete(position)) continue;
      const result = isOver ? -EIO : remote.resultOf(position);
      this.#answer(record[6]!, result, record[7]!, 0);
    }
    queue.drop(count);
  }

  #putRemoval(ino: number, born: number, lsn: number): void {
    this.#removals.push({ ino, born, lsn });
    this.#attempt(`look at the content of inode ${ino}`, () => {
      this.#waitingBytes += this.#services.content.usedBytes(ino, born);
    });
  }

  /** Goes on with the first copy, for a moment. */
  #goOnCopying(): void {
    const copy = this.#copies[0]!;
    let isDone = false;
    const failure = this.#attempt(`copy the content of inode ${copy.ino}`, () => {
      this.#copying ??= this.#services.content.copy(copy);
      isDone = this.#copying.step();
    });
    if (failure === 0 && !isDone) return;
    this.#copying = undefined;
    this.#copies.shift();
    this.#tell(IoResult.COPIED, copy.ino, copy.born, copy.next, failure);
  }

  #place(copy: ContentCopy): void {
    const what = `put the copy of the content of inode ${copy.ino} in its place`;
    const failure = this.#attempt(what, () => this.#services.content.place(copy));
    this.#tell(IoResult.PLACED, copy.ino, copy.born, copy.next, failure);
  }

  /** The next start goes on with what is left. */
  #giveCopiesUp(): void {
    this.#copying?.end();
    this.#copying = undefined;
    this.#copies.length = 0;
  }

  #tell(kind: number, ...fields: readonly number[]): void {
    this.#untold.push([kind, ...fields]);
    this.#tellAgain();
  }

  /** Whoever waits for an answer gets it, however full the queue is for a moment. */
  #tellAgain(): void {
    if (this.#untold.length === 0) return;
    let told = 0;
    while (told < this.#untold.length && this.#services.results.put(...this.#untold[told]!)) told++;
    this.#untold.splice(0, told);
    this.#services.wakeSession();
  }

  /** Whether the disk's other users may miss what the removals give back. */
  #isMissed(): boolean {
    if (this.#waitingBytes === 0) return false;
    if (this.#waitingBytes >= MUCH_BYTES) return true;
    const { free, all } = this.#services.content.space();
    return this.#waitingBytes >= free * MUCH_OF_FREE || free <= all * SHORT_OF_ALL;
  }

  #syncContent(task: Float64Array, ready: () => void): number {
    const { content, results } = this.#services;
    const ino = task[3]!;
    const identity = { file: task[7]!, birth: task[8]! };
    const born = task[9]!;
    let isNamed: boolean | undefined = false;
    const failure = this.#attempt('sync a file', () => {
      isNamed = content.sync(ino, born, task[6]!, identity, task[4] === 1, ready);
    });
    if (isNamed === undefined) return -EIO;
    // Nobody waits for this: where the queue is full, the name is just made durable again.
    // Where it is told, it is told at once: the session would else look at the file when it has time, on a disk that may
    // hang by then.
    if (isNamed && results.put(IoResult.NAME_DURABLE, ino, born, identity.file, identity.birth)) {
      this.#services.wakeSession();
    }
    return failure;
  }

  /** What is not below or in the journal it has waited: for its turn, and for those that share its sync of the tree. */
  #answer(position: number, outcome: number, below: number, journal: number): void {
    const { fd, requests, isTaken, log } = this.#services;
    // Also of what was done before this process stood still.
    const error = outcome === 0 && isTaken?.() ? -EIO : outcome;
    const task = this.#record;
    const times = this.#times;
    times[Part.BELOW] = below;
    times[Part.JOURNAL] = journal;
    times[Part.WAITING] = Math.max(0, monotonic() - task[11]! - below - journal);
    this.#services.answered(task[10]!, error, times);
    requests?.answering(position, error, times);
    const length = this.#reply.finish(task[1]!, task[2]!, error, 0);
    const refused = sendReply(fd, this.#reply.bytes, length);
    if (refused !== 0) log('error', 'Cannot reply to a sync', { errno: refused });
  }

  #syncTree(): number {
    this.#lastSync = performance.now();
    return this.#attempt('sync the tree', () => this.#services.tree.sync());
  }

  /** Removes the content of those whose deletion is durable. */
  #remove(now: boolean): void {
    const { tree, results } = this.#services;
    const due =
      now ||
      this.#hurried ||
      this.#removals.length >= MANY_REMOVALS ||
      this.#isMissed() ||
      performance.now() - this.#lastSync >= LONGEST_REMOVAL_WAIT_MS;
    const last = this.#removals.at(-1)!;
    if (due && tree.durableLsn() < last.lsn && this.#syncTree() !== 0) {
      // Nothing becomes durable any more; the next start finds these files and removes them.
      this.#removals = [];
      this.#waitingBytes = 0;
      return;
    }
    const durable = tree.durableLsn();
    this.#removals = this.#removals.filter(({ ino, born, lsn }) => {
      // At the end what is not durable after a sync is left to the next start.
      if (lsn > durable) return !this.#ending;
      this.#attempt(`remove the content of inode ${ino}`, () => this.#services.content.remove(ino, born));
      // A full queue of results: again later; on the way out it is nobody's loss, the next start does the rest.
      return !results.put(IoResult.REMOVED, ino, born) && !now;
    });
    if (this.#removals.length === 0) this.#waitingBytes = 0;
    this.#services.wakeSession();
  }

  /** Returns 0, or the negative errno of what the action threw. */
  #attempt(what: string, action: () => void): number {
    try {
      action();
      return 0;
    } catch (error) {
      this.#services.log('error', `Cannot ${what}: ${error}`);
      return systemErrnoOf(error) ?? -EIO;
    }
  }
}
