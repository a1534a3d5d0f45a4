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
import { sendReply } from '../device/connection.js';
import { RECORD_FIELDS, type SharedQueue } from '../device/shared-queue.js';
import { OutHeader } from '../protocol/protocol.js';
import { Reply } from '../protocol/reply.js';
import { IoTask } from './io-service.js';

const { EINTR } = constants.errno;
const { SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH } = constants.signals;
/** Signals that end nobody who does nothing about them, as a mask; bit 0 is signal 1. */
const HARMLESS = maskOf(SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH);

export class Interrupts {
  readonly #fd: number;
  readonly #tasks: SharedQueue;
  readonly #isDying: (pid: number) => boolean;
  readonly #record = new Float64Array(RECORD_FIELDS);
  readonly #reply = new Reply(OutHeader.SIZE);

  /** `fd` is the FUSE descriptor, `tasks` the queue in which syncs wait. */
  constructor(fd: number, tasks: SharedQueue, isDying: (pid: number) => boolean = isThreadDying) {
    this.#fd = fd;
    this.#tasks = tasks;
    this.#isDying = isDying;
  }

  /** Answers the sync with this unique, if there is one and its caller is dying. Its later answer then finds nobody. */
  interrupt(uniqueLow: number, uniqueHigh: number): void {
    const record = this.#record;
    for (let i = 0; this.#tasks.peek(i, record); i++) {
      if (record[0] !== IoTask.SYNC || record[1] !== uniqueLow || record[2] !== uniqueHigh) continue;
      this.#letGo();
      return;
    }
  }

  /** Answers all syncs whose callers are dying. For another thread than the one that fills the queue. */
  sweep(): void {
    for (let i = 0; ; i++) {
      const { taken } = this.#tasks;
      if (!this.#tasks.peek(i, this.#record)) return;
      // A record that was taken meanwhile may have been written over.
      if (this.#tasks.taken !== taken) return;
      if (this.#record[0] === IoTask.SYNC) this.#letGo();
    }
  }

  #letGo(): void {
    const record = this.#record;
    if (!this.#isDying(record[5]!)) return;
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
