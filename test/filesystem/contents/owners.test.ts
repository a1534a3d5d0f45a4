/** The table of owners, damaged in every way after the daemon was killed: what can be told is told, all else is refused. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../../engine/index.js';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import { OWNER_BYTES } from '../../../mount/filesystem/contents/spares/owner-table.js';
import { leftSpares } from '../../../mount/filesystem/contents/spares/spare-recovery.js';
import { bytes, CALLER, Fixture, O_RDONLY, StepClock } from '../fixture.js';

const EIO = -constants.errno.EIO;
const TEXTS: Record<string, string> = { '/a': 'first', '/b': 'the second', '/c': '3' };
const FILES = Object.keys(TEXTS);

let f: Fixture;
/** After a kill: three files with contents, one open for writing without, and the spare of one that was closed. */
beforeEach(() => {
  f = new Fixture(undefined, { rests: true, clock: new StepClock() });
  for (const path of FILES) writeSync(f.createPassed(path).fd, TEXTS[path]!);
  f.createPassed('/empty');
  f.fs.release(f.createPassed('/closed').handle);
});
afterEach(() => f.cleanUp());

const spare = (number: number): string => join(f.contentDirectory, 'spares/0', number.toString(16));
const owners = (): string => join(f.contentDirectory, 'spares/owners');
const slotOf = (number: number): number => number + 1;

function damage(): string[] {
  const found: Finding[] = [];
  checkNamespace(f.tree, f.contentDirectory, (finding) => found.push(finding));
  return found.filter(({ kind }) => kind === 'damage').map(({ message }) => message);
}

/** What each spare with something in it is told to be, by inode. */
function told(): Record<string, string> {
  const { lent } = leftSpares(new SystemDisk(), f.contentDirectory, false, 0);
  return Object.fromEntries([...lent].map(([ino, { path }]) => [ino, readFileSync(path, 'latin1')]));
}

/** Each file has its content or is refused; those that are refused. */
function refused(): string[] {
  const results = FILES.map((path) => [path, f.read(path)] as const);
  for (const [path, result] of results) if (result !== EIO) expect(result).toBe(TEXTS[path]);
  return results.filter(([, result]) => result === EIO).map(([path]) => path);
}

