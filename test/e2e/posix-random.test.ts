/**
 * As posix.test.ts, with random sequences of calls in a small tree. `SPINNEY_POSIX_RUNS=2000 SPINNEY_POSIX_SEED=1` makes
 * more of them, and others; a failure is shrunk to the calls that it takes.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { differingLines } from './posix/differences.js';
import { type Call, findExt4, KERNEL_DRIVER, Sides } from './posix/sides.js';

const EXT4 = findExt4();
const RUNS = Number(process.env.SPINNEY_POSIX_RUNS ?? 100);
const SEED = Number(process.env.SPINNEY_POSIX_SEED ?? 20_260_101);

const is = (name: string): fc.Arbitrary<string> => fc.constant(name);

// Few names, so that calls meet.
const path = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'd') },
  { weight: 6, arbitrary: fc.constantFrom('a/a', 'a/b', 'b/a', 'b/c') },
  { weight: 3, arbitrary: fc.constantFrom('a/b/a', 'a/b/c', 'b/a/a', 'c/a') },
  { weight: 1, arbitrary: fc.constantFrom('.', 'a/..') },
);
const handle = fc.constantFrom('h1', 'h2', 'h3');
const place = fc.oneof({ weight: 3, arbitrary: path }, { weight: 1, arbitrary: handle });
const mode = fc.constantFrom(0o777, 0o777, 0o755, 0o700, 0o644, 0o666, 0o1777, 0o2777, 0o4755, 0o2644, 0);
const id = fc.constantFrom(-1, 0, 1000, 2000);
const size = fc.constantFrom(0, 1, 5, 4096, 5000, 100_000);
const text = fc.constantFrom('', 'x', 'hello', 'y'.repeat(60));
const xattr = fc.constantFrom('user.a', 'user.b', 'trusted.t', 'security.s');
const time = fc.constantFrom('now', 'omit', [5, 6], [-7, 8], [4_000_000_000, 9]);
const flags = fc
  .tuple(
    fc.constantFrom('O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_PATH'),
    fc.subarray(['O_CREAT', 'O_EXCL', 'O_TRUNC', 'O_APPEND', 'O_NOFOLLOW', 'O_DIRECTORY'], { maxLength: 3 }),
  )
  .map(([access, others]) => [access, ...others].join('|'));
const list = fc
  .tuple(fc.nat(7), fc.nat(7), fc.nat(7), fc.nat(7), fc.nat(7), fc.nat(7))
  .map(([owner, user, group, named, mask, other]) => [
    [1, owner, 0xffff_ffff],
    [2, user, 1000],
    [4, group, 0xffff_ffff],
    [8, named, 2000],
    [0x10, mask, 0xffff_ffff],
    [0x20, other, 0xffff_ffff],
  ]);
const minimalList = fc.nat(0o777).map((bits) => [
  [1, bits >> 6, 0xffff_ffff],
  [4, (bits >> 3) & 7, 0xffff_ffff],
  [0x20, bits & 7, 0xffff_ffff],
]);
const groups = fc.constantFrom([], [2000]);

// Offsets and lengths around pages and blocks, in files of a few hundred kilobytes.
const range = fc.oneof(
  fc.constantFrom(0, 1, 4095, 4096, 4097, 8192, 65_536, 131_072, 200_000),
  fc.nat(300_000),
);
const file = fc.constantFrom('h1', 'h2', 'h3', 'h4');
const mapping = fc.constantFrom('m1', 'm2');

/** Calls on the contents of two files, each open twice, once for appending, and mapped. */
const contentCall: fc.Arbitrary<Call> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(is('fill'), file, range, range) },
  { weight: 4, arbitrary: fc.tuple(is('pread'), file, fc.constant(100), range) },
  { weight: 2, arbitrary: fc.tuple(is('write'), file, text) },
  { weight: 4, arbitrary: fc.tuple(is('ftruncate'), file, range) },
  { weight: 2, arbitrary: fc.tuple(is('truncate'), fc.constantFrom('f', 'g'), range) },
  { weight: 4, arbitrary: fc.tuple(is('fallocate'), file, fc.constantFrom(0, 1, 3, 16, 17), range, range) },
  { weight: 4, arbitrary: fc.tuple(is('copyrange'), file, file, range, range, range) },
  { weight: 4, arbitrary: fc.tuple(is('poke'), mapping, range, text) },
  { weight: 4, arbitrary: fc.tuple(is('peek'), mapping, range, fc.constant(50)) },
  { weight: 1, arbitrary: fc.tuple(is('msync'), mapping) },
  { weight: 1, arbitrary: fc.tuple(is('fsync'), file) },
  {
    weight: 2,
    arbitrary: fc.tuple(is('direct'), fc.constantFrom('f', 'g'), fc.constantFrom(4096, 16_384, 131_072)),
  },
  { weight: 4, arbitrary: fc.tuple(is('digest'), fc.constantFrom('f', 'g')) },
  { weight: 2, arbitrary: fc.tuple(is('fstat'), file) },
  {
    weight: 1,
    arbitrary: fc.tuple(
      is('open'),
      file,
      fc.constantFrom('f', 'g'),
      fc.constantFrom('O_RDWR', 'O_RDWR|O_TRUNC'),
    ),
  },
);

