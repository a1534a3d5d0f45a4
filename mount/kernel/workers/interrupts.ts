/**
 * INTERRUPT: somebody who waits for a request got a signal.
 *
 * Requests are served one after another, so the one concerned is as good as done; only a sync may be waiting for the
 * disk. Its caller is let go when it is dying: whoever lives on would take EINTR from fsync for lost data,
 * and no local filesystem gives that. The kernel tells of a caller's first signal only, so those that wait long are
 * looked after by main, too.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { PARTS, Part } from '../../../engine/stopwatch.js';
import { monotonic } from '../../requests/request-failures.js';
import { sendReply } from '../device/connection.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import { OutHeader } from '../protocol/protocol.js';
import { Reply } from '../protocol/reply.js';
import { IoTask } from './io-tasks.js';
import type { LateAnswers } from './late-answers.js';

const { EINTR } = constants.errno;
const { SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH } = constants.signals;
/** Signals that end nobody who does nothing about them, as a mask; bit 0 is signal 1. */
const HARMLESS = maskOf(SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH);

export class Interrupts {
  readonly #fd: number;
  readonly #queues: readonly SharedQueue[];
  readonly #requests: LateAnswers | undefined;
  readonly #isDying: (pid: number) => boolean;
  readonly #record = new Float64Array(RECORD_FIELDS);
  readonly #reply = new Reply(OutHeader.SIZE);
  readonly #times = new Float64Array(PARTS);

  /** `fd` is the FUSE descriptor, `queues` those in which syncs wait, `requests` what the request log has of those in the first. */
  constructor(
    fd: number,
    queues: readonly SharedQueue[],
    requests?: LateAnswers,
    isDying: (pid: number) => boolean = isThreadDying,
  ) {
    this.#fd = fd;
    this.#queues = queues;
    this.#requests = requests;
    this.#isDying = isDying;
  }

  /** Answers the sync with this unique, if there is one and its caller is dying. Its later answer then finds nobody. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    for (const queue of this.#queues) if (this.#interruptIn(queue, uniqueLow, uniqueHigh)) return;
  }

  #interruptIn(queue: SharedQueue, uniqueLow: number, uniqueHigh: number): boolean {
    const record = this.#record;
    let { taken } = queue;
    for (let i = 0; queue.peek(i, record); i++) {
      if (queue.taken !== taken) {
        // All have moved up.
        ({ taken } = queue);
        i = -1;
      } else if (record[0] === IoTask.SYNC && record[1] === uniqueLow && record[2] === uniqueHigh) {
        this.#letGo(queue, taken + i);
        return true;
      }
    }
    return false;
  }

  /** Answers all syncs whose callers are dying. For another thread than the one that fills the queue. */
  sweep(): void {
    for (const queue of this.#queues) this.#sweepIn(queue);
  }

  #sweepIn(queue: SharedQueue): void {
    for (let i = 0; ; i++) {
      const { taken } = queue;
      if (!queue.peek(i, this.#record)) return;
      // A record that was taken meanwhile may have been written over.
      if (queue.taken !== taken) return;
      if (this.#record[0] === IoTask.SYNC) this.#letGo(queue, taken + i);
    }
  }

  #letGo(queue: SharedQueue, position: number): void {
    const record = this.#record;
    if (!this.#isDying(record[5]!)) return;
    this.#times[Part.WAITING] = monotonic() - record[11]!;
    // In the second queue the record tells where it was in the first.
    this.#requests?.answering(queue === this.#queues[0] ? position : record[6]!, -EINTR, this.#times);
    sendReply(this.#fd, this.#reply.bytes, this.#reply.finish(record[1]!, record[2]!, -EINTR, 0));
  }
}

/** Whether a signal that waits for the thread is going to end it: one that it neither blocks, ignores nor handles. */
export function isThreadDying(pid: number): boolean {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'latin1');
  } catch {
    // Not one of this namespace of processes, or hidden: it waits to the end.
    return false;
  }
  const mask = (name: string): bigint => {
    const digits = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
    return BigInt(`0x${digits ?? '0'}`);
  };
  const survived = mask('SigBlk') | mask('SigIgn') | mask('SigCgt') | HARMLESS;
  return ((mask('SigPnd') | mask('ShdPnd')) & ~survived) !== 0n;
}

function maskOf(...signals: number[]): bigint {
  return signals.reduce((mask, signal) => mask | (1n << BigInt(signal - 1)), 0n);
}
