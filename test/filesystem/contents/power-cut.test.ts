/** Contents that a power cut left otherwise than their records say. */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Finding } from '../../../engine/index.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import { readMark, writeMark } from '../../../mount/filesystem/contents/content-mark.js';
import { bytes, CALLER, Fixture, O_WRONLY } from '../fixture.js';

const EIO = -constants.errno.EIO;

let f: Fixture;
beforeEach(() => {
  f = new Fixture(undefined, { rests: true });
});
afterEach(() => f.cleanUp());

const content = (path: string): string => contentPath(f.contentDirectory, f.stat(path).ino);

function check(): string[] {
  const found: Finding[] = [];
  checkNamespace(f.tree, f.contentDirectory, (finding) => found.push(finding));
  return found.map(({ kind, message }) => `${kind}: ${message}`);
}

/** What is there is durable from now on, as after a sync of the filesystem below. */
function syncContents(): void {
  const mark = readMark(f.tree)!;
  writeMark(f.tree, { ...mark, durableLsn: f.tree.lastLsn(), durableSeconds: Date.now() / 1000 });
}

const OLD = { mtimeSeconds: 1_000_000_000, mtimeNanos: 0 };

it('settles sizes before anybody sees them, with a new time', () => {
  for (const path of ['/short', '/gone', '/whole', '/empty']) f.write(path, 'ten bytes.');
  f.write('/empty', '');
  f.link('/short', '/second');
  for (const path of ['/short', '/gone', '/whole']) f.setattr(path, { valid: 32, ...OLD });
  truncateSync(content('/short'), 4);
  rmSync(content('/gone'));
  f.pretendReboot();
  expect(check().sort()).toEqual([
    expect.stringMatching(
      /^note: \/gone: its 10 bytes are missing .*a power cut left it so, and the next mount/,
    ),
    expect.stringMatching(/^note: inode 2: of its 10 bytes 4 are there .*the next mount settles it/),
  ]);
  f.open();
  const now = Date.now() / 1000;
  for (const [path, size] of [
    ['/short', 4],
    ['/second', 4],
    ['/gone', 0],
  ] as const) {
    const found = f.stat(path);
    expect([path, found.size, found.live]).toEqual([path, size, false]);
    expect(Math.abs(found.mtimeSeconds - now)).toBeLessThan(60);
    expect(found.ctimeSeconds).toBe(found.mtimeSeconds);
  }
  expect(f.stat('/whole')).toMatchObject({ size: 10, ...OLD });
  expect([f.read('/short'), f.read('/gone'), f.read('/whole')]).toEqual(['ten ', '', 'ten bytes.']);
  expect(f.logged).toEqual([
    {
      level: 'warn',
      message:
        'The machine came to an end while contents were not on the disk: 2 files have what is there, and the present time',
      count: 2,
      files: ['/gone: 10 bytes, now 0', 'inode 2: 10 bytes, now 4'],
    },
  ]);
  expect([check(), f.troubles.size]).toEqual([[], 0]);
});

it('settles what was open for writing', () => {
  const { fd, handle } = f.createPassed('/never-synced');
  writeFileSync(fd, 'lost');
  f.write('/a', 'hello');
  const writer = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
  f.fs.write(writer, Buffer.from('!'), 0, 1, 5);
  f.pretendReboot();
  f.open();
  expect(f.stat('/never-synced')).toMatchObject({ size: 0, live: false });
  expect(f.stat('/a')).toMatchObject({ size: 6, live: false });
  expect([f.read('/never-synced'), f.read('/a'), check()]).toEqual(['', 'hello!', []]);
  expect(handle).toBeGreaterThan(0);
});

it('is told without changing anything on a mount that only reads', () => {
  f.write('/a', 'ten bytes.');
  f.setattr('/a', { valid: 32, ...OLD });
  truncateSync(content('/a'), 4);
  f.pretendReboot();
  const lsn = f.tree.lastLsn();
  f.open({ readOnly: true });
  expect(f.stat('/a').size).toBe(4);
  expect(f.stat('/a').mtimeSeconds).toBeGreaterThan(OLD.mtimeSeconds);
  expect([f.read('/a'), f.lookup('/a'), f.tree.lastLsn()]).toEqual(['ten ', 0, lsn]);
  f.open();
  expect([f.stat('/a').size, f.read('/a')]).toEqual([4, 'ten ']);
});

it('is damage where the content was durable before, or the boot is the same', () => {
  f.write('/durable', 'ten bytes.');
  syncContents();
  truncateSync(content('/durable'), 4);
  // Long before the cut could come.
  const mark = readMark(f.tree)!;
  writeMark(f.tree, { ...mark, boot: 'another', durableSeconds: Date.now() / 1000 + 3600 });
  f.write('/later', 'x');
  expect(check()).toEqual([expect.stringMatching(/^damage: \/durable: of its 10 bytes 4 are there/)]);
  f.open();
  expect([f.stat('/durable').size, f.read('/durable'), f.read('/later')]).toEqual([10, EIO, 'x']);
  truncateSync(content('/later'), 0);
  f.open();
  expect(f.read('/later')).toBe(EIO);
});

it('is looked for among those alone that were written since contents were durable', () => {
  for (const path of ['/old', '/new']) f.write(path, 'ten bytes.');
  f.fs.close();
  const [old, young] = [content('/old'), content('/new')];
  syncContents();
  f.write('/new', 'TEN');
  for (const path of [old, young]) truncateSync(path, 4);
  f.pretendReboot();
  f.open();
  expect([f.stat('/old').size, f.stat('/new').size]).toEqual([10, 4]);
});

it('is looked for again where the start after it came to no end', () => {
  for (const path of ['/a', '/b']) f.write(path, 'ten bytes.');
  for (const path of ['/a', '/b']) truncateSync(content(path), 4);
  f.pretendReboot();
  const put = f.tree.compareAndPut.bind(f.tree);
  f.tree.compareAndPut = (key, version, value) => {
    f.tree.compareAndPut = () => {
      throw new Error('killed');
    };
    return put(key, version, value);
  };
  f.open();
  expect(f.logged.at(-1)?.message).toMatch(/^Cannot settle all that a power cut may have left.*killed/);
  f.tree.compareAndPut = put;
  f.open();
  expect([f.stat('/a').size, f.stat('/b').size]).toEqual([4, 4]);
});

it('settles an older file that changed in the last moment when it is opened', () => {
  f.write('/a', 'ten bytes.');
  syncContents();
  // Truncated and written, and the records of that are lost.
  truncateSync(content('/a'), 4);
  f.pretendReboot();
  expect(check()).toEqual([
    expect.stringMatching(/^note: \/a: .* a power cut left it so, and opening it settles it/),
  ]);
  f.open();
  expect(f.read('/a')).toBe('ten ');
  expect(f.stat('/a').size).toBe(4);
  expect(f.logged).toEqual([
    {
      level: 'warn',
      message:
        '/a: of its 10 bytes 4 are there; a power cut left it so: it has what is there, and the present time',
    },
  ]);
});