const CONTENT_SCENE: Call[] = [
  ['create', 'f'],
  ['open', 'h1', 'f', 'O_RDWR'],
  ['open', 'h2', 'f', 'O_RDWR|O_APPEND'],
  ['fill', 'h1', 100_000, 0],
  ['open', 'h3', 'g', 'O_RDWR|O_CREAT'],
  ['open', 'h4', 'g', 'O_RDWR'],
  ['fill', 'h3', 300_000, 0],
  ['mmap', 'm1', 'h1', 70_000],
  ['mmap', 'm2', 'h3', 300_000],
];

/** What is there at the beginning. */
const SCENE: Call[] = [
  ['umask', 0],
  ['mkdir', 'a', 0o777],
  ['mkdir', 'a/b', 0o2777],
  ['mkdir', 'b', 0o1777],
  ['create', 'a/a', 'in a', 0o666],
  ['create', 'b/a', 'in b', 0o644],
  ['create', 'c', 'top', 0o666],
  ['link', 'c', 'a/b/c'],
  ['symlink', 'a', 'd'],
  ['as', 1000, 1000, [2000]],
  ['create', 'a/b/a', 'of the user', 0o4755],
  ['open', 'h1', 'a/a', 'O_RDWR'],
  ['open', 'h2', 'a/b/c', 'O_RDWR'],
  ['open', 'h3', 'a', 'O_RDONLY|O_DIRECTORY'],
];

