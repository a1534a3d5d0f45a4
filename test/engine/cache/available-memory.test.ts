/** The memory that a process may use, from what /proc and the control groups' files say. */
import { expect, test } from 'vitest';
import { availableMemory, defaultCacheOf } from '../../../engine/cache/available-memory.js';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const UNLIMITED_V1 = '9223372036854771712\n';

const V2 = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n';
const V1 = '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n';
const DISK = '23 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n';

function available(files: Record<string, string>, physical = 16 * GIB): number {
  return availableMemory((path) => files[path], physical);
}

test.each<[string, Record<string, string>, number]>([
  ['no files at all', {}, 16 * GIB],
  [
    'v2, no limit anywhere',
    {
      '/proc/self/cgroup': '0::/user.slice/session.scope\n',
      '/proc/self/mountinfo': DISK + V2,
      '/sys/fs/cgroup/user.slice/memory.max': 'max\n',
      '/sys/fs/cgroup/user.slice/session.scope/memory.max': 'max\n',
    },
    16 * GIB,
  ],
  [
    'v2, a limit of its own',
    {
      '/proc/self/cgroup': '0::/system.slice/spinney.service\n',
      '/proc/self/mountinfo': DISK + V2,
      '/sys/fs/cgroup/system.slice/spinney.service/memory.max': `${700 * MIB}\n`,
    },
    700 * MIB,
  ],
  [
    'v2, a smaller limit of a group around it',
    {
      '/proc/self/cgroup': '0::/a/b/c\n',
      '/proc/self/mountinfo': DISK + V2,
      '/sys/fs/cgroup/a/memory.max': `${300 * MIB}\n`,
      '/sys/fs/cgroup/a/b/memory.max': 'max\n',
      '/sys/fs/cgroup/a/b/c/memory.max': `${700 * MIB}\n`,
    },
    300 * MIB,
  ],
  [
    'v2, a limit from which on it is slowed down',
    {
      '/proc/self/cgroup': '0::/a\n',
      '/proc/self/mountinfo': DISK + V2,
      '/sys/fs/cgroup/a/memory.max': `${2 * GIB}\n`,
      '/sys/fs/cgroup/a/memory.high': `${GIB}\n`,
    },
    GIB,
  ],
  [
    'v2, in a container with a namespace of its own',
    {
      '/proc/self/cgroup': '0::/\n',
      '/proc/self/mountinfo': DISK + V2,
      '/sys/fs/cgroup/memory.max': `${512 * MIB}\n`,
    },
    512 * MIB,
  ],
  [
    'v2, moved out of its namespace',
    {
      '/proc/self/cgroup': '0::/../other\n',
      '/proc/self/mountinfo': DISK + V2,
      '/sys/fs/cgroup/memory.max': `${512 * MIB}\n`,
      '/sys/fs/other/memory.max': `${MIB}\n`,
    },
    512 * MIB,
  ],
  [
    'v1, among other hierarchies',
    {
      '/proc/self/cgroup': '9:name=systemd:/\n4:memory:/limited/inner\n1:cpu:/\n0::/\n',
      '/proc/self/mountinfo': `${DISK}32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n${V1}`,
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': UNLIMITED_V1,
      '/sys/fs/cgroup/memory/limited/memory.limit_in_bytes': `${600 * MIB}\n`,
      '/sys/fs/cgroup/memory/limited/inner/memory.limit_in_bytes': UNLIMITED_V1,
      '/sys/fs/cgroup/cpu/memory.limit_in_bytes': `${MIB}\n`,
    },
    600 * MIB,
  ],
  [
    'v1, in a container that sees the path of the host',
    {
      '/proc/self/cgroup': '4:hugetlb,memory:/docker/0123abc\n',
      '/proc/self/mountinfo':
        '40 31 0:32 /docker/0123abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory,hugetlb\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': `${900 * MIB}\n`,
    },
    900 * MIB,
  ],
  [
    'a mount with a blank in its name',
    {
      '/proc/self/cgroup': '0::/a\n',
      '/proc/self/mountinfo': '30 23 0:26 / /control\\040groups rw - cgroup2 none rw\n',
      '/control groups/a/memory.max': `${200 * MIB}\n`,
    },
    200 * MIB,
  ],
  [
    'a limit beyond what the machine has',
    {
      '/proc/self/cgroup': '0::/a\n',
      '/proc/self/mountinfo': V2,
      '/sys/fs/cgroup/a/memory.max': `${64 * GIB}\n`,
    },
    16 * GIB,
  ],
])('%s', (_, files, expected) => {
  expect(available(files)).toBe(expected);
});

test('the cache is a quarter of it, in whole MiB, between its limits', () => {
  expect(defaultCacheOf(700 * MIB)).toBe(175 * MIB);
  expect(defaultCacheOf(700 * MIB + 3 * 1024)).toBe(175 * MIB);
  expect(defaultCacheOf(100 * MIB)).toBe(64 * MIB);
  expect(defaultCacheOf(1024 * GIB)).toBe(64 * GIB);
});
