/** Backing files that are borrowed before it is known whether there will be any content. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkNamespace } from '../../../mount/check/namespace.js';
import { ContentFiles, contentPath } from '../../../mount/filesystem/contents/content.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import { NO_SPARE, nameSpare } from '../../../mount/filesystem/contents/spares/spare-files.js';
import * as types from '../../../mount/filesystem/types.js';
import { bytes, CALLER, Fixture, O_RDONLY, O_RDWR, O_WRONLY, StepClock } from '../fixture.js';

const E = constants.errno;

let f: Fixture;
beforeEach(() => {
  f = new Fixture(undefined, { rests: true, clock: new StepClock() });
});
afterEach(() => f.cleanUp());

const spares = (): string => join(f.contentDirectory, 'spares');
const named = (path: string): string => contentPath(f.contentDirectory, f.stat(path).ino);
const inode = (fd: number): number => fstatSync(fd).ino;
/** Content files that have a name. */
const files = (): string[] =>
  readdirSync(f.contentDirectory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.startsWith(spares()))
    .map((entry) => entry.name);
const put = (fd: number, text: string, at = 0): number => writeSync(fd, text, at);
const rest = (): boolean => f.fs.rest();

describe('a borrowed backing file', () => {
  it('serves the next file where it was not written, and leaves no content', () => {
    const first = f.createPassed('/a');
    const used = inode(first.fd);
    expect(f.fs.stats().liveInodes).toBe(1);
    expect(f.fs.release(first.handle)).toBe(0);
    const second = f.createPassed('/b');
    expect(inode(second.fd)).toBe(used);
    expect(f.fs.release(second.handle)).toBe(0);
    expect(files()).toEqual([]);
    expect(f.stat('/a')).toMatchObject({ size: 0, live: false });
    // Nothing is left to reclaim.
    expect([f.unlink('/a'), f.unlink('/b')]).toEqual([0, 0]);
    f.fs.forget(2);
    f.fs.forget(3);
    expect(f.scheduled).toEqual([]);
  });

  it('gets its name when it is released and was written', () => {
    const { handle, fd } = f.createPassed('/a');
    put(fd, 'hello');
    expect(f.stat('/a')).toMatchObject({ size: 5, live: true });
    expect(existsSync(named('/a'))).toBe(false);
    expect(f.fs.release(handle)).toBe(0);
    expect(readFileSync(named('/a'), 'latin1')).toBe('hello');
    expect(f.stat('/a')).toMatchObject({ size: 5, live: false });
    const next = f.createPassed('/b');
    expect(fstatSync(next.fd).size).toBe(0);
    f.fs.release(next.handle);
    expect([f.read('/a'), f.read('/b')]).toEqual(['hello', '']);
  });

  it('does not take the place of a content that its file got otherwise, after a kill', () => {
    const { handle } = f.createPassed('/a');
    f.fs.release(handle);
    expect(f.setattr('/a', { valid: types.CHANGE_SIZE, size: 7 })).toBe(0);
    f.open();
    expect([f.stat('/a').size, f.read('/a')]).toEqual([7, '\0'.repeat(7)]);
  });

  it('is not lent again once it was written', () => {
    const { handle, fd } = f.createPassed('/a');
    // So that its number is not given to another.
    const held = openSync(`/proc/self/fd/${fd}`, 'r');
    put(fd, 'secret');
    expect(f.unlink('/a')).toBe(0);
    f.fs.forget(2);
    f.fs.release(handle);
    const next = f.createPassed('/b');
    expect(inode(next.fd)).not.toBe(inode(held));
    expect(fstatSync(next.fd).size).toBe(0);
    f.fs.release(next.handle);
    closeSync(held);
    expect(files()).toEqual([]);
  });

  it('has the times of its record while it is unwritten, and its own from then on', () => {
    const { handle, fd } = f.createPassed('/a');
    const at = { mtimeSeconds: 1000, mtimeNanos: 7 };
    expect(f.setattr('/a', { valid: types.CHANGE_MTIME, ...at })).toBe(0);
    expect(f.stat('/a')).toMatchObject(at);
    rest();
    expect(f.stat('/a')).toMatchObject(at);
    f.open();
    expect(f.stat('/a')).toMatchObject({ size: 0, ...at });
    expect(f.fs.release(handle)).toBe(-E.EBADF);
    expect(fd).toBeGreaterThan(0);
    const other = f.createPassed('/b');
    f.setattr('/b', { valid: types.CHANGE_MTIME, ...at });
    put(other.fd, 'x');
    expect(f.stat('/b').mtimeSeconds).toBeGreaterThan(1000);
    f.fs.release(other.handle);
  });

  it('gets its name when somebody has time', () => {
    const { handle, fd } = f.createPassed('/a');
    rest();
    expect(statSync(named('/a')).ino).toBe(inode(fd));
    put(fd, 'hello');
    expect(f.stat('/a').size).toBe(5);
    f.fs.release(handle);
    expect(f.read('/a')).toBe('hello');
  });

  it('gets its name before it is synced', () => {
    const { handle, fd } = f.createPassed('/a');
    put(fd, 'hello');
    expect(f.fs.fsync(handle)).toBe(0);
    expect(statSync(named('/a')).ino).toBe(inode(fd));
    expect(f.fs.fsyncPlan(handle)).toMatchObject({ ino: 2, spare: NO_SPARE, names: false });
    f.fs.release(handle);
  });

  it('may get its name from another thread that syncs it', () => {
    const { handle, fd } = f.createPassed('/a', O_RDWR);
    put(fd, 'hello');
    const plan = f.fs.fsyncPlan(handle);
    expect(plan).toMatchObject({ ino: 2, identity: { file: inode(fd) }, spare: 0, names: true });
    const files = new ContentFiles(new SystemDisk(), f.contentDirectory, true);
    nameSpare(files, 0, 2, 0);
    nameSpare(files, 0, 2, 0);
    f.fs.fsynced(2, 0, plan!.identity!);
    expect(f.fs.fsyncPlan(handle)).toMatchObject({ ino: 2, spare: NO_SPARE, names: false });
    put(fd, 'again');
    f.fs.release(handle);
    expect(f.read('/a')).toBe('again');
  });

  it.each([
    ['before it is released', true],
    ['after it was released', false],
  ])('may get its name from a thread that comes %s', (_when, isBefore) => {
    const name = () => nameSpare(new ContentFiles(new SystemDisk(), f.contentDirectory, true), 0, 2, 0);
    const { handle, fd } = f.createPassed('/a', O_RDWR);
    put(fd, 'hello');
    const plan = f.fs.fsyncPlan(handle);
    if (isBefore) name();
    f.fs.release(handle);
    if (!isBefore) name();
    f.fs.fsynced(2, 0, plan!.identity!);
    expect(f.read('/a')).toBe('hello');
    expect(f.stat('/a').live).toBe(false);
  });

  it('is not lent again once another thread may give it a name', () => {
    const { handle } = f.createPassed('/a');
    f.fs.fsyncPlan(handle);
    f.fs.release(handle);
    const next = f.createPassed('/b');
    put(next.fd, 'hello');
    expect(() => nameSpare(new ContentFiles(new SystemDisk(), f.contentDirectory, true), 0, 2, 0)).toThrow(
      /ENOENT/,
    );
    f.fs.release(next.handle);
    expect([f.read('/a'), f.read('/b')]).toEqual(['', 'hello']);
  });

  it('gets its name before it takes the place of another file', () => {
    f.write('/a', 'old');
    const { handle, fd } = f.createPassed('/new');
    put(fd, 'hello');
    expect(existsSync(named('/new'))).toBe(false);
    expect(f.rename('/new', '/a')).toBe(0);
    expect(readFileSync(named('/a'), 'latin1')).toBe('hello');
    f.fs.release(handle);
  });

  it('is not lent again where a reader may have mapped it', () => {
    const { handle, fd } = f.createPassed('/a');
    const held = openSync(`/proc/self/fd/${fd}`, 'r');
    const reader = f.fs.open(CALLER, bytes('/a'), O_RDONLY);
    expect(f.fs.backing(reader)).toBe(fd);
    f.fs.release(reader);
    f.fs.release(handle);
    const next = f.createPassed('/b');
    expect(inode(next.fd)).not.toBe(inode(held));
    f.fs.release(next.handle);
    closeSync(held);
  });

  it('gets no name while only readers have it, and so leaves nothing behind', () => {
    const { handle } = f.createPassed('/a');
    const reader = f.fs.open(CALLER, bytes('/a'), O_RDONLY);
    f.fs.backing(reader);
    f.fs.release(handle);
    expect(rest()).toBe(false);
    expect(f.fs.fsync(reader)).toBe(0);
    expect(f.fs.fsyncPlan(reader)).toMatchObject({ names: false });
    expect(f.unlink('/a')).toBe(0);
    f.fs.release(reader);
    f.fs.forget(2);
    expect(files()).toEqual([]);
  });

  it('is shared by a reader, and stays with it', () => {
    const { handle, fd } = f.createPassed('/a');
    const reader = f.fs.open(CALLER, bytes('/a'), O_RDONLY);
    expect(f.fs.backing(reader)).toBe(fd);
    f.fs.release(handle);
    expect(f.stat('/a')).toMatchObject({ size: 0, live: false });
    const writer = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
    expect(f.fs.backing(writer)).toBe(fd);
    put(fd, 'again');
    f.fs.release(writer);
    f.fs.release(reader);
    expect(f.read('/a')).toBe('again');
  });

  it('is named at a change of size by its path', () => {
    const { handle } = f.createPassed('/a');
    expect(f.setattr('/a', { valid: types.CHANGE_SIZE, size: 3 })).toBe(0);
    f.fs.release(handle);
    expect(f.read('/a')).toBe('\0\0\0');
  });

  it('fails an open that finds no place for it, before there is a file', () => {
    writeFileSync(spares(), 'in the way');
    expect(f.createPassed('/a').handle).toBeLessThan(0);
    expect(f.lookup('/a')).toBe(-E.ENOENT);
    rmSync(spares());
    const { handle } = f.createPassed('/a');
    expect(handle).toBeGreaterThan(0);
    f.fs.release(handle);
  });

  it('begins anew after a disk was too full to begin', () => {
    const before = readdirSync('/proc/self/fd').length;
    mkdirSync(spares());
    // As /dev/full, which no link may lead to.
    execFileSync('mknod', [join(spares(), 'owners'), 'c', '1', '7']);
    expect(f.createPassed('/a').handle).toBe(-E.ENOSPC);
    expect(f.lookup('/a')).toBe(-E.ENOENT);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    rmSync(join(spares(), 'owners'));
    put(f.createPassed('/a').fd, 'hello');
    f.open();
    expect(f.read('/a')).toBe('hello');
  });

  describe('that cannot get its name', () => {
    let place: string;
    beforeEach(() => {
      const { handle, fd } = f.createPassed('/a');
      put(fd, 'hello');
      place = dirname(named('/a'));
      writeFileSync(place, 'in the way');
      expect(rest).toThrow(/EEXIST|ENOTDIR/);
      expect(f.fs.release(handle)).toBeLessThan(0);
    });

    it('is read and changed where it is, but not synced', () => {
      expect([f.stat('/a').size, f.read('/a')]).toEqual([5, 'hello']);
      expect(f.setattr('/a', { valid: types.CHANGE_SIZE, size: 3 })).toBe(0);
      expect([f.stat('/a').size, f.read('/a')]).toEqual([3, 'hel']);
      const handle = f.fs.open(CALLER, bytes('/a'), O_RDWR);
      expect([f.fs.fsyncPlan(handle), f.fs.fsync(handle) < 0]).toEqual([undefined, true]);
      rmSync(place);
      expect([f.fs.fsync(handle), f.fs.release(handle)]).toEqual([0, 0]);
      expect(readFileSync(named('/a'), 'latin1')).toBe('hel');
    });

    it('is found after a kill, whatever was done to it meanwhile', () => {
      expect(f.read('/a')).toBe('hello');
      f.write('/a', 'HE');
      rmSync(place);
      f.open();
      expect(f.read('/a')).toBe('HEllo');
    });

    it('gets it when somebody has time', () => {
      rmSync(place);
      expect(rest()).toBe(false);
      expect(readFileSync(named('/a'), 'latin1')).toBe('hello');
    });

    it('is removed with its file', () => {
      expect(f.unlink('/a')).toBe(0);
      f.fs.forget(2);
      expect(f.scheduled).toEqual([2]);
      rmSync(place);
      f.fs.close();
      f.open();
      expect(files()).toEqual([]);
    });

    it('is left to the next start at a clean end, whatever comes in between', () => {
      f.fs.close();
      rmSync(place);
      f.open();
      expect(f.read('/a')).toBe('hello');
      expect(statSync(named('/a')).size).toBe(5);
    });
  });
});

