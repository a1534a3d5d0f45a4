import { CLOCK_BOOTTIME, libc } from '../../disk/libc.js';

/** Time as the protocol with an object store needs it. Never throws: what was sent would else be left without its outcome. */
export interface Clock {
  /** Milliseconds since some moment. Nobody sets it; it goes on while the machine sleeps. */
  now(): number;
  /** Resolves that much later at the earliest. */
  sleep(ms: number): Promise<void>;
}

const words = new Uint32Array(4);
const time = new Uint8Array(words.buffer);

/**
 * The machine's time since its start, sleep included. `process.hrtime` stands still while the machine sleeps: whoever went by it would hold a
 * lease that others saw run out. Read from libc: a file, as /proc/uptime is, cannot be opened where all descriptors are taken.
 */
export const BOOT_CLOCK: Clock = {
  now: () => {
    libc().clock_gettime(CLOCK_BOOTTIME, time);
    return words[0]! * 1000 + words[2]! / 1e6;
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};
