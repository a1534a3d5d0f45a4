/** What a fuse-native mount does otherwise than ext4, by the limits of mount/fuse-native/limits.ts. */
import type { LimitId } from '../../../mount/fuse-native/limits.js';
import { isSame } from './differences.js';
import type { Context, Exclusion } from './exclusions.js';
import type { Call, Json, Result } from './sides.js';

/** A kernel that knows that there is no fallocate says so before it takes set-id bits. */
export const FIRST_CALLS: Call[] = [
  ['create', 'f'],
  ['open', 'h', 'f', 'O_RDWR'],
  ['fallocate', 'h', 0, 0, 10],
  ['close', 'h'],
  ['unlink', 'f'],
];

const BIRTH = 0x800;
const F_UNLCK = 2;
const MAKING = ['mkdir', 'mkfifo', 'mknod', 'create', 'socket', 'symlink'];
const ON_REMOVED_DIRECTORY: readonly Call[] = [
  ['fstat', 'h'],
  ['listfd', 'h'],
  ['stat', '.'],
  ['stat', '..'],
  ['list', '.'],
  ['chmod', 'h', 0o700],
  ['setxattr', 'h', 'user.k', 'v'],
  ['listxattr', 'h'],
  ['rename', '../../d', '../../z'],
  ['fsync', 'h'],
];

const nothing = (): Call => ['nothing'];
const named =
  (...names: string[]) =>
  ([name]: Call): boolean =>
    names.includes(name);

export const FUSE_NATIVE_EXCLUSIONS: readonly (Exclusion & { limit: LimitId })[] = [
  {
    limit: 'renameat2',
    covers: 'renaming with flags',
    cases: 18,
    effect: {
      kind: 'refused',
      of: ([name, , , flags]) => name === 'rename' && Boolean(flags),
      error: 'EINVAL',
    },
  },
  {
    limit: 'tmpfile',
    covers: 'opening with O_TMPFILE',
    cases: 9,
    effect: {
      kind: 'refused',
      of: ([name, , , flags]) => name === 'open' && String(flags).includes('O_TMPFILE'),
      error: 'ENOTSUP',
    },
  },
  {
    limit: 'fallocate',
    covers: 'fallocate in every mode',
    cases: 4,
    effect: { kind: 'refused', of: named('fallocate'), error: 'ENOTSUP' },
  },
  {
    limit: 'access-lists',
    covers: 'setting an access list',
    cases: 4,
    effect: { kind: 'refused', of: named('setacl'), error: 'ENOTSUP' },
  },
  {
    limit: 'utf-8',
    covers: 'making a name or a target that is not UTF-8',
    cases: 2,
    effect: {
      kind: 'refused',
      of: (call) => named('create', 'symlink')(call) && call.some(isNotUtf8),
      error: 'EILSEQ',
    },
  },
  {
    limit: 'removed-directories',
    covers: 'what is done with a removed directory',
    cases: 1,
    effect: {
      kind: 'refused',
      of: (call, context) =>
        isInRemovedDirectory(context) && ON_REMOVED_DIRECTORY.some((one) => isSame(one, call)),
      error: 'ENOENT',
    },
  },
  {
    limit: 'removed-directories',
    covers: 'the time of change of a directory that is open while it is removed',
    cases: 1,
    effect: {
      kind: 'differs',
      of: (call, context) => isInRemovedDirectory(context) && call[0] === 'rmdir',
      so: (mount, { value, changed: { 'fd:h': _, ...changed } }) => isSame(mount, { value, changed }),
    },
  },
  {
    limit: 'holes',
    covers: 'SEEK_DATA and SEEK_HOLE in files with holes',
    cases: 1,
    effect: {
      kind: 'instead',
      of: ([name, , , whence]) => name === 'lseek' && (whence === 'SEEK_DATA' || whence === 'SEEK_HOLE'),
      call: ([, file, offset, whence]) =>
        whence === 'SEEK_DATA' ? ['lseek', file!, offset!, 'SEEK_SET'] : ['lseek', file!, 0, 'SEEK_END'],
    },
  },
  {
    limit: 'empty-chown',
    covers: 'chown to nobody and no group',
    cases: 3,
    effect: {
      kind: 'instead',
      of: ([name, , uid, gid]) => name === 'chown' && uid === -1 && gid === -1,
      call: nothing,
    },
  },
  {
    limit: 'one-time',
    covers: 'setting one time and leaving the other',
    cases: 3,
    effect: {
      kind: 'instead',
      of: (call) => setsTimes(call) && (call[2] === 'omit' || call[3] === 'omit'),
      call: nothing,
    },
  },
  {
    limit: 'one-time',
    covers: 'setting two times that differ',
    cases: 2,
    effect: {
      kind: 'instead',
      of: (call) => setsTimes(call) && !isSame(call[2], call[3]),
      call: ([name, place, access, , ...more]) => [name, place!, access!, access!, ...more],
    },
  },
  {
    limit: 'milliseconds',
    covers: 'setting times that are finer, or before 1970',
    cases: 2,
    effect: {
      kind: 'instead',
      of: (call) => setsTimes(call) && !isSame(call, inMilliseconds(call)),
      call: inMilliseconds,
    },
  },
  {
    limit: 'birth',
    covers: 'times of birth',
    cases: 4,
    effect: { kind: 'differs', of: named('statx'), so: lacksBirth },
  },
  {
    limit: 'caller',
    covers: 'making files as another user than the daemon',
    cases: 12,
    effect: {
      kind: 'instead',
      of: (call, { user }) => user !== 0 && makes(call),
      call: (call) => ['owned', call],
    },
  },
  {
    limit: 'caller',
    covers: 'names of trusted attributes, to another user than the daemon',
    cases: 1,
    effect: {
      kind: 'differs',
      of: ([name], { user }) => name === 'listxattr' && user !== 0,
      so: (mount, ext4) =>
        isSame(
          { ...mount, value: strings(mount.value).filter((name) => !name.startsWith('trusted.')) },
          ext4,
        ),
    },
  },
  {
    limit: 'hidden',
    covers: 'removing open files',
    cases: 5,
    effect: { kind: 'besides', of: named('close', 'munmap'), path: /(^|\/)\.fuse_hidden[0-9a-f]{16}$/ },
  },
  {
    limit: 'hard-links',
    covers: 'renaming an open file to its other name',
    cases: 1,
    effect: {
      kind: 'instead',
      of: (call, { where }) =>
        where === 'times: changed by each call' && isSame(call, ['rename', 'd/l', 'd/f']),
      call: () => ['unlink', 'd/l'],
    },
  },
  {
    limit: 'hard-links',
    covers: 'locks by another name of the file',
    cases: 3,
    effect: { kind: 'differs', of: named('flock', 'other'), so: isNotLocked },
  },
];

