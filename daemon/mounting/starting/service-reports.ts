/**
 * Tells the service manager how the daemon does. A ping of the watchdog means that a call through the kernel was answered just now:
 * an event loop that turns says nothing of the threads that serve the mount.
 */
import type { ServiceManager } from '../../process/service-manager.js';

const MOST_PERIOD_MS = 20_000;
/** So that one that comes late is no reason to end the daemon. */
const PINGS_IN_TIME = 3;

/** What is asked of the daemon. */
export interface ReportedDaemon {
  /** Resolves when the mount has answered; never, while it hangs. */
  answers(): Promise<boolean>;
  /** How it does, in a line. */
  summary(): string;
}

export class ServiceReports {
  readonly #service: ServiceManager;
  readonly #daemon: ReportedDaemon;
  readonly #timer: NodeJS.Timeout;
  #isAsking = false;
  #isEnding = false;

  /** The mount answers: says so, and goes on to tell until `stop`. */
  constructor(service: ServiceManager, daemon: ReportedDaemon) {
    this.#service = service;
    this.#daemon = daemon;
    service.ready(daemon.summary());
    const period = Math.min((service.watchdogMs ?? Number.POSITIVE_INFINITY) / PINGS_IN_TIME, MOST_PERIOD_MS);
    this.#timer = setInterval(() => void this.report(), period).unref();
  }

  async report(): Promise<void> {
    if (this.#isEnding) {
      // There is no mount to ask, and the manager has a deadline for the end.
      this.#service.ping();
      return;
    }
    this.#service.status(this.#daemon.summary());
    // A question that nobody answers holds a thread of Node's: there is never a second one.
    if (this.#isAsking) return;
    this.#isAsking = true;
    if (await this.#daemon.answers()) this.#service.ping();
    this.#isAsking = false;
  }

  /** The mount is about to end, or has ended; work is left to do. */
  ending(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#service.stopping('Ending: unmounts, and writes the last checkpoint');
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
