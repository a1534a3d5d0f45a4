/** What the session worker and the I/O worker put into the queues between them. */
import type { FsyncPlan } from '../../filesystem/types.js';
import type { SharedQueue } from '../device/shared-queue.js';
import type { Request } from '../protocol/request.js';

/** In place of an inode number. */
export const NO_CONTENT = 0;

/** Kinds of records from the session worker. */
export const IoTask = {
  /**
   * unique low, unique high, inode whose content is concerned or NO_CONTENT, whether its name must be made durable too (1 or 0),
   * thread that waits, the content's number as a spare or NO_SPARE, the content file's identity (two numbers), its born, the
   * request's opcode, and when it came (ms of the clock of all threads).
   */
  SYNC: 1,
  /** ino, LSN, born. */
  REMOVE: 2,
  /** Finish what is waiting, and end. */
  END: 3,
  /** Remove now what came before, and say so. */
  HURRY: 4,
  /** ino, born, next: make that copy. */
  COPY: 5,
  /** ino, born, next: put that copy, which is made, in place of what it is of. */
  PLACE: 6,
  /** Make all contents durable. */
  SYNC_CONTENTS: 7,
} as const;

/** What asks for a sync. */
type SyncRequest = Pick<Request, 'uniqueLow' | 'uniqueHigh' | 'pid' | 'opcode'>;

/** Queues a sync for whoever waits for the request, which came at `arrived`. False: the queue is full. */
export function putSync(
  tasks: SharedQueue,
  { uniqueLow: low, uniqueHigh: high, pid, opcode }: SyncRequest,
  arrived: number,
  plan: FsyncPlan | undefined,
): boolean {
  const identity = plan?.identity;
  if (plan === undefined || identity === undefined) {
    return tasks.put(IoTask.SYNC, low, high, NO_CONTENT, 0, pid, 0, 0, 0, 0, opcode, arrived);
  }
  const { ino, born, names, spare } = plan;
  const { file, birth } = identity;
  return tasks.put(
    IoTask.SYNC,
    low,
    high,
    ino,
    names ? 1 : 0,
    pid,
    spare,
    file,
    birth,
    born,
    opcode,
    arrived,
  );
}

/** Kinds of records back to it. */
export const IoResult = {
  /** ino, born. */
  REMOVED: 1,
  /** ino, born, and the content file's identity (two numbers). */
  NAME_DURABLE: 3,
  ENDED: 2,
  HURRIED: 4,
  /** ino, born, next, and 0 or a negative errno. */
  COPIED: 5,
  PLACED: 6,
  /** 0 or a negative errno. */
  CONTENTS_SYNCED: 7,
} as const;
