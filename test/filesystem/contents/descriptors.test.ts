/** Many open files, few descriptors: what is closed is opened again by name, wherever that is, and is the same file. */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ContentFiles, contentPath } from '../../../mount/filesystem/contents/content.js';
import { mostContents, RESERVED_DESCRIPTORS } from '../../../mount/filesystem/contents/descriptors.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import { nameSpare } from '../../../mount/filesystem/contents/spares/spare-files.js';
import * as types from '../../../mount/filesystem/types.js';
import { bytes, CALLER, Fixture, O_RDONLY, O_RDWR, O_WRONLY } from '../fixture.js';

const E = constants.errno;
const MOST = 2;
const FILES = 12;

let f: Fixture;
let most: number;

function begin(rests: boolean): void {
  most = MOST;
  f = new Fixture(undefined, { rests, mostContents: () => most });
}
beforeEach(() => begin(true));
afterEach(() => f.cleanUp());

/** Files open in this process whose content is in the store. */
function openContents(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(`${f.contentDirectory}/`) && !path.endsWith('/owners') ? [path] : [];
    } catch {
      return [];
    }
  });
}

interface Held {
  path: string;
  handle: number;
  /** As the kernel holds what it passes through. */
  held: number;
}

/** As a driver opens a file that the kernel then holds by itself. */
function createHeld(path: string): Held {
  const { handle, fd } = f.createPassed(path, O_RDWR);
  return { path, handle, held: openSync(`/proc/self/fd/${fd}`, 'r+') };
}

function release({ handle, held }: Held): void {
  closeSync(held);
  expect(f.fs.release(handle)).toBe(0);
}

/** Uses so many others that what was open before is closed. */
function pushOut(): void {
  for (const name of ['/x', '/y']) {
    if (f.lookup(name) !== 0) f.write(name, name);
  }
  const handles = ['/x', '/y'].map((name) => f.fs.open(CALLER, bytes(name), O_RDONLY));
  for (const handle of handles) f.fs.release(handle);
}

describe('with more open files than descriptors', () => {
  it('only as many are open as may be, and each has its own content', () => {
    const all = Array.from({ length: FILES }, (_, i) => createHeld(`/${i}`));
    for (const { path, held } of all) writeSync(held, `content of ${path}`);
    expect(f.fs.stats()).toMatchObject({ openInodes: FILES, openContents: MOST });
    for (const { path, handle } of all) {
      const text = `content of ${path}`;
      expect(f.stat(path)).toMatchObject({ size: text.length, live: true });
      const into = Buffer.alloc(100);
      expect(f.fs.read(handle, into, 0, 100, 0)).toBe(text.length);
      expect(into.toString('latin1', 0, text.length)).toBe(text);
      expect(f.fs.fsync(handle)).toBe(0);
    }
    expect(f.fs.stats().openContents).toBe(MOST);
    for (const file of all) release(file);
    expect(f.fs.stats()).toMatchObject({ openInodes: 0, openContents: 0 });
    for (const { path } of all) expect(f.read(path)).toBe(`content of ${path}`);
  });

  it('a stat opens nothing', () => {
    const file = createHeld('/a');
    writeSync(file.held, 'hello');
    pushOut();
    closeSync(file.held);
    expect(openContents()).toEqual([]);
    expect(f.stat('/a')).toMatchObject({ size: 5, live: true });
    expect(openContents()).toEqual([]);
    f.fs.release(file.handle);
  });

  it('a copy has both of its files at hand', () => {
    f.write('/from', 'hello');
    const from = f.fs.open(CALLER, bytes('/from'), O_RDONLY);
    const to = createHeld('/to');
    for (let i = 0; i < 3; i++) {
      pushOut();
      expect(f.fs.copyRange(from, 0, to.handle, 5 * i, 5)).toBe(5);
    }
    release(to);
    f.fs.release(from);
    expect(f.read('/to')).toBe('hellohellohello');
  });

  it.each([O_WRONLY, O_RDWR])('an unwritten spare that was closed leaves no content (flags %s)', (flags) => {
    const { handle } = f.createPassed('/a', flags);
    pushOut();
    expect(f.stat('/a')).toMatchObject({ size: 0, live: true });
    f.fs.release(handle);
    expect(f.stat('/a')).toMatchObject({ size: 0, live: false });
    const next = createHeld('/b');
    writeSync(next.held, 'hello');
    release(next);
    expect([f.read('/a'), f.read('/b')]).toEqual(['', 'hello']);
  });

  it.each(['rest', 'rename', 'unlink', 'fsync'])('what got its name by %s is found again', (how) => {
    const file = createHeld('/a');
    writeSync(file.held, 'hello');
    pushOut();
    if (how === 'fsync') expect(f.fs.fsync(file.handle)).toBe(0);
    if (how === 'rename') {
      f.write('/b', 'old');
      expect(f.rename('/a', '/b')).toBe(0);
    }
    if (how === 'unlink') expect(f.unlink('/a')).toBe(0);
    pushOut();
    const into = Buffer.alloc(5);
    expect(f.fs.read(file.handle, into, 0, 5, 0)).toBe(5);
    expect(into.toString()).toBe('hello');
    expect(f.fs.fallocate(file.handle, 0, 0, 10)).toBe(0);
    release(file);
    if (how !== 'unlink') expect(f.stat(how === 'rename' ? '/b' : '/a').size).toBe(10);
  });

  it.each([true, false])('what another thread names, told: %s, is found again and kept', (isTold) => {
    const file = createHeld('/a');
    writeSync(file.held, 'hello');
    const plan = f.fs.fsyncPlan(file.handle)!;
    pushOut();
    nameSpare(new ContentFiles(new SystemDisk(), f.contentDirectory, true), plan.spare, plan.ino, plan.born);
    if (isTold) f.fs.fsynced(plan.ino, plan.born, plan.identity!);
    expect(f.stat('/a').size).toBe(5);
    const into = Buffer.alloc(5);
    expect(f.fs.read(file.handle, into, 0, 5, 0)).toBe(5);
    pushOut();
    release(file);
    expect(f.read('/a')).toBe('hello');
  });

  it('fewer are kept open once the process may have fewer', () => {
    most = FILES;
    f.fs.rest();
    const all = Array.from({ length: FILES }, (_, i) => createHeld(`/${i}`));
    expect(f.fs.stats().openContents).toBe(FILES);
    most = MOST;
    f.fs.rest();
    expect(f.fs.stats().openContents).toBeLessThanOrEqual(MOST);
    for (const { held } of all) writeSync(held, 'x');
    for (const file of all) release(file);
    expect(f.read('/5')).toBe('x');
  });
});

