import { readFileSync } from 'node:fs';

/** Time as the protocol with an object store needs it. */
export interface Clock {
  /** Milliseconds since some moment. Nobody sets it; it goes on while the machine sleeps. */
  now(): number;
  /** Resolves that much later at the earliest. */
  sleep(ms: number): Promise<void>;
}

/**
 * The machine's time since its start, sleep included (/proc/uptime is CLOCK_BOOTTIME, in steps of 10 ms). `process.hrtime`
 * stands still while the machine sleeps: whoever went by it would hold a lease that others saw run out.
 */
export const BOOT_CLOCK: Clock = {
  now: () => Number.parseFloat(readFileSync('/proc/uptime', 'latin1')) * 1000,
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};
