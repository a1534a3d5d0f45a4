/**
 * What differs between two sides, as lines to read; and what may differ.
 *
 * Left out by the client already: access times (the mount is noatime), the size and blocks of directories and the
 * blocks of files (a matter of the filesystem's own structure), device and inode numbers (numbered anew in the order of
 * appearance), block size, and the values of times.
 */
import type { Answer, Call, Result } from './sides.js';

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
    allows: ([name], mount) =>
      name === 'times' &&
      isSame(mount.value, [
        [2 ** 40, 1],
        [-(2 ** 40), 2],
      ]),
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

/** One line for each result and each thing left behind that is not the same on both sides. */
export function differences(calls: readonly Call[], mounted: Answer, local: Answer): string[] {
  const lines: string[] = [];
  calls.forEach((call, i) => {
    const [ours, theirs] = [mounted.results[i]!, local.results[i]!];
    if (!isSame(ours, theirs) && !EXCEPTIONS.some((exception) => exception.allows(call, ours, theirs))) {
      lines.push(`${i} ${JSON.stringify(call)}: ${told(ours, theirs)}`);
    }
  });
  for (const path of new Set([...Object.keys(mounted.tree), ...Object.keys(local.tree)])) {
    const [ours, theirs] = [mounted.tree[path], local.tree[path]];
    if (!isSame(ours, theirs)) lines.push(`left ${JSON.stringify(path)}: ${told(ours, theirs)}`);
  }
  return lines;
}

function failed(result: Result, error: string): boolean {
  return isSame(result.value, { error });
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function told(ours: unknown, theirs: unknown): string {
  return `mount ${JSON.stringify(ours)}, ext4 ${JSON.stringify(theirs)}`;
}
