/**
 * Waiting for what must come, however busy the machine is: only a hang takes longer than this. vitest's own bound is a second, which a
 * machine that does other things too needs at times for a process to start.
 */
export const PATIENTLY = { timeout: 60_000, interval: 10 };
