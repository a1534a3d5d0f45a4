/** Sums of directories and limits, for any tree: the model's and the engine's. */
import { ftruncateSync, writeSync } from 'node:fs';
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeOperations } from '../../../engine/api.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { CHANGE_SIZE, type StatFs } from '../../../mount/filesystem/types.js';
import { seededRandom } from '../../support/disk/random.js';
import { bytes, CALLER, Fixture, O_RDWR, O_WRONLY, split } from '../fixture.js';

const E = constants.errno;
const ROOT = { ...CALLER, uid: 0 };
const [EXCHANGE, KEEP_SIZE, INSERT_RANGE] = [2, 0x01, 0x20];

export function sumsSuite(name: string, makeTree: () => TreeOperations): void {
  describe(`sums and limits over ${name}`, () => {
    let f: Fixture;
    beforeEach(() => {
      f = new Fixture(makeTree());
    });
    afterEach(() => f.cleanUp());

    const get = (path: string, key: string): string | number => {
      const value = f.fs.getxattr(bytes(path), bytes(key));
      return typeof value === 'number' ? value : Buffer.from(value).toString();
    };
    const sum = (path: string, key: string): number => Number(get(path, `spinney.dir.${key}`));
    const limit = (path: string, what: 'bytes' | 'files', value: string): number =>
      f.fs.setxattr(ROOT, bytes(path), bytes(`spinney.quota.${what}`), bytes(value), 0);
    const symlink = (path: string, target: string): number => {
      const { parent, name: child } = split(path);
      return f.fs.symlink(CALLER, parent, child, bytes(target), newAttributes());
    };
    const truncate = (path: string, size: number): number => f.setattr(path, { valid: CHANGE_SIZE, size });

    /** What a walk finds below the directory, as the attributes tell it. */
    function walk(path: string): Record<string, number> {
      const sums = { entries: 0, files: 0, subdirs: 0, rentries: 0, rfiles: 0, rsubdirs: 0, rbytes: 0 };
      const visit = (directory: string, isTop: boolean): void => {
        for (const child of f.list(directory)) {
          const { mode, size, nlink } = f.stat(`${directory}/${child}`);
          const isDirectory = (mode & 0o170000) === 0o040000;
          const kind = isDirectory ? 'subdirs' : 'files';
          sums.rentries++;
          sums[`r${kind}`]++;
          if (isTop) {
            sums.entries++;
            sums[kind]++;
          }
          if (isDirectory) visit(`${directory}/${child}`, false);
          else if (nlink === 1) sums.rbytes += size;
        }
      };
      visit(path, true);
      return sums;
    }
    function told(path: string): Record<string, number> {
      const keys = ['entries', 'files', 'subdirs', 'rentries', 'rfiles', 'rsubdirs', 'rbytes'];
      return Object.fromEntries(keys.map((key) => [key, sum(path, key)]));
    }

    it('tells what is in a directory and below it', () => {
      f.mkdir('/a');
      f.mkdir('/a/b');
      f.mkdir('/a/b/c');
      f.write('/a/one', 'x'.repeat(100));
      f.write('/a/b/two', 'x'.repeat(7));
      f.write('/a/b/c/three', 'x'.repeat(3));
      symlink('/a/b/link', 'target');
      expect(told('/a')).toEqual({
        entries: 2,
        files: 1,
        subdirs: 1,
        rentries: 6,
        rfiles: 4,
        rsubdirs: 2,
        rbytes: 116,
      });
      expect(told('')).toEqual(walk(''));
      expect(told('/a/b/c')).toEqual(walk('/a/b/c'));
      // They are in no list, and only of directories; nobody sets them.
      expect(f.fs.listxattr(ROOT, bytes('/a'))).toEqual(new Uint8Array(0));
      expect(get('/a/one', 'spinney.dir.rbytes')).toBe(-E.ENODATA);
      expect(get('/a', 'spinney.dir.other')).toBe(-E.ENODATA);
      expect(f.fs.setxattr(ROOT, bytes('/a'), bytes('spinney.dir.rbytes'), bytes('1'), 0)).toBe(-E.EPERM);
      expect(f.fs.removexattr(ROOT, bytes('/a'), bytes('spinney.dir.rbytes'))).toBe(-E.EPERM);
    });

    it('counts open files as they are now, also what is written past it', () => {
      f.mkdir('/d');
      f.write('/d/rest', 'four');
      f.create('/d/open');
      const handle = f.fs.open(CALLER, bytes('/d/open'), O_WRONLY);
      f.fs.write(handle, Buffer.alloc(1000), 0, 1000, 500);
      expect(sum('/d', 'rbytes')).toBe(1504);
      const { handle: passed, fd } = f.createPassed('/d/passed');
      writeSync(fd, Buffer.alloc(70));
      expect(sum('/d', 'rbytes')).toBe(1574);
      ftruncateSync(fd, 4000);
      expect(sum('/d', 'rbytes')).toBe(5504);
      expect(sum('', 'rbytes')).toBe(5504);
      f.fs.release(handle);
      f.fs.release(passed);
      expect(sum('/d', 'rbytes')).toBe(5504);
      expect(told('/d')).toEqual(walk('/d'));
    });

    it('counts a file with several names in each directory, and its bytes once, at the root', () => {
      f.mkdir('/a');
      f.mkdir('/b');
      f.write('/a/f', 'x'.repeat(50));
      f.link('/a/f', '/b/f');
      expect([sum('/a', 'rbytes'), sum('/b', 'rbytes'), sum('', 'rbytes')]).toEqual([0, 0, 50]);
      expect([sum('/a', 'files'), sum('/b', 'rfiles'), sum('', 'rfiles')]).toEqual([1, 1, 2]);
      f.unlink('/a/f');
      f.unlink('/b/f');
      expect(sum('', 'rbytes')).toBe(0);
    });

    it('agrees with a walk after random operations', () => {
      const random = seededRandom(11);
      const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
      const paths = ['', '/a', '/b', '/a/c', '/a/d', '/b/e', '/b/e/g'];
      const names = ['x', 'y', 'c', 'd', 'e', 'g'];
      for (let i = 0; i < 600; i++) {
        const [one, other] = [`${pick(paths)}/${pick(names)}`, `${pick(paths)}/${pick(names)}`];
        const acts: (() => unknown)[] = [
          () => f.mkdir(pick(paths.slice(1))),
          () => f.write(one, 'x'.repeat(Math.floor(random() * 100))),
          () => f.unlink(one),
          () => f.rmdir(one),
          () => f.rename(one, other, random() < 0.2 ? EXCHANGE : 0),
          () => truncate(one, Math.floor(random() * 5000)),
          () => symlink(one, 'somewhere'),
        ];
        pick(acts)();
        if (i % 10 !== 0) continue;
        for (const path of paths) {
          if (f.lookup(path === '' ? '/none' : path) !== 0) continue;
          if ((f.stat(path).mode & 0o170000) === 0o040000) expect(told(path)).toEqual(walk(path));
        }
        expect(told('')).toEqual(walk(''));
      }
    });

    it('sets limits with units, reads them back in plain numbers, and ends them', () => {
      f.mkdir('/d');
      const cases: [string, string | number][] = [
        ['4096', '4096'],
        ['10K', '10240'],
        ['1.5M', String(1.5 * 2 ** 20)],
        ['2 GiB', String(2 ** 31)],
        ['3t', String(3 * 2 ** 40)],
        ['7\0', '7'],
      ];
      for (const [value, expected] of cases) {
        expect(limit('/d', 'bytes', value)).toBe(0);
        expect(get('/d', 'spinney.quota.bytes')).toBe(expected);
      }
      for (const bad of ['', 'x', '-1', '1X', '1e3', '9999999P']) {
        expect(limit('/d', 'bytes', bad)).toBe(-E.EINVAL);
      }
      expect(limit('/d', 'files', '1K')).toBe(-E.EINVAL);
      expect(get('/d', 'spinney.quota.files')).toBe(-E.ENODATA);
      expect(limit('/d', 'bytes', '0')).toBe(0);
      expect(get('/d', 'spinney.quota.bytes')).toBe(-E.ENODATA);
      limit('/d', 'files', '5');
      expect(f.fs.removexattr(ROOT, bytes('/d'), bytes('spinney.quota.files'))).toBe(0);
      expect(f.fs.removexattr(ROOT, bytes('/d'), bytes('spinney.quota.files'))).toBe(-E.ENODATA);
      f.write('/d/f', '');
      expect(limit('/d/f', 'bytes', '1')).toBe(-E.ENOTDIR);
      // The tests run as root, so another user is nobody of this mount.
      const asUser = f.fs.setxattr(CALLER, bytes('/d'), bytes('spinney.quota.bytes'), bytes('1'), 0);
      expect(asUser).toBe(process.geteuid?.() === CALLER.uid ? 0 : -E.EPERM);
    });

    it('refuses every kind of name beyond a limit of files, and nothing is done', () => {
      f.mkdir('/q');
      f.mkdir('/q/sub');
      f.write('/q/sub/one', '');
      f.mkdir('/away');
      f.write('/away/file', '');
      limit('/q', 'files', '3');
      expect(f.create('/q/two')).toBe(0);
      expect(f.create('/q/three')).toBe(-E.EDQUOT);
      expect(f.mkdir('/q/sub/three')).toBe(-E.EDQUOT);
      expect(symlink('/q/three', 'x')).toBe(-E.EDQUOT);
      expect(f.link('/away/file', '/q/three')).toBe(-E.EDQUOT);
      expect(f.rename('/away/file', '/q/three')).toBe(-E.EDQUOT);
      expect(f.rename('/away', '/q/sub/three')).toBe(-E.EDQUOT);
      const out = newAttributes();
      const nameless = f.fs.createNameless(CALLER, bytes('/q'), 0o600, O_RDWR, out);
      expect(f.fs.link(CALLER, out.ino, bytes('/q'), bytes('three'), newAttributes())).toBe(-E.EDQUOT);
      f.fs.release(nameless);
      // What is there already is told first; what makes way for another does; what stays inside may move.
      expect(f.mkdir('/q/sub')).toBe(-E.EEXIST);
      expect(f.rename('/away/file', '/q/two')).toBe(0);
      expect(f.rename('/q/two', '/q/sub/two')).toBe(0);
      expect(sum('/q', 'rentries')).toBe(3);
      f.unlink('/q/sub/two');
      expect(f.create('/q/again')).toBe(0);
      expect(f.create('/q/more')).toBe(-E.EDQUOT);
      limit('/q', 'files', '0');
      expect(f.create('/q/more')).toBe(0);
    });

    it('refuses every way to more bytes beyond a limit, to the byte', () => {
      f.mkdir('/q');
      f.write('/q/one', 'x'.repeat(600));
      limit('/q', 'bytes', '1000');
      expect(f.write('/q/two', 'x'.repeat(401))).toBe(-E.EDQUOT);
      expect(f.stat('/q/two').size).toBe(0);
      expect(f.write('/q/two', 'x'.repeat(400))).toBe(0);
      expect(f.write('/q/two', 'x')).toBe(0);
      expect(f.write('/q/two', 'xx', 399)).toBe(-E.EDQUOT);
      expect(truncate('/q/one', 601)).toBe(-E.EDQUOT);
      expect(f.stat('/q/one').size).toBe(600);
      expect(symlink('/q/link', 'x')).toBe(-E.EDQUOT);
      const handle = f.fs.open(CALLER, bytes('/q/one'), O_RDWR);
      expect(f.fs.fallocate(handle, 0, 600, 1)).toBe(-E.EDQUOT);
      expect(f.fs.fallocate(handle, INSERT_RANGE, 0, 4096)).toBe(-E.EDQUOT);
      expect(f.fs.fallocate(handle, KEEP_SIZE, 600, 100)).toBe(0);
      expect(f.fs.copyRange(handle, 0, handle, 590, 20)).toBe(-E.EDQUOT);
      expect(f.fs.copyRange(handle, 0, handle, 590, 10)).toBe(10);
      f.fs.release(handle);
      f.write('/large', 'x'.repeat(10));
      expect(f.rename('/large', '/q/large')).toBe(-E.EDQUOT);
      expect(sum('/q', 'rbytes')).toBe(1000);
      // Less makes room, at once.
      expect(truncate('/q/two', 300)).toBe(0);
      expect(f.rename('/large', '/q/large')).toBe(0);
      expect(f.write('/q/two', 'x'.repeat(90), 300)).toBe(0);
      expect(f.write('/q/two', 'x', 390)).toBe(-E.EDQUOT);
      expect(sum('/q', 'rbytes')).toBe(1000);
      // Nothing is passed to the kernel there, whose writes would not be seen.
      const passed = f.createPassed('/q/passed');
      expect(passed.fd).toBe(-E.ENOENT);
      expect(f.fs.write(passed.handle, Buffer.from('x'), 0, 1, 0)).toBe(-E.EDQUOT);
      f.fs.release(passed.handle);
    });

    it('holds all limits that are above; the least room is what is told', () => {
      f.mkdir('/q');
      f.mkdir('/q/in');
      f.mkdir('/q/in/most');
      limit('/q', 'bytes', '100');
      limit('/q/in', 'bytes', '1000');
      limit('/q/in/most', 'files', '2');
      expect(f.write('/q/in/most/f', 'x'.repeat(101))).toBe(-E.EDQUOT);
      expect(f.write('/q/in/most/f', 'x'.repeat(100))).toBe(0);
      expect(f.create('/q/in/most/g')).toBe(0);
      expect(f.create('/q/in/most/h')).toBe(-E.EDQUOT);
      expect(f.write('/elsewhere', 'x'.repeat(5000))).toBe(0);
      const out = {} as StatFs;
      limit('/q', 'bytes', '1M');
      limit('/q/in', 'bytes', '2M');
      expect(f.fs.statfs(bytes('/q/in/most/f'), out)).toBe(0);
      expect(out.blocks * out.blockSize).toBe(2 ** 20);
      expect(out.blocksFree).toBe(Math.floor((2 ** 20 - 100) / out.blockSize));
      expect([out.files, out.filesFree]).toEqual([2, 0]);
      f.fs.statfs(bytes('/elsewhere'), out);
      expect(out.blocks * out.blockSize).toBeGreaterThan(2 ** 24);
    });

    it('directories take their limits along, and lose them with their end; they are there after a start', () => {
      f.mkdir('/a');
      f.mkdir('/a/q');
      limit('/a/q', 'files', '1');
      f.create('/a/q/one');
      expect(f.rename('/a', '/b')).toBe(0);
      expect(get('/b/q', 'spinney.quota.files')).toBe('1');
      expect(f.create('/b/q/two')).toBe(-E.EDQUOT);
      f.mkdir('/c');
      expect(f.rename('/b/q', '/c', EXCHANGE)).toBe(0);
      expect(f.create('/c/two')).toBe(-E.EDQUOT);
      expect(f.create('/b/q/two')).toBe(0);
      f.open();
      expect(f.create('/c/two')).toBe(-E.EDQUOT);
      f.unlink('/c/one');
      expect(f.rmdir('/c')).toBe(0);
      f.mkdir('/c');
      expect(get('/c', 'spinney.quota.files')).toBe(-E.ENODATA);
      limit('/c', 'files', '1');
      f.mkdir('/d');
      expect(f.rename('/d', '/c')).toBe(0);
      expect(get('/c', 'spinney.quota.files')).toBe(-E.ENODATA);
      f.open();
      f.create('/c/one');
      expect(f.create('/c/two')).toBe(0);
    });

    it('what moves into a limited directory takes its room with it, and leaves it again', () => {
      f.mkdir('/q');
      f.mkdir('/tree');
      f.mkdir('/tree/below');
      f.write('/tree/below/f', 'x'.repeat(80));
      limit('/q', 'bytes', '100');
      expect(f.rename('/tree', '/q/tree')).toBe(0);
      expect(f.write('/q/more', 'x'.repeat(21))).toBe(-E.EDQUOT);
      expect(f.rename('/q/tree', '/tree')).toBe(0);
      expect(f.write('/q/more', 'x'.repeat(21))).toBe(0);
      expect(f.rename('/tree', '/q/tree')).toBe(-E.EDQUOT);
      f.mkdir('/q/small');
      expect(f.rename('/tree', '/q/small', EXCHANGE)).toBe(-E.EDQUOT);
      f.unlink('/q/more');
      expect(f.rename('/tree', '/q/small', EXCHANGE)).toBe(0);
      expect(sum('/q', 'rbytes')).toBe(80);
    });
  });
}
