import { readFileSync } from 'node:fs';

/** Seconds since the machine's start, to a hundredth: a clock that all processes share and nobody sets. */
export function uptimeSeconds(): number {
  return Number(readFileSync('/proc/uptime', 'latin1').split(' ', 1)[0]);
}