describe('a content that was closed and is not there any more', () => {
  let handle: number;
  let path: string;
  beforeEach(() => {
    begin(false);
    f.write('/a', 'hello');
    path = contentPath(f.contentDirectory, f.stat('/a').ino);
    handle = f.fs.open(CALLER, bytes('/a'), O_RDWR);
    pushOut();
    expect(openContents()).toEqual([]);
  });

  function expectRefused(): void {
    const into = Buffer.alloc(5);
    expect(f.fs.read(handle, into, 0, 5, 0)).toBe(-E.EIO);
    expect(f.fs.write(handle, into, 0, 5, 0)).toBe(-E.EIO);
    expect(f.fs.fsync(handle)).toBe(-E.EIO);
    expect(openContents()).toEqual([]);
  }

  it('is an error', () => {
    rmSync(path);
    expectRefused();
  });

  it('is not taken for the file that is in its place', () => {
    const { ino } = statSync(path);
    // Also where the filesystem below gives the same number again.
    for (let i = 0; i < 50 && (i === 0 || statSync(path).ino !== ino); i++) {
      rmSync(path);
      writeFileSync(path, 'other');
    }
    expectRefused();
    expect(readFileSync(path, 'latin1')).toBe('other');
  });

  it('is what it was after its directory was away', () => {
    const place = dirname(path);
    renameSync(place, `${place}-away`);
    mkdirSync(place);
    expectRefused();
    rmSync(place, { recursive: true });
    renameSync(`${place}-away`, place);
    expect(f.fs.write(handle, Buffer.from('HE'), 0, 2, 0)).toBe(2);
    f.fs.release(handle);
    expect(f.read('/a')).toBe('HEllo');
  });
});

it('random changes of a few files that are all open agree with a model', () => {
  const files = fc.nat(4);
  const text = fc.string({ minLength: 1, maxLength: 4, unit: fc.constantFrom('a', 'b', 'c') });
  const change = fc.tuple(
    files,
    fc.constantFrom('write', 'pass', 'cut', 'sync', 'rest', 'name', 'stat'),
    text,
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(change, { maxLength: 40 }), (rests, changes) => {
      f.cleanUp();
      begin(rests);
      const all = Array.from({ length: 5 }, (_, i) => ({ ...createHeld(`/${i}`), content: '' }));
      for (const [which, how, add] of changes) {
        const file = all[which]!;
        const at = file.content.length;
        if (how === 'write') f.fs.write(file.handle, Buffer.from(add), 0, add.length, at);
        if (how === 'pass') writeSync(file.held, add, at);
        if (how === 'write' || how === 'pass') file.content += add;
        if (how === 'cut') {
          file.content = file.content.slice(0, 2);
          expect(f.setattr(file.path, { valid: types.CHANGE_SIZE, size: file.content.length })).toBe(0);
        }
        if (how === 'sync') expect(f.fs.fsync(file.handle)).toBe(0);
        if (how === 'rest') f.fs.rest();
        if (how === 'name') {
          const plan = f.fs.fsyncPlan(file.handle)!;
          if (plan.names && file.content !== '') {
            if (plan.spare >= 0)
              nameSpare(
                new ContentFiles(new SystemDisk(), f.contentDirectory, true),
                plan.spare,
                plan.ino,
                plan.born,
              );
            if (add.length > 2) f.fs.fsynced(plan.ino, plan.born, plan.identity!);
          }
        }
        expect(f.stat(file.path).size).toBe(file.content.length);
        expect(f.fs.stats().openContents).toBeLessThanOrEqual(MOST);
      }
      for (const file of all) release(file);
      for (const { path, content } of all) expect(f.read(path)).toBe(content);
    }),
    { numRuns: 150 },
  );
});

it('a reserve is left of what the process may have', () => {
  expect(mostContents(1024)).toBe(1024 - RESERVED_DESCRIPTORS);
  expect(mostContents(Number.POSITIVE_INFINITY)).toBe(4096);
  expect(mostContents(64)).toBe(16);
});
