/**
 * What differs between two sides; and what may differ, whatever the mount.
 *
 * Left out by the client already: access times (the mount is noatime), the size and blocks of directories and the
 * blocks of files (a matter of the filesystem's own structure), device and inode numbers (numbered anew in the order of
 * appearance), block size, and the values of times.
 */
import type { Answer, Call, Json, Result } from './sides.js';

/** One result, or one thing left behind, that is not the same on both sides. */
export interface Difference {
  /** Of the call; undefined for what is left behind. */
  index: number | undefined;
  /** To read. */
  line: string;
}

interface Exception {
  reason: string;
  /** Whether the call may have these two results for this reason. */
  allows(call: Call, mount: Result, ext4: Result): boolean;
}

/** What differs by design. */
const EXCEPTIONS: readonly Exception[] = [
  {
    reason: 'COLLAPSE_RANGE and INSERT_RANGE: the kernel refuses them on every FUSE mount',
    allows: ([name, , mode], mount) =>
      name === 'fallocate' && (mode === 8 || mode === 32) && failed(mount, 'ENOTSUP'),
  },
  {
    reason: 'O_TMPFILE in a removed directory: ENOENT, as for all that is made there; ext4 says EPERM',
    allows: ([name, , , flags], mount, ext4) =>
      name === 'open' &&
      String(flags).includes('TMPFILE') &&
      failed(mount, 'ENOENT') &&
      failed(ext4, 'EPERM'),
  },
  {
    reason:
      'what is stored in a mapping changes the times when it is written back, as POSIX allows, not before',
    allows: ([name], mount, ext4) =>
      ['poke', 'msync', 'munmap'].includes(name) && isSame(mount.value, ext4.value),
  },
  {
    reason: 'FUSE knows no request for the times of a FIFO that was written to',
    allows: ([name, , data], mount, ext4) =>
      name === 'write' && data === 'through a FIFO' && isSame(mount.value, ext4.value),
  },
  {
    reason: 'ext4 keeps times from 1901 to 2446 and cuts others; the mount keeps them',
    allows: ([name], mount, ext4) =>
      name === 'times' && Array.isArray(mount.value) && isSame(mount.value.map(cut), ext4.value),
  },
  {
    reason: 'positions in a directory are opaque; ext4 has hashes for them, up to 2^63 - 1',
    allows: ([name], _, ext4) => name === 'lseek' && Number(ext4.value) > Number.MAX_SAFE_INTEGER,
  },
  {
    reason:
      'ext4 makes a whiteout before it finds that it cannot rename, and the directory keeps the time of that',
    allows: ([name, , , flags], mount, ext4) =>
      name === 'rename' && flags === 4 && mount.value !== null && isSame(mount.value, ext4.value),
  },
];

const EARLIEST = -(2 ** 31);
const LATEST = 2 ** 34 - 2 ** 31 - 1;

/** A time as ext4 keeps it. */
function cut(time: Json): Json {
  if (!Array.isArray(time)) return time;
  const seconds = Number(time[0]);
  return seconds < EARLIEST ? [EARLIEST, 0] : seconds > LATEST ? [LATEST, 0] : time;
}

/** Each result and each thing left behind that is not the same on both sides. */
export function differences(calls: readonly Call[], mounted: Answer, local: Answer): Difference[] {
  const found: Difference[] = [];
  calls.forEach((call, index) => {
    const [ours, theirs] = [mounted.results[index]!, local.results[index]!];
    if (!isSame(ours, theirs) && !EXCEPTIONS.some((exception) => exception.allows(call, ours, theirs))) {
      found.push({ index, line: `${index} ${JSON.stringify(call)}: ${told(ours, theirs)}` });
    }
  });
  for (const path of new Set([...Object.keys(mounted.tree), ...Object.keys(local.tree)])) {
    const [ours, theirs] = [mounted.tree[path], local.tree[path]];
    if (!isSame(ours, theirs)) {
      found.push({ index: undefined, line: `left ${JSON.stringify(path)}: ${told(ours, theirs)}` });
    }
  }
  return found;
}

/** As `differences`, to read. */
export function differingLines(calls: readonly Call[], mounted: Answer, local: Answer): string[] {
  return differences(calls, mounted, local).map(({ line }) => line);
}

function failed(result: Result, error: string): boolean {
  return isSame(result.value, { error });
}

export function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function told(ours: unknown, theirs: unknown): string {
  return `mount ${JSON.stringify(ours)}, ext4 ${JSON.stringify(theirs)}`;
}
