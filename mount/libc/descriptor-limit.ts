/** How many descriptors the process may have, and how many it has. */
import { readdirSync, statSync } from 'node:fs';
import koffi from 'koffi';

const libc = koffi.load(null);
const getrlimit = libc.func('getrlimit', 'int', ['int', 'void *']) as (
  resource: number,
  limits: Uint32Array,
) => number;
const setrlimit = libc.func('setrlimit', 'int', ['int', 'const void *']) as (
  resource: number,
  limits: Uint32Array,
) => number;

/** Linux on x64 and arm64. */
const RLIMIT_NOFILE = 7;
const DESCRIPTORS = '/proc/self/fd';

/** struct rlimit: the soft limit, which counts, and the hard one, up to which the process may raise it; 64 bits each. */
const limits = new Uint32Array(4);

/** Descriptors that the process may have: each new one's number is below this. */
export function descriptorLimit(): number {
  if (getrlimit(RLIMIT_NOFILE, limits) !== 0) return Number.POSITIVE_INFINITY;
  return limits[0]! + limits[1]! * 0x1_0000_0000;
}

/**
 * Raises the limit as far as the process may, and returns it. Only programs that use select(2) need a low one, and there
 * is none here.
 */
export function raiseDescriptorLimit(): number {
  if (getrlimit(RLIMIT_NOFILE, limits) === 0) {
    limits.copyWithin(0, 2);
    setrlimit(RLIMIT_NOFILE, limits);
  }
  return descriptorLimit();
}

/** Descriptors that the process has now. Works when there is none left to look with, on Linux 6.2 and later. */
export function openDescriptors(): number {
  try {
    return statSync(DESCRIPTORS).size || readdirSync(DESCRIPTORS).length - 1;
  } catch {
    return descriptorLimit();
  }
}

/** What health says while nobody gets a descriptor to open a file with. */
export function openingProblem(): { code: 'DESCRIPTORS_EXHAUSTED'; reason: string } {
  const limit = descriptorLimit();
  const reason = `${openDescriptors()} of ${limit} descriptors in use; opening files fails (ENFILE): raise the limit (LimitNOFILE=, ulimit -n) or the system's (fs.file-max)`;
  return { code: 'DESCRIPTORS_EXHAUSTED', reason };
}