describe('the table of owners', () => {
  it('tells the same with any bit flipped', () => {
    const table = readFileSync(owners());
    const expected = told();
    expect(Object.values(expected).sort()).toEqual(['', '', ...Object.values(TEXTS)].sort());
    expect(table.length).toBe(6 * OWNER_BYTES);
    for (let bit = 0; bit < table.length * 8; bit++) {
      table[bit >> 3]! ^= 1 << (bit & 7);
      writeFileSync(owners(), table);
      expect([bit, told()]).toEqual([bit, expected]);
      table[bit >> 3]! ^= 1 << (bit & 7);
    }
  });

  it('tells of no inode whose spare was given back, once there was time', () => {
    f.fs.rest();
    expect(told()).toEqual({});
    expect(f.createPassed('/next').handle).toBeGreaterThan(0);
    expect(told()).toEqual({ 7: '' });
  });

  it('never tells anything wrong with any byte changed, and says which entries it cannot tell', () => {
    const table = readFileSync(owners());
    const expected = told();
    for (let at = 0; at < table.length; at++) {
      const damaged = Buffer.from(table);
      damaged[at]! ^= 0xa5;
      writeFileSync(owners(), damaged);
      expect(leftSpares(new SystemDisk(), f.contentDirectory, false, 0).damagedEntries).toBe(1);
      for (const [ino, text] of Object.entries(told())) expect(text).toBe(expected[ino]);
    }
  });

  it('gives what it still tells its name, keeps what is nobody’s, and refuses who misses it', () => {
    const table = readFileSync(owners());
    table.fill(0xff, slotOf(1) * OWNER_BYTES, slotOf(2) * OWNER_BYTES);
    writeFileSync(owners(), table);
    expect(damage()).toEqual([
      expect.stringMatching(/^\/b: its content is missing, and it was open for writing \(inode 3\)$/),
      expect.stringMatching(/spares\/0\/1: 10 bytes of a file that cannot be told/),
      expect.stringMatching(/spares\/owners: 1 entries are damaged$/),
    ]);
    f.open();
    expect([...f.troubles]).toEqual([[3, expect.stringMatching(/^\/b \(inode 3\): its content is missing/)]]);
    expect(f.logged.map(({ level }) => level)).toEqual(['error', 'error']);
    expect(refused()).toEqual(['/b']);
    // Once is enough.
    expect(f.logged.length).toBe(2);
    const unclaimed = join(f.contentDirectory, 'unclaimed');
    const [kept] = readdirSync(unclaimed);
    expect(readFileSync(join(unclaimed, kept!), 'latin1')).toBe(TEXTS['/b']);
    expect(damage()).toEqual([
      expect.stringMatching(/^\/b: its content is missing/),
      expect.stringMatching(/unclaimed\/.*: 10 bytes of a file that could not be told after a kill/),
    ]);
    // The record waits for who knows better.
    expect(f.stat('/b').size).toBe(0);
    f.open();
    expect(refused()).toEqual(['/b']);
    expect(f.unlink('/b')).toBe(0);
    f.fs.forget(3);
    rmSync(unclaimed, { recursive: true });
    expect([damage(), f.troubles.size]).toEqual([[], 0]);
  });

  it.each([
    ['is lost', () => rmSync(owners())],
    ['is empty', () => truncateSync(owners(), 0)],
    ['is all zeros', () => writeFileSync(owners(), Buffer.alloc(6 * OWNER_BYTES))],
    ['is lost with all spares', () => rmSync(join(f.contentDirectory, 'spares'), { recursive: true })],
  ])('that %s leaves nobody an empty file', (_how, lose) => {
    lose();
    expect(damage().filter((message) => message.includes('content is missing'))).toHaveLength(4);
    f.open();
    expect(refused()).toEqual(FILES);
    expect(f.read('/empty')).toBe(EIO);
    expect(f.read('/closed')).toBe('');
    expect([...f.troubles.keys()]).toEqual([2, 3, 4, 5]);
  });

  it('that was cut tells what is left of it', () => {
    for (const size of [6, 5, 4, 3].map((entries) => entries * OWNER_BYTES - 7)) {
      const expected = told();
      truncateSync(owners(), size);
      for (const [ino, text] of Object.entries(told())) expect(text).toBe(expected[ino]);
    }
    f.open();
    expect(refused()).toEqual(['/b', '/c']);
  });

  it('knows a spare wherever it lies', () => {
    renameSync(spare(0), spare(99));
    renameSync(spare(1), spare(0));
    renameSync(spare(99), spare(1));
    expect(damage()).toEqual([]);
    f.open();
    expect(refused()).toEqual([]);
  });

  it('does not take another file for the spare', () => {
    rmSync(spare(0));
    writeFileSync(spare(0), 'not it');
    f.open();
    expect(refused()).toEqual(['/a']);
    expect(readdirSync(join(f.contentDirectory, 'unclaimed'))).toHaveLength(1);
  });

  it('goes by numbers in a copy of the store', () => {
    const copy = join(f.directory, 'copy');
    cpSync(f.contentDirectory, copy, { recursive: true, preserveTimestamps: true });
    rmSync(f.contentDirectory, { recursive: true });
    renameSync(copy, f.contentDirectory);
    expect(damage()).toEqual([]);
    f.open();
    expect(refused()).toEqual([]);
    expect(f.read('/empty')).toBe('');
  });

  it('of a version before is refused', () => {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    writeFileSync(owners(), Buffer.concat([Buffer.from(boot), Buffer.alloc(100)]));
    expect(damage()).toEqual(
      expect.arrayContaining([expect.stringMatching(/owners: version 0\.1\.0 was killed/)]),
    );
    expect(() => f.open()).toThrow(/Cannot read .*owners: version 0\.1\.0 was killed and left it/);
    expect(existsSync(spare(0))).toBe(true);
    rmSync(owners());
    f.open();
  });

  it('is told before the record is, so that a file without its content is never a new one', () => {
    const put = f.tree.atomic.bind(f.tree);
    f.tree.atomic = () => {
      throw Object.assign(new Error('killed'), { errno: -constants.errno.EINTR });
    };
    expect(f.createPassed('/late').handle).toBe(-constants.errno.EINTR);
    f.tree.atomic = put;
    f.open();
    expect(f.lookup('/late')).toBe(-constants.errno.ENOENT);
    expect(damage()).toEqual([]);
    expect(f.fs.open(CALLER, bytes('/empty'), O_RDONLY)).toBeGreaterThan(0);
  });
});
