/** Content files that are missing, cut or grown: refused, told once, and never made to fit. */
import { rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Finding } from '../../../engine/index.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import { BackingError } from '../../../mount/filesystem/errno.js';
import { CHANGE_MODE, CHANGE_SIZE } from '../../../mount/filesystem/types.js';
import { bytes, CALLER, Fixture, O_RDONLY, O_RDWR, O_WRONLY, StepClock } from '../fixture.js';

const EIO = -constants.errno.EIO;
const O_TRUNC = 0o1000;
const TEXT = 'twenty bytes of text';

let f: Fixture;
let ino: number;
let path: string;
beforeEach(() => {
  f = new Fixture(undefined, { clock: new StepClock() });
  f.write('/a', TEXT);
  ({ ino } = f.stat('/a'));
  path = contentPath(f.contentDirectory, ino);
});
afterEach(() => f.cleanUp());

function damage(): string[] {
  const found: Finding[] = [];
  checkNamespace(f.tree, f.contentDirectory, (finding) => found.push(finding));
  return found.filter(({ kind }) => kind === 'damage').map(({ message }) => message);
}

describe.each([
  ['is missing', () => rmSync(path), 'its 20 bytes are missing'],
  ['was cut', () => truncateSync(path, 7), 'of its 20 bytes 7 are there'],
  ['has grown', () => writeFileSync(path, `${TEXT}!`), 'its content has 21 bytes, it should have 20'],
  ['was emptied', () => truncateSync(path, 0), 'of its 20 bytes 0 are there'],
])('a content that %s', (_how, harm, what) => {
  beforeEach(() => harm());

  it('is refused however it is opened, told once, and found by a check', () => {
    const before = f.stat('/a');
    const lsn = f.tree.lastLsn();
    for (const flags of [O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY]) {
      expect(f.fs.open(CALLER, bytes('/a'), flags)).toBe(EIO);
    }
    expect(f.setattr('/a', { valid: CHANGE_SIZE, size: 3 })).toBe(EIO);
    expect([...f.troubles]).toEqual([[ino, `/a (inode ${ino}): ${what}`]]);
    expect(f.logged).toEqual([
      { level: 'error', message: `Cannot open /a: the content of inode ${ino} is damaged: ${what}`, ino },
    ]);
    expect(damage()).toEqual([`/a: ${what} (inode ${ino})`]);
    expect(f.stat('/a')).toEqual(before);
    expect(f.tree.lastLsn()).toBe(lsn);
    expect(f.fs.stats()).toMatchObject({ openFiles: 0, openInodes: 0 });
  });

  it('stays so over a kill and a clean end', () => {
    f.open();
    expect(f.read('/a')).toBe(EIO);
    f.fs.close();
    f.open();
    expect([f.read('/a'), f.stat('/a').size]).toEqual([EIO, 20]);
    f.open({ readOnly: true });
    expect([f.read('/a'), f.stat('/a').size]).toEqual([EIO, 20]);
  });

  it('keeps nobody from what needs no content', () => {
    expect(f.setattr('/a', { valid: CHANGE_MODE, mode: 0o600 })).toBe(0);
    expect(f.link('/a', '/b')).toBe(0);
    expect(f.read('/b')).toBe(EIO);
    expect(damage()).toEqual([`inode ${ino}: ${what} (inode ${ino})`]);
    expect([f.rename('/b', '/c'), f.unlink('/a'), f.unlink('/c')]).toEqual([0, 0, 0]);
    f.fs.forget(ino);
    expect([f.scheduled, f.troubles.size]).toEqual([[ino], 0]);
  });

  it.each([
    ['by an open', () => f.fs.release(f.fs.open(CALLER, bytes('/a'), O_WRONLY | O_TRUNC))],
    ['by its path', () => f.setattr('/a', { valid: CHANGE_SIZE, size: 0 })],
  ])('is sound when it is replaced %s', (_way, replace) => {
    expect(f.read('/a')).toBe(EIO);
    expect(replace()).toBe(0);
    expect([f.stat('/a').size, f.read('/a'), f.troubles.size]).toEqual([0, '', 0]);
    f.write('/a', 'new');
    expect([f.read('/a'), damage()]).toEqual(['new', []]);
  });
});

it('a content that is missing while it was open for writing is refused after a kill', () => {
  const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
  f.fs.write(handle, Buffer.from('more'), 0, 4, 20);
  rmSync(path);
  f.open();
  expect(f.stat('/a').size).toBe(20);
  expect(f.read('/a')).toBe(EIO);
  expect(damage()).toEqual([`/a: its content is missing, and it was open for writing (inode ${ino})`]);
});

it('a file that is empty needs no content, and one that was made longer or has holes is what it is', () => {
  f.create('/empty');
  expect(f.read('/empty')).toBe('');
  expect(f.setattr('/a', { valid: CHANGE_SIZE, size: 30 })).toBe(0);
  expect(statSync(path).size).toBe(30);
  expect(f.read('/a')).toBe(TEXT + '\0'.repeat(10));
  f.write('/holes', 'x', 1 << 20);
  f.open();
  expect(f.fs.open(CALLER, bytes('/holes'), O_RDONLY)).toBeGreaterThan(0);
  expect(f.setattr('/a', { valid: CHANGE_SIZE, size: 0 })).toBe(0);
  rmSync(path);
  expect([f.read('/a'), damage(), f.troubles.size]).toEqual(['', [], 0]);
});

it('many damaged contents are told of and logged up to a limit', () => {
  for (let i = 0; i < 1_010; i++) {
    f.write(`/f${i}`, 'x');
    rmSync(contentPath(f.contentDirectory, f.stat(`/f${i}`).ino));
    expect(f.read(`/f${i}`)).toBe(EIO);
  }
  expect([f.troubles.size, f.logged.length]).toEqual([1_010, 1_001]);
  expect(f.logged.at(-1)?.message).toMatch(/^More contents are damaged, which are not logged/);
});

it('a content that the disk does not give is told, until it is replaced', () => {
  const reading = vi.spyOn(SystemDisk.prototype, 'read').mockImplementation(() => {
    throw new BackingError(constants.errno.EIO, 'Cannot read: EIO');
  });
  try {
    expect(f.read('/a')).toBe(EIO);
    expect(f.read('/a')).toBe(EIO);
    expect([...f.troubles]).toEqual([[ino, `/a (inode ${ino}): the disk fails to read it (EIO)`]]);
    expect(f.logged).toHaveLength(1);
  } finally {
    reading.mockRestore();
  }
  expect(f.setattr('/a', { valid: CHANGE_SIZE, size: 0 })).toBe(0);
  expect([...f.troubles]).toEqual([]);
});
