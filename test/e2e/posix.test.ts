/**
 * The mount against the local filesystem, which must be ext4: the same system calls on both, and everything that a
 * program can see of them is compared: results, errors, attributes, which times changed, what is left. As root.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ATTRIBUTES } from './posix/cases-attributes.js';
import { CONTENTS } from './posix/cases-contents.js';
import { NAMES } from './posix/cases-names.js';
import { XATTRS } from './posix/cases-xattrs.js';
import { differences } from './posix/differences.js';
import { type Call, findExt4, Sides } from './posix/sides.js';

const EXT4 = findExt4();

/** Every way to change something, on what is there. */
const CHANGES: Call[] = [
  ['open', 'r', 'f', 'O_RDONLY'],
  ['read', 'r', 10],
  ...['O_WRONLY', 'O_RDWR', 'O_RDONLY|O_TRUNC', 'O_RDONLY|O_CREAT', 'O_RDONLY|O_CREAT|O_EXCL'].flatMap(
    (flags): Call[] => [
      ['open', 'w', 'f', flags],
      ['open', 'w', 'absent', flags],
    ],
  ),
  ['open', 't', '.', 'O_TMPFILE|O_RDWR'],
  ['create', 'd/new'],
  ['mkdir', 'new'],
  ['mkdir', 'd'],
  ['mkfifo', 'new'],
  ['mknod', 'new', 0o100644],
  ['symlink', 'x', 'new'],
  ['symlink', 'x', 'f'],
  ['link', 'f', 'new'],
  ['link', 'f', 'd'],
  ['unlink', 'f'],
  ['unlink', 'absent'],
  ['rmdir', 'd'],
  ['rename', 'f', 'g'],
  ['rename', 'absent', 'g'],
  ['rename', 'f', 'd/f', 2],
  ['chmod', 'f', 0o600],
  ['chmod', 'r', 0o600],
  ['chown', 'f', 1, 1],
  ['truncate', 'f', 0],
  ['ftruncate', 'r', 0],
  ['utimens', 'f', 'now', 'now'],
  ['futimens', 'r', [1, 1], [1, 1]],
  ['setxattr', 'f', 'user.k', 'v'],
  ['removexattr', 'f', 'user.a'],
  ['removexattr', 'f', 'user.absent'],
  ['getxattr', 'f', 'user.a'],
  [
    'setacl',
    'd',
    'default',
    [
      [1, 7, 0xffff_ffff],
      [4, 5, 0xffff_ffff],
      [0x20, 5, 0xffff_ffff],
    ],
  ],
  ['fallocate', 'r', 0, 0, 10],
  ['lseek', 'r', 0, 'SEEK_DATA'],
  ['flock', 'r', 2],
  ['access', 'f', 2],
  ['access', 'd', 2],
  ['fsync', 'r'],
  ['mmap', 'm', 'r', 5, false],
  ['peek', 'm', 0, 5],
  ['list', 'd'],
  ['statx', 'f'],
];

describe.skipIf(EXT4 === undefined)('as on ext4', () => {
  let sides: Sides;
  beforeAll(async () => {
    sides = new Sides(EXT4!);
    await sides.begin();
  });
  afterAll(() => sides.end());

  const subjects: Record<string, Record<string, Call[]>> = {
    ...NAMES,
    ...ATTRIBUTES,
    ...XATTRS,
    ...CONTENTS,
  };
  for (const [subject, cases] of Object.entries(subjects)) {
    describe(subject, () => {
      it.each(Object.entries(cases))('%s', async (_, calls) => {
        const [mounted, local] = await sides.run(calls);
        const found = differences(calls, mounted, local);
        expect(found, found.join('\n')).toEqual([]);
      });
    });
  }

  it('read-only', async () => {
    const readOnly = new Sides(EXT4!);
    try {
      await readOnly.begin();
      const scene: Call[] = [
        // A bind mount refuses what a user may not write before it says that it is read-only: let them write.
        ['umask', 0],
        ['create', 'f', 'content', 0o666],
        ['setxattr', 'f', 'user.a', 'v'],
        ['mkdir', 'd', 0o777],
        ['create', 'd/f', 'inner'],
        ['mkdir', 'e'],
      ];
      await readOnly.run(scene, 'scene');
      await readOnly.makeReadOnly();
      for (const calls of [CHANGES, [['as', 1000], ...CHANGES] satisfies Call[]]) {
        const [mounted, local] = await readOnly.run(calls, 'scene');
        const found = differences(calls, mounted, local);
        expect(found, found.join('\n')).toEqual([]);
      }
    } finally {
      await readOnly.end();
    }
  });

  it('what is there after a remount and after a kill', async () => {
    const [before] = await sides.look();
    for (const how of ['umount', 'kill'] as const) {
      await sides.restart(how);
      const [mounted, local] = await sides.look();
      expect(mounted.inodes).toEqual(before.inodes);
      const found = differences([], mounted, local);
      expect(found, found.join('\n')).toEqual([]);
    }
    expect(sides.complaints()).toEqual([]);
  });
});