/** Limits that no case shows, and why. */
export const WITHOUT_CASES: Partial<Record<LimitId, string>> = {
  '32-bits': 'takes a store with inode numbers above 2^32',
  snapshots: 'local filesystems have none: see test/e2e/snapshots/snapshots.test.ts',
  listing: 'only takes time and memory',
  'one-request': 'only takes time',
  'time-out': 'takes 15 s',
  'option-string': 'is of mounting: see test/mount/fuse-native/option-string.test.ts',
  fusermount: 'is of the host',
  prebuilt: 'is of the host',
};

function isInRemovedDirectory({ where }: Context): boolean {
  return where === 'directories: removed while open or current';
}

function isNotUtf8(argument: Json): boolean {
  return typeof argument === 'string' && Buffer.from(argument, 'latin1').toString().includes('\ufffd');
}

function makes([name, , , flags]: Call): boolean {
  return MAKING.includes(name) || (name === 'open' && /O_CREAT/.test(String(flags)));
}

function setsTimes([name]: Call): boolean {
  return name === 'utimens' || name === 'futimens';
}

/** Times as the binding passes and shows them. */
function inMilliseconds([name, place, ...times]: Call): Call {
  const cut = (time: Json): Json => {
    if (!Array.isArray(time)) return time;
    const [seconds, nanos] = time.map(Number) as [number, number];
    if (nanos < 0 || nanos >= 1_000_000_000) return time;
    return seconds < 0 ? [0, 0] : [seconds, nanos - (nanos % 1_000_000)];
  };
  return [name, place!, ...times.map(cut)];
}

function lacksBirth(mount: Result, ext4: Result): boolean {
  const value = ext4.value as { mask: number };
  return isSame(mount, { ...ext4, value: { ...value, mask: value.mask & ~BIRTH } });
}

function strings(value: Json): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** Whether locks that ext4 refuses are given, or not seen, and nothing else differs. */
function isNotLocked(mount: Result, ext4: Result): boolean {
  const [ours, theirs] = [mount.value, ext4.value].map((value) => (Array.isArray(value) ? value : [value]));
  const given = ours!.every(
    (one, i) =>
      isSame(one, theirs![i]) ||
      (one === null && isSame(theirs![i], { error: 'EAGAIN' })) ||
      isSame(one, [F_UNLCK, 0, 0, 0]),
  );
  return given && isSame(mount.changed, ext4.changed);
}
