/** All cases: what every mount must do as ext4 does, or say why not. */
import { ATTRIBUTES } from './cases-attributes.js';
import { CONTENTS } from './cases-contents.js';
import { NAMES } from './cases-names.js';
import { XATTRS } from './cases-xattrs.js';
import type { Call } from './sides.js';

/** By subject, then by name. */
export const TABLE: Record<string, Record<string, Call[]>> = {
  ...NAMES,
  ...ATTRIBUTES,
  ...XATTRS,
  ...CONTENTS,
};

/** What is there before a mount becomes read-only. */
export const READ_ONLY_SCENE: Call[] = [
  // A bind mount refuses what a user may not write before it says that it is read-only: let them write.
  ['umask', 0],
  ['create', 'f', 'content', 0o666],
  ['setxattr', 'f', 'user.a', 'v'],
  ['mkdir', 'd', 0o777],
  ['create', 'd/f', 'inner'],
  ['mkdir', 'e'],
];

/** Every way to change something of it. */
export const CHANGES: Call[] = [
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