describe('what may be mapped', () => {
  const open = (fd: number): number => openSync(`/proc/self/fd/${fd}`, 'r+');

  it('goes back where nobody writes to it', () => {
    const { handle, fd } = f.createPassed('/a', O_RDWR);
    const used = inode(fd);
    f.fs.release(handle);
    expect(f.stat('/a').live).toBe(false);
    const next = f.createPassed('/b', O_RDWR);
    expect(inode(next.fd)).toBe(used);
    f.fs.release(next.handle);
  });

  it('stays with its file while somebody may still write', () => {
    const { handle, fd } = f.createPassed('/a', O_RDWR);
    const other = open(fd);
    f.fs.release(handle);
    expect(f.stat('/a')).toMatchObject({ size: 0, live: true });
    put(other, 'later');
    expect(f.stat('/a').size).toBe(5);
    closeSync(other);
    expect(f.stat('/a')).toMatchObject({ size: 5, live: false });
    expect(f.read('/a')).toBe('later');
  });

  it('keeps a time that the filesystem below cannot have, set before or after it is left', () => {
    const times = [2 ** 34, -(2 ** 33)].map((mtimeSeconds) => ({ mtimeSeconds, mtimeNanos: 0 }));
    const { handle, fd } = f.createPassed('/a', O_RDWR);
    put(fd, 'hello');
    const other = open(fd);
    f.setattr('/a', { valid: types.CHANGE_MTIME, ...times[0] });
    f.fs.release(handle);
    expect(f.stat('/a')).toMatchObject({ ...times[0], live: true });
    f.setattr('/a', { valid: types.CHANGE_MTIME, ...times[1] });
    expect(f.stat('/a')).toMatchObject({ ...times[1], live: true });
    // An opening in between changes nothing.
    f.fs.release(f.fs.open(CALLER, bytes('/a'), O_RDONLY));
    expect(f.stat('/a')).toMatchObject({ ...times[1], live: true });
    closeSync(other);
    expect(f.stat('/a')).toMatchObject({ ...times[1], live: false });
  });

  it('is not lent again when its file was removed', () => {
    const { handle, fd } = f.createPassed('/a', O_RDWR);
    const other = open(fd);
    f.unlink('/a');
    f.fs.forget(2);
    f.fs.release(handle);
    put(other, 'later');
    const next = f.createPassed('/b');
    expect(inode(next.fd)).not.toBe(inode(other));
    expect(f.stat('/b').size).toBe(0);
    closeSync(other);
    f.fs.release(next.handle);
  });

  it.each([
    ['taken away', () => f.fs.close()],
    ['killed', () => {}],
  ])('is left to who has it when the mount is %s', async (_how, end) => {
    f.createPassed('/a');
    const script = 'exec 3<>"$0"; echo; read line; printf later >&3; exec 3>&-; echo; read line';
    const writer = spawn('sh', ['-c', script, join(spares(), '0/0')]);
    try {
      await once(writer.stdout, 'data');
      end();
      f.open();
      expect(f.stat('/a')).toMatchObject({ size: 0, live: true });
      writer.stdin.write('\n');
      await once(writer.stdout, 'data');
      expect(f.stat('/a')).toMatchObject({ size: 5, live: false });
    } finally {
      writer.kill('SIGKILL');
    }
    expect(f.read('/a')).toBe('later');
  });
});