const call: fc.Arbitrary<Call> = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(is('mkdir'), path, mode) },
  { weight: 6, arbitrary: fc.tuple(is('create'), path, text, mode) },
  { weight: 8, arbitrary: fc.tuple(is('rename'), path, path, fc.constantFrom(0, 0, 1, 2, 2, 4)) },
  { weight: 4, arbitrary: fc.tuple(is('link'), path, path) },
  { weight: 4, arbitrary: fc.tuple(is('unlink'), path) },
  { weight: 3, arbitrary: fc.tuple(is('rmdir'), path) },
  { weight: 2, arbitrary: fc.tuple(is('symlink'), path, path) },
  { weight: 1, arbitrary: fc.tuple(is('socket'), path) },
  // A device that no driver has.
  {
    weight: 1,
    arbitrary: fc.tuple(
      is('mknod'),
      path,
      fc.constantFrom(0o020666, 0o100640),
      fc.constant(240),
      fc.constant(240),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(is('readlink'), path) },
  { weight: 1, arbitrary: fc.tuple(is('list'), path) },
  { weight: 1, arbitrary: fc.tuple(is('stat'), path) },
  { weight: 1, arbitrary: fc.tuple(is('fstat'), handle) },
  { weight: 1, arbitrary: fc.tuple(is('listfd'), handle) },
  { weight: 6, arbitrary: fc.tuple(is('open'), handle, path, flags, mode) },
  {
    weight: 3,
    arbitrary: fc.tuple(
      is('open'),
      handle,
      path,
      fc.constantFrom('O_TMPFILE|O_RDWR', 'O_TMPFILE|O_WRONLY|O_EXCL'),
      mode,
    ),
  },
  { weight: 3, arbitrary: fc.tuple(is('linkproc'), handle, path) },
  { weight: 3, arbitrary: fc.tuple(is('close'), handle) },
  { weight: 4, arbitrary: fc.tuple(is('write'), handle, text) },
  { weight: 2, arbitrary: fc.tuple(is('pwrite'), handle, text, size) },
  { weight: 2, arbitrary: fc.tuple(is('pread'), handle, size, size) },
  { weight: 2, arbitrary: fc.tuple(is('truncate'), path, size) },
  { weight: 2, arbitrary: fc.tuple(is('ftruncate'), handle, size) },
  { weight: 2, arbitrary: fc.tuple(is('fallocate'), handle, fc.constantFrom(0, 1, 3, 16, 17), size, size) },
  { weight: 2, arbitrary: fc.tuple(is('copyrange'), handle, handle, size, size, size) },
  { weight: 4, arbitrary: fc.tuple(is('chmod'), place, mode) },
  { weight: 4, arbitrary: fc.tuple(is('chown'), place, id, id) },
  { weight: 1, arbitrary: fc.tuple(is('lchown'), path, id, id) },
  { weight: 2, arbitrary: fc.tuple(is('utimens'), path, time, time) },
  { weight: 1, arbitrary: fc.tuple(is('futimens'), handle, time, time) },
  { weight: 3, arbitrary: fc.tuple(is('setxattr'), place, xattr, text, fc.constantFrom(0, 0, 1, 2)) },
  { weight: 1, arbitrary: fc.tuple(is('removexattr'), place, xattr) },
  { weight: 1, arbitrary: fc.tuple(is('listxattr'), place) },
  {
    weight: 3,
    arbitrary: fc.tuple(
      is('setacl'),
      place,
      fc.constantFrom('access', 'default'),
      fc.oneof(list, minimalList),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(is('getacl'), place, fc.constantFrom('access', 'default')) },
  { weight: 1, arbitrary: fc.tuple(is('access'), path, fc.nat(7)) },
  { weight: 4, arbitrary: fc.tuple(is('as'), fc.constantFrom(0, 0, 1000), fc.constantFrom(0, 1000), groups) },
  { weight: 1, arbitrary: fc.tuple(is('umask'), fc.constantFrom(0, 0o22, 0o77)) },
);

describe.skipIf(EXT4 === undefined)('random calls', () => {
  let sides: Sides;
  beforeAll(async () => {
    sides = new Sides(EXT4!, KERNEL_DRIVER);
    await sides.begin();
  });
  afterAll(() => sides.end());

  it('on contents do the same as on ext4', async () => {
    const property = fc.asyncProperty(
      fc.array(contentCall, { minLength: 1, maxLength: 50, size: 'max' }),
      async (random) => {
        const calls = [...CONTENT_SCENE, ...random];
        const answers = await sides.run(calls);
        // When a mapping is written back is the kernel's choice, and changes the times.
        for (const { results } of answers) for (const result of results) result.changed = {};
        const found = differingLines(calls, ...answers);
        if (found.length > 0) throw new Error(found.join('\n'));
      },
    );
    await fc.assert(property, { numRuns: Math.ceil(RUNS / 4), seed: SEED });
  });

  it('do the same as on ext4', async () => {
    const property = fc.asyncProperty(
      fc.array(call, { minLength: 1, maxLength: 50, size: 'max' }),
      async (random) => {
        const calls = [...SCENE, ...random];
        const [mounted, local] = await sides.run(calls);
        const found = differingLines(calls, mounted, local);
        if (found.length > 0) throw new Error(found.join('\n'));
      },
    );
    await fc.assert(property, { numRuns: RUNS, seed: SEED });
    // After a kill it is all there still.
    const [before] = await sides.look();
    await sides.restart('kill');
    const [mounted, local] = await sides.look();
    expect(mounted.inodes).toEqual(before.inodes);
    const found = differingLines([], mounted, local);
    expect(found, found.join('\n')).toEqual([]);
    expect(sides.complaints()).toEqual([]);
  });
});
