/**
 * The request loop on the FUSE descriptor. It blocks its thread and uses no event loop.
 *
 * Most of a request's time is the wake-up of a sleeping thread, so after a request the loop goes on asking for
 * the next one for a moment before it sleeps in poll(2). With a single processor it never does: it would take
 * the time from the client that it waits for. That the client wakes as fast is asked of the kernel once several requests
 * have followed each other, until there are none for a moment (wake-latency.ts). An idle mount sleeps without a time-out
 * and uses no processor.
 */
import { availableParallelism, constants } from 'node:os';
import { SpinneyError } from '../../../engine/errors.js';
import { stopwatch } from '../../../engine/stopwatch.js';
import * as libc from '../../libc/libc.js';
import type { Reply } from '../protocol/reply.js';
import { Crowd } from './crowd.js';
import type { MountState } from './mount-state.js';
import { WakeLatency } from './wake-latency.js';

const { EAGAIN, EINTR, ENODEV, ENOENT } = constants.errno;
/** How long to ask on after a request was served: longer than its reply and what a client does between two system calls. */
const SPIN_MS = 0.11;
/** Requests without a sleep between them, after which more are expected. */
const BURST = 16;
/** How long a burst may pause. */
const PAUSE_MS = 2;

export interface RequestHandler {
  readonly request: { readonly bytes: Uint8Array; readonly pid: number };
  readonly reply: Reply;
  /** Serves the request of `length` bytes in `request`; returns the length of the reply, 0 for none. */
  handle(length: number): number;
  /** Replies that are held back, to leave together. */
  readonly held: {
    /** Holds this reply of `length` bytes back. False: it is to be sent at once, after those that are held. */
    hold(reply: RequestHandler['reply'], length: number): boolean;
    /** Sends those that are held back; returns how many these were. */
    send(): number;
  };
  /** The kernel did not accept the reply, with this errno: a bug. The client got EIO. */
  replyRefused(error: number): void;
  /** Someone woke the thread. */
  woken(): void;
  /** No request waits: does one thing that could wait. Returns whether there was any. */
  work(): boolean;
  /** There is nothing to do: the thread is going to sleep, for no longer than the milliseconds returned; -1: no limit. */
  idle(): number;
}

/**
 * Serves requests until the mount is gone or the state says stop. Throws ERR_IO when the descriptor fails in a
 * way that no unmount explains.
 */
export function serveRequests(fd: number, state: MountState, handler: RequestHandler): void {
  const latency = new WakeLatency();
  try {
    serve(fd, state, handler, latency);
  } finally {
    latency.close();
  }
}

function serve(fd: number, state: MountState, handler: RequestHandler, latency: WakeLatency): void {
  const spinMs = availableParallelism() < 2 ? 0 : SPIN_MS;
  const input = handler.request.bytes;
  const sleep = new Sleep(fd, state.memory.readEnd);
  const { held } = handler;
  const crowd = new Crowd();
  let spinUntil = 0;
  let burst = 0;
  while (true) {
    if (state.takeWake()) {
      held.send();
      if (state.sessionStopped) return;
      handler.woken();
      if (state.sessionStopped) return;
    }
    const length = libc.read(fd, input, input.length);
    if (length > 0) {
      const replyLength = handler.handle(length);
      if (replyLength > 0 && !(crowd.asks(handler.request.pid) && held.hold(handler.reply, replyLength))) {
        held.send();
        const refused = sendReply(fd, handler.reply.bytes, replyLength);
        if (refused !== 0) handler.replyRefused(refused);
      }
      if (++burst === BURST) latency.hold();
      // The stopwatch has just looked at the clock.
      spinUntil = (state.isTiming ? stopwatch.countedUntil : performance.now()) + spinMs;
      continue;
    }
    const error = libc.errno();
    if (error === EAGAIN) {
      const sent = held.send();
      if (sent === 1) crowd.isAway();
      if (sent > 0) continue;
      if (handler.work()) continue;
      if (performance.now() < spinUntil) {
        libc.schedYield();
      } else {
        burst = 0;
        state.setAsleep(true);
        if (!latency.isHeld) sleep.untilWoken(handler.idle());
        else if (!sleep.untilWoken(PAUSE_MS)) latency.release();
        state.setAsleep(false);
      }
    } else if (length === 0 || error === ENODEV) {
      return;
    } else if (error !== EINTR && error !== ENOENT) {
      throw new SpinneyError('ERR_IO', `Cannot read requests from /dev/fuse: ${libc.errnoName(error)}`);
    }
  }
}

/**
 * Sends a reply. Returns 0 or the errno with which the kernel refused it; that a request was given up (ENOENT)
 * or that the mount is gone (ENODEV; the next read says so) is no refusal.
 */
export function sendReply(fd: number, bytes: Uint8Array, length: number): number {
  while (libc.write(fd, bytes, length) < 0) {
    const error = libc.errno();
    if (error === ENOENT || error === ENODEV) return 0;
    if (error !== EINTR && error !== EAGAIN) return error;
  }
  return 0;
}

/** poll(2) on the device and the wake-up pipe. */
class Sleep {
  readonly #readEnd: number;
  readonly #polled = new Int32Array(4);
  readonly #drained = new Uint8Array(64);

  constructor(fd: number, readEnd: number) {
    this.#readEnd = readEnd;
    // struct pollfd { int fd; short events, revents; } twice, in little-endian halves.
    this.#polled[0] = fd;
    this.#polled[2] = readEnd;
  }

  /** Returns whether there is something to do before the time is over. */
  untilWoken(longestMs: number): boolean {
    this.#polled[1] = libc.POLLIN;
    this.#polled[3] = libc.POLLIN;
    const woken = libc.poll(this.#polled, 2, longestMs) !== 0;
    if (this.#polled[3] >>> 16 !== 0) {
      while (libc.read(this.#readEnd, this.#drained, this.#drained.length) === this.#drained.length);
    }
    return woken;
  }
}