describe('after the daemon was killed', () => {
  const written = (text = 'hello'): void => {
    const { fd } = f.createPassed('/a');
    f.createPassed('/b');
    put(fd, text);
  };

  it('contents get their names', () => {
    written();
    f.open();
    expect([f.read('/a'), f.read('/b')]).toEqual(['hello', '']);
    expect(readFileSync(named('/a'), 'latin1')).toBe('hello');
    // Somebody may have that of the other open still.
    expect(files()).toEqual(['2', '3']);
    expect(existsSync(spares())).toBe(false);
  });

  it('contents are read where they are without changing anything', () => {
    written();
    f.open({ readOnly: true });
    expect([f.read('/a'), f.stat('/a').size, f.read('/b')]).toEqual(['hello', 5, '']);
    expect(files()).toEqual([]);
    f.open();
    expect(f.read('/a')).toBe('hello');
  });

  it('a check tells of them', () => {
    written();
    const findings: string[] = [];
    checkNamespace(f.tree, f.contentDirectory, ({ message }) => findings.push(message));
    expect(findings.filter((message) => message.includes('spares'))).toEqual([
      expect.stringMatching(
        /spares\/0\/0: it is the content of inode 2, and gets its place at the next mount/,
      ),
    ]);
  });

  it('those of removed files are removed', () => {
    written();
    f.unlink('/a');
    f.open();
    expect(f.scheduled).toEqual([2]);
    expect(files()).toEqual(['2', '3']);
  });

  it('and the machine too, what was not synced is lost, and nobody gets it', () => {
    const { handle, fd } = f.createPassed('/a');
    put(fd, 'synced');
    expect(f.fs.fsync(handle)).toBe(0);
    const lost = f.createPassed('/b');
    put(lost.fd, 'not synced');
    f.pretendReboot();
    f.open();
    expect([f.read('/a'), f.read('/b')]).toEqual(['synced', '']);
    expect(files()).toEqual(['2']);
    expect(existsSync(spares())).toBe(false);
  });
});
