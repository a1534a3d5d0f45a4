/**
 * What the fuse-native driver cannot do. The limits are the binding's (fuse-native 2.2.6 on libfuse 2), not the
 * tree's. limits.md and a table of README.md are made from this list by scripts/limits.mjs, and the exclusions of
 * test/e2e/posix/fuse-native.ts refer to it.
 */

export interface Limit {
  id: string;
  limit: string;
  /** What one sees. */
  effect: string;
  /** Whether README.md has it too. */
  inReadme: boolean;
}

const LIST = [
  {
    id: 'milliseconds',
    limit: 'times are whole milliseconds, and those before 1970 read as 1970',
    effect: 'finer times are cut when they are set; those in the store are kept, but not shown',
    inReadme: true,
  },
  {
    id: 'one-time',
    limit: 'the binding passes the access time twice',
    effect: '`touch -d X` sets both times to the access time; `touch -m` and `touch -a` alone change nothing',
    inReadme: true,
  },
  {
    id: 'birth',
    limit: 'no times of birth',
    effect: 'they are kept in the store; `stat` shows "-"',
    inReadme: false,
  },
  {
    id: 'utf-8',
    limit: 'names, targets of links and names of attributes are UTF-8 strings, without U+FFFD',
    effect: 'others are refused: EILSEQ; those in the store are listed with U+FFFD, and cannot be reached',
    inReadme: true,
  },
  {
    id: 'caller',
    limit: 'no identity of the caller',
    effect:
      "new files belong to the daemon's user and group; names of `trusted` attributes are listed to all; who may write to a directory may set its limits",
    inReadme: true,
  },
  {
    id: 'access-lists',
    limit: 'access control lists: none can be set, and those that are in the store are kept but not enforced',
    effect:
      "the permission bits alone decide; where there is a list, the group's bits are its mask. Setting one is ENOTSUP",
    inReadme: true,
  },
  {
    id: 'renameat2',
    limit: 'no renameat2',
    effect: 'no exchange, no whiteouts, no RENAME_NOREPLACE to a name that is free: EINVAL',
    inReadme: true,
  },
  {
    id: 'fallocate',
    limit: 'no fallocate',
    effect: 'ENOTSUP; posix_fallocate of the C library writes instead',
    inReadme: true,
  },
  { id: 'tmpfile', limit: 'no O_TMPFILE', effect: 'ENOTSUP', inReadme: true },
  {
    id: 'holes',
    limit: 'no SEEK_DATA and SEEK_HOLE',
    effect: 'the kernel answers as if files had no holes',
    inReadme: true,
  },
  {
    id: 'hidden',
    limit: 'an open file that is removed is renamed to `.fuse_hidden...` by libfuse until it is closed',
    effect: 'it is listed, and its directory cannot be removed before',
    inReadme: true,
  },
  {
    id: 'removed-directories',
    limit: 'a directory that is removed while it is open, or somebody is in it, is gone at once',
    effect: 'ENOENT for whatever is done with it',
    inReadme: false,
  },
  {
    id: 'hard-links',
    limit: 'each hard link is an inode of its own to the kernel',
    effect:
      'locks on one name do not hold for another; the kernel keeps no attributes (`--attr-timeout` does nothing)',
    inReadme: true,
  },
  {
    id: 'empty-chown',
    limit: 'libfuse drops a chown that names neither owner nor group',
    effect: 'it does not change the time of change',
    inReadme: false,
  },
  {
    id: '32-bits',
    limit: 'inode numbers and handles have 32 bits',
    effect: 'inode numbers above 4,294,967,295 are shown modulo 2^32',
    inReadme: false,
  },
  {
    id: 'snapshots',
    limit: 'nothing tells the kernel of a snapshot that was made by a command',
    effect:
      'one whose name was looked for before is not seen for `--negative-timeout`. Numbers of objects in snapshots have 31 bits, so two may share one',
    inReadme: true,
  },
  {
    id: 'listing',
    limit: 'a whole directory is read at once, without attributes',
    effect: 'listing a million entries takes memory and is slow',
    inReadme: false,
  },
  {
    id: 'one-request',
    limit: "one request at a time on the daemon's main thread",
    effect: 'fsync delays every other request, and the control socket',
    inReadme: true,
  },
  {
    id: 'time-out',
    limit: 'a request that takes longer than 15 s',
    effect: 'ETIMEDOUT, though it may still be done',
    inReadme: false,
  },
  {
    id: 'option-string',
    limit: 'store path and mount options share one string of 900 bytes, which libfuse splits at commas',
    effect: 'a store path that is longer, or has a comma or a backslash, is refused',
    inReadme: false,
  },
  {
    id: 'fusermount',
    limit: 'needs `fusermount` on the PATH',
    effect: 'Debian: package fuse3',
    inReadme: false,
  },
  {
    id: 'prebuilt',
    limit: 'prebuilt for x86-64 only',
    effect: 'elsewhere npm builds it, which needs a compiler and libfuse 2',
    inReadme: false,
  },
] as const satisfies readonly Limit[];

export type LimitId = (typeof LIST)[number]['id'];

export const LIMITS: readonly (Limit & { id: LimitId })[] = LIST;
