/**
 * What may take long, done off the request loop: fsync, and removal of content whose deletion must be durable
 * first. It runs in the I/O worker; when that worker died, in the session worker, which then waits.
 *
 * - A sync makes the content durable, then the tree, then replies to the kernel. All that are waiting share one
 *   sync of the tree.
 * - A sync's record leaves the queue after its reply, so a dead worker's syncs are answered by its successor (a
 *   second reply is refused by the kernel and does no harm).
 * - Removals wait for somebody's sync, but no longer than a second, and not when many wait.
 */
import { fstatSync, fsyncSync } from 'node:fs';
import { constants } from 'node:os';
import { NO_SPARE } from '../../filesystem/contents/spare-files.js';
import type { MountLog } from '../../types.js';
import { sendReply } from '../device/connection.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import { OutHeader } from '../protocol/protocol.js';
import { Reply } from '../protocol/reply.js';

const { EIO } = constants.errno;
const LONGEST_REMOVAL_WAIT_MS = 1000;
const MANY_REMOVALS = 1024;

/** Kinds of records from the session worker. */
export const IoTask = {
  /**
   * unique low, unique high, content descriptor or -1, inode whose content's name must be made durable too or 0,
   * thread that waits, the content's number as a spare or NO_SPARE.
   */
  SYNC: 1,
  /** ino, LSN. */
  REMOVE: 2,
  /** Finish what is waiting, and end. */
  END: 3,
} as const;

/** Kinds of records back to it. */
export const IoResult = {
  /** ino. */
  REMOVED: 1,
  /** ino, content descriptor. */
  NAME_DURABLE: 3,
  ENDED: 2,
} as const;

/** The content files, by inode number. */
export interface ContentAccess {
  /** One that is missing is no error. */
  remove(ino: number): void;
  /** Makes the file's name durable, which it gets here if it is that spare yet. */
  syncName(ino: number, spare: number): void;
}

export interface IoServices {
  /** The FUSE descriptor. */
  fd: number;
  tasks: SharedQueue;
  results: SharedQueue;
  tree: { sync(): void; durableLsn(): number };
  content: ContentAccess;
  /** There are results for the session worker. */
  wakeSession(): void;
  log: MountLog;
}

interface Removal {
  ino: number;
  lsn: number;
}

export class IoService {
  readonly #services: IoServices;
  readonly #reply = new Reply(OutHeader.SIZE);
  readonly #record = new Float64Array(RECORD_FIELDS);
  #removals: Removal[] = [];
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
      if (tasks.length > 0) continue;
      tasks.wait(seen, this.#removals.length > 0 ? LONGEST_REMOVAL_WAIT_MS : Number.POSITIVE_INFINITY);
    }
  }

  /** Does what is there to do, without waiting for more. `now`: no removal waits. Returns whether the end came. */
  round(now: boolean): boolean {
    const { tasks, results } = this.#services;
    this.#takeTasks();
    if (this.#removals.length > 0) this.#remove(now || this.#ending);
    if (!this.#ending || this.#removals.length > 0 || tasks.length > 0) return false;
    results.put(IoResult.ENDED);
    this.#services.wakeSession();
    return true;
  }

  #takeTasks(): void {
    const { tasks } = this.#services;
    const count = tasks.length;
    const record = this.#record;
    const failures: number[] = [];
    let syncs = 0;
    for (let i = 0; i < count && tasks.peek(i, record); i++) {
      if (record[0] === IoTask.REMOVE) {
        this.#removals.push({ ino: record[1]!, lsn: record[2]! });
      } else if (record[0] === IoTask.END) {
        this.#ending = true;
      } else {
        syncs++;
        failures[i] = this.#syncContent(record[3]!, record[4]!, record[6]!);
      }
    }
    if (syncs > 0) {
      const failure = this.#syncTree();
      for (let i = 0; i < count && tasks.peek(i, record); i++) {
        if (record[0] === IoTask.SYNC) this.#answer(record[1]!, record[2]!, failures[i] || failure);
      }
    }
    if (count > 0) tasks.drop(count);
  }

  #syncContent(fd: number, unnamed: number, spare: number): number {
    const { content, results } = this.#services;
    if (fd === -1) return 0;
    let isNamed = false;
    const failure = this.#attempt('sync a file', () => {
      fsyncSync(fd);
      // Without content there is nothing to find after a power cut.
      isNamed = unnamed !== 0 && (spare === NO_SPARE || fstatSync(fd).size > 0);
      if (isNamed) content.syncName(unnamed, spare);
    });
    // Nobody waits for this: where the queue is full, the name is just made durable again.
    // Where it is told, it is told at once: the session would else look at the file when it has time, on a disk that may
    // hang by then.
    if (failure === 0 && isNamed && results.put(IoResult.NAME_DURABLE, unnamed, fd)) {
      this.#services.wakeSession();
    }
    return failure;
  }

  #answer(uniqueLow: number, uniqueHigh: number, error: number): void {
    const length = this.#reply.finish(uniqueLow, uniqueHigh, error, 0);
    const refused = sendReply(this.#services.fd, this.#reply.bytes, length);
    if (refused !== 0) this.#services.log('error', 'Cannot reply to a sync', { errno: refused });
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
      this.#removals.length >= MANY_REMOVALS ||
      performance.now() - this.#lastSync >= LONGEST_REMOVAL_WAIT_MS;
    const last = this.#removals.at(-1)!;
    if (due && tree.durableLsn() < last.lsn && this.#syncTree() !== 0) {
      // Nothing becomes durable any more; the next start finds these files and removes them.
      this.#removals = [];
      return;
    }
    const durable = tree.durableLsn();
    this.#removals = this.#removals.filter(({ ino, lsn }) => {
      // At the end what is not durable after a sync is left to the next start.
      if (lsn > durable) return !this.#ending;
      this.#attempt(`remove the content of inode ${ino}`, () => this.#services.content.remove(ino));
      // A full queue of results: again later; on the way out it is nobody's loss, the next start does the rest.
      return !results.put(IoResult.REMOVED, ino) && !now;
    });
    this.#services.wakeSession();
  }

  /** Returns 0, or the negative errno of what the action threw. */
  #attempt(what: string, action: () => void): number {
    try {
      action();
      return 0;
    } catch (error) {
      this.#services.log('error', `Cannot ${what}: ${error}`);
      const { errno } = error as NodeJS.ErrnoException;
      return typeof errno === 'number' && errno < 0 ? errno : -EIO;
    }
  }
}
