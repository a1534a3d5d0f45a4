/**
 * Looks at a daemon again and again, by its control socket.
 *
 * Between two looks it listens to the daemon's summaries of who asks for what. These come as long as the daemon is there; when they
 * have ended, the next look that is answered asks for them again. So a daemon that was away is watched again as soon as it is back.
 */
import { askDaemon, askDaemonForLines } from '../../../../control/client.js';
import type { BusyReport, HealthReport, RequestReport, StatsReport } from '../../../../control/reports.js';
import { ActivitySums } from './activity.js';
import type { Programs } from './names.js';
import type { Look } from './rates.js';

/** A process that has ended has no name any more: so each summary is looked at soon. */
const SUMMARY_EVERY_MS = 500;

export class Watch {
  readonly #socket: string;
  readonly #sums: ActivitySums;
  readonly #closed = new AbortController();
  #isListening = false;

  constructor(socket: string, programs: Programs) {
    this.#socket = socket;
    this.#sums = new ActivitySums(programs.of);
  }

  /** Waits as long as the daemon takes. Throws ERR_IO when it does not answer. */
  async look(): Promise<Look> {
    const [{ body: stats }, { body: health }, slow] = await Promise.all([
      askDaemon(this.#socket, 'GET', '/v1/stats'),
      askDaemon(this.#socket, 'GET', '/v1/health'),
      this.#slowRequests(),
    ]);
    const look: Look = {
      time: new Date(),
      seconds: performance.now() / 1e3,
      stats: stats as StatsReport,
      health: health as HealthReport,
      activity: this.#sums.take(),
      slow,
    };
    if (!this.#isListening) void this.#listen();
    return look;
  }

  close(): void {
    this.#closed.abort();
  }

  async #slowRequests(): Promise<RequestReport[]> {
    const slow: RequestReport[] = [];
    await askDaemonForLines(
      this.#socket,
      '/v1/log',
      (line) => {
        // Beside requests there are lines that tell how many were missed.
        if ('operation' in (line as object)) slow.push(line as RequestReport);
      },
      { signal: this.#closed.signal },
    );
    return slow;
  }

  async #listen(): Promise<void> {
    this.#isListening = true;
    try {
      await askDaemonForLines(
        this.#socket,
        `/v1/log?follow=1&busy=${SUMMARY_EVERY_MS}`,
        (line) => this.#sums.add(line as BusyReport),
        { signal: this.#closed.signal },
      );
    } catch {
      // It has gone, which the next look tells, or has too many listeners already: then nothing is told of clients.
    } finally {
      this.#isListening = false;
      this.#sums.forget();
    }
  }
}
