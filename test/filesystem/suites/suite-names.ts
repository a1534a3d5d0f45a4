/** Directory entries and links, and what fails as a whole, for any tree: the model's and the engine's. */
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeOperations } from '../../../engine/api.js';
import { SpinneyError } from '../../../engine/errors.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import * as types from '../../../mount/filesystem/types.js';
import { ModelTree } from '../../support/model-tree.js';
import { bytes, CALLER, Fixture, newResult, O_RDONLY, O_RDWR, StepClock } from '../fixture.js';

const E = constants.errno;

export function namesSuite(name: string, makeTree: () => TreeOperations): void {
  describe(`filesystem over ${name}`, () => {
    let f: Fixture;
    beforeEach(() => {
      f = new Fixture(makeTree(), { clock: new StepClock() });
    });
    afterEach(() => f.cleanUp());

    describe('entries', () => {
      it('gives a new store a root', () => {
        const root = f.stat('');
        expect(root.ino).toBe(1);
        expect(root.mode).toBe(0o040755);
        expect(root.nlink).toBe(2);
      });

      it('creates a file with the caller as owner and tells the parent', () => {
        const before = f.stat('');
        expect(f.create('/a', 0o640)).toBe(0);
        const a = f.stat('/a');
        expect([a.mode, a.uid, a.gid, a.nlink, a.size, a.blocks]).toEqual([0o100640, 1000, 2000, 1, 0, 0]);
        expect(a.atimeSeconds).toBe(a.btimeSeconds);
        const root = f.stat('');
        expect(root.mtimeSeconds).toBeGreaterThan(before.mtimeSeconds);
        expect(root.ctimeSeconds).toBe(root.mtimeSeconds);
      });

      it('refuses names that exist, are too long or are no names', () => {
        f.create('/a');
        expect(f.create('/a')).toBe(-E.EEXIST);
        expect(f.mkdir('/a')).toBe(-E.EEXIST);
        expect(f.create(`/${'n'.repeat(255)}`)).toBe(0);
        expect(f.create(`/${'n'.repeat(256)}`)).toBe(-E.ENAMETOOLONG);
        expect(f.lookup(`/${'n'.repeat(256)}`)).toBe(-E.ENAMETOOLONG);
        expect(f.mkdir('/.')).toBe(-E.EINVAL);
        expect(f.mkdir('/..')).toBe(-E.EINVAL);
        expect(f.create('/missing/a')).toBe(-E.ENOENT);
        expect(f.create('/a/b')).toBe(-E.ENOTDIR);
        expect(f.lookup('/nothing')).toBe(-E.ENOENT);
      });

      it('keeps names of any bytes', () => {
        expect(f.create('/\xff\xfe\x01\n')).toBe(0);
        expect(f.list('')).toEqual(['\xff\xfe\x01\n']);
      });

      it('inherits group and setgid from a setgid directory', () => {
        f.mkdir('/d');
        f.setattr('/d', { valid: types.CHANGE_GID | types.CHANGE_MODE, gid: 77, mode: 0o2775 });
        f.create('/d/f');
        f.mkdir('/d/e');
        expect(f.stat('/d/f').gid).toBe(77);
        expect(f.stat('/d/e').gid).toBe(77);
        expect(f.stat('/d/e').mode).toBe(0o042755);
      });

      it('makes special files and symbolic links', () => {
        const out = newAttributes();
        expect(f.fs.mknod(CALLER, bytes(''), bytes('p'), 0o010600, 5, out)).toBe(0);
        expect([out.mode, out.rdev]).toEqual([0o010600, 0]);
        expect(f.fs.mknod(CALLER, bytes(''), bytes('c'), 0o020600, 0x103, out)).toBe(0);
        expect(f.stat('/c').rdev).toBe(0x103);
        expect(f.fs.mknod(CALLER, bytes(''), bytes('x'), 0o170000, 0, out)).toBe(-E.EINVAL);
        expect(f.fs.symlink(CALLER, bytes(''), bytes('l'), bytes('../\xfftarget'), out)).toBe(0);
        expect([out.mode, out.size]).toEqual([0o120777, 10]);
        expect(Buffer.from(f.fs.readlink(bytes('/l')) as Uint8Array).toString('latin1')).toBe(
          '../\xfftarget',
        );
        expect(f.fs.readlink(bytes('/c'))).toBe(-E.EINVAL);
        expect(f.fs.open(CALLER, bytes('/p'), O_RDONLY)).toBe(-E.ENXIO);
      });

      it('never gives an inode number twice, over restarts', () => {
        f.create('/a');
        const first = f.stat('/a').ino;
        f.unlink('/a');
        f.open();
        f.create('/b');
        expect(f.stat('/b').ino).toBeGreaterThan(first);
      });
    });

    describe('removal', () => {
      it('unlinks files and removes empty directories only', () => {
        f.create('/a');
        f.mkdir('/d');
        f.create('/d/x');
        expect(f.stat('').nlink).toBe(3);
        expect(f.rmdir('/a')).toBe(-E.ENOTDIR);
        expect(f.unlink('/d')).toBe(-E.EISDIR);
        expect(f.rmdir('/d')).toBe(-E.ENOTEMPTY);
        expect(f.unlink('/d/x')).toBe(0);
        expect(f.rmdir('/d')).toBe(0);
        expect(f.rmdir('/d')).toBe(-E.ENOENT);
        expect(f.unlink('/nothing')).toBe(-E.ENOENT);
        expect(f.stat('').nlink).toBe(2);
      });

      it('does not take a sibling with the same beginning for a child', () => {
        f.mkdir('/d');
        f.create('/d!');
        f.create('/d0');
        expect(f.rmdir('/d')).toBe(0);
        expect(f.list('')).toEqual(['d!', 'd0']);
      });

      it('keeps an unlinked file usable by number until it is forgotten', () => {
        f.write('/a', 'hello');
        const result = newResult();
        const { ino } = f.stat('/a');
        expect(f.unlink('/a', result)).toBe(0);
        expect([result.removedIno, result.removedLinks]).toEqual([ino, 0]);
        expect(f.stat(ino)).toMatchObject({ nlink: 0, size: 5 });
        expect(f.setattr(ino, { valid: types.CHANGE_MODE, mode: 0o600 })).toBe(0);
        const handle = f.fs.open(CALLER, ino, O_RDWR);
        expect(f.fs.write(handle, Buffer.from('!'), 0, 1, 5)).toBe(1);
        expect(f.fs.release(handle)).toBe(0);
        expect(f.stat(ino)).toMatchObject({ mode: 0o100600, size: 6 });
        expect(f.scheduled).toEqual([]);
        f.fs.forget(ino);
        expect(f.scheduled).toEqual([ino]);
        f.reclaimed([ino]);
        expect(f.fs.getattr(ino, newAttributes())).toBe(-E.ENOENT);
        f.open();
        expect(f.scheduled).toEqual([ino]);
      });

      it('reclaims at the next start what was orphaned at the crash', () => {
        f.write('/a', 'x');
        f.create('/empty');
        const { ino } = f.stat('/a');
        f.unlink('/a');
        f.unlink('/empty');
        f.open();
        expect(f.scheduled).toEqual([ino]);
      });

      it('gives a nameless file that is written after all an orphan record', () => {
        const handle = f.fs.create(CALLER, bytes(''), bytes('t'), 0o600, O_RDWR, false, newAttributes());
        const { ino } = f.stat('/t');
        f.unlink('/t');
        expect(f.fs.write(handle, Buffer.from('abc'), 0, 3, 0)).toBe(3);
        expect(f.stat(ino).size).toBe(3);
        f.open();
        expect(f.scheduled).toEqual([ino]);
      });

      it('gives no orphan record to what leaves nothing to reclaim', () => {
        f.create('/a');
        f.mkdir('/d');
        const inos = [f.stat('/a').ino, f.stat('/d').ino];
        f.unlink('/a');
        f.rmdir('/d');
        for (const ino of inos) expect(f.stat(ino).nlink).toBe(0);
        expect(f.tree.isPrefixEmpty('o')).toBe(true);
        for (const ino of inos) f.fs.forget(ino);
        expect(f.fs.stats().orphans).toBe(0);
        expect(f.scheduled).toEqual([]);
      });
    });

    describe('links', () => {
      it('shares one inode among names, and its xattrs', () => {
        f.write('/a', 'one');
        f.fs.setxattr(CALLER, bytes('/a'), bytes('user.k'), bytes('v'), 0);
        expect(f.link('/a', '/b')).toBe(0);
        expect(f.link('/b', '/c')).toBe(0);
        expect(f.stat('/a')).toEqual(f.stat('/c'));
        expect(f.stat('/a').nlink).toBe(3);
        f.write('/b', 'TWO!');
        expect(f.read('/c')).toBe('TWO!');
        expect(f.fs.getxattr(bytes('/c'), bytes('user.k'))).toEqual(Uint8Array.from(bytes('v')));
        expect(f.unlink('/a')).toBe(0);
        const result = newResult();
        expect(f.unlink('/b', result)).toBe(0);
        expect(result.removedLinks).toBe(1);
        expect(f.stat('/c').nlink).toBe(1);
        expect(f.fs.getxattr(bytes('/c'), bytes('user.k'))).toEqual(Uint8Array.from(bytes('v')));
        const { ino } = f.stat('/c');
        f.unlink('/c');
        expect(f.fs.getxattr(ino, bytes('user.k'))).toEqual(Uint8Array.from(bytes('v')));
        f.fs.forget(ino);
        f.reclaimed(f.scheduled);
        for (const prefix of ['i', 'o', 'x', 'y']) expect(f.tree.isPrefixEmpty(prefix)).toBe(true);
      });

      it('refuses directories and existing names', () => {
        f.mkdir('/d');
        f.create('/a');
        expect(f.link('/d', '/e')).toBe(-E.EPERM);
        expect(f.link('/a', '/d')).toBe(-E.EEXIST);
        expect(f.link('/nothing', '/e')).toBe(-E.ENOENT);
      });

      it('follows an open file over its first link', () => {
        const handle = f.fs.create(CALLER, bytes(''), bytes('a'), 0o600, O_RDWR, false, newAttributes());
        f.fs.write(handle, Buffer.from('12345'), 0, 5, 0);
        f.link('/a', '/b');
        expect(f.fs.release(handle)).toBe(0);
        expect(f.stat('/b').size).toBe(5);
        expect(f.stat('/a').live).toBe(false);
      });
    });

    describe('rename', () => {
      it('moves files and replaces files', () => {
        f.write('/a', 'A');
        f.write('/b', 'B');
        const [a, b] = [f.stat('/a').ino, f.stat('/b').ino];
        const result = newResult();
        expect(f.rename('/a', '/b', 1)).toBe(-E.EEXIST);
        expect(f.rename('/a', '/b', 8)).toBe(-E.EINVAL);
        expect(f.rename('/a', '/b', 0, result)).toBe(0);
        expect(result).toEqual({ removedIno: b, removedLinks: 0, movedIno: a });
        expect(f.read('/b')).toBe('A');
        expect(f.lookup('/a')).toBe(-E.ENOENT);
        expect(f.rename('/nothing', '/b')).toBe(-E.ENOENT);
      });

      it('changes the ctime of what it moves, and of both parents', () => {
        f.mkdir('/to');
        f.create('/a');
        const before = [f.stat('/a'), f.stat(''), f.stat('/to')];
        expect(f.rename('/a', '/to/a')).toBe(0);
        const after = [f.stat('/to/a'), f.stat(''), f.stat('/to')];
        expect(after.map((a, i) => a.ctimeSeconds > before[i]!.ctimeSeconds)).toEqual([true, true, true]);
        expect(after.map((a, i) => a.mtimeSeconds > before[i]!.mtimeSeconds)).toEqual([false, true, true]);
      });

      it('keeps the rules of types', () => {
        f.create('/f');
        f.mkdir('/d');
        f.mkdir('/e');
        f.create('/e/x');
        expect(f.rename('/f', '/d')).toBe(-E.EISDIR);
        expect(f.rename('/d', '/f')).toBe(-E.ENOTDIR);
        expect(f.rename('/d', '/e')).toBe(-E.ENOTEMPTY);
        expect(f.rename('/e', '/e/sub')).toBe(-E.EINVAL);
        expect(f.rename('/e', '/e')).toBe(0);
        expect(f.rename('/e', '/d')).toBe(0);
        expect(f.list('/d')).toEqual(['x']);
        expect(f.stat('').nlink).toBe(3);
      });

      it('does nothing between two names of one inode', () => {
        f.create('/a');
        f.link('/a', '/b');
        expect(f.rename('/a', '/b')).toBe(0);
        expect(f.list('')).toEqual(['a', 'b']);
      });

      it('moves a directory with all below, its xattrs, open files and listings', () => {
        f.mkdir('/d');
        f.mkdir('/to');
        f.mkdir('/d/sub');
        f.create('/d/sub/deep');
        f.create('/d!');
        f.fs.setxattr(CALLER, bytes('/d'), bytes('user.d'), bytes('1'), 0);
        f.fs.setxattr(CALLER, bytes('/d/sub/deep'), bytes('user.x'), bytes('2'), 0);
        const handle = f.fs.open(CALLER, bytes('/d/sub/deep'), O_RDWR);
        f.fs.write(handle, Buffer.from('content'), 0, 7, 0);
        const listing = f.fs.opendir(bytes('/d/sub'));
        expect(f.rename('/d', '/to/moved')).toBe(0);
        expect(f.readdir(listing, 0).map((e) => e.name)).toEqual(['.', '..', 'deep']);
        expect(f.fs.release(handle)).toBe(0);
        expect(f.stat('/to/moved/sub/deep')).toMatchObject({ size: 7, live: false });
        expect(f.read('/to/moved/sub/deep')).toBe('content');
        expect(f.fs.getxattr(bytes('/to/moved'), bytes('user.d'))).toEqual(Uint8Array.from(bytes('1')));
        expect(f.fs.getxattr(bytes('/to/moved/sub/deep'), bytes('user.x'))).toEqual(
          Uint8Array.from(bytes('2')),
        );
        expect(f.list('')).toEqual(['d!', 'to']);
        expect([f.stat('').nlink, f.stat('/to').nlink]).toEqual([3, 3]);
      });

      it('moves a directory of any size in one mutation', () => {
        f.mkdir('/d');
        f.create('/d/a');
        f.fs.setxattr(CALLER, bytes('/d/a'), bytes('user.k'), bytes('v'), 0);
        const record = f.tree.get('d/d/a')!;
        for (let from = 0; from < 50_000; from += 10_000) {
          f.tree.atomic((batch) => {
            for (let i = from; i < from + 10_000; i++) batch.put(`d/d/${i}`, record);
          });
        }
        const lsn = f.tree.lastLsn();
        expect(f.rename('/d', '/e')).toBe(0);
        expect(f.tree.lastLsn()).toBe(lsn + 1);
        expect(f.tree.isPrefixEmpty('d/d')).toBe(true);
        expect(f.list('/e')).toHaveLength(50_001);
        expect(Buffer.from(f.fs.getxattr(bytes('/e/a'), bytes('user.k')) as Uint8Array).toString()).toBe('v');
      });

      it('orphans an open file that it replaces', () => {
        f.write('/a', 'new');
        f.write('/b', 'old');
        const handle = f.fs.open(CALLER, bytes('/b'), O_RDWR);
        const { ino } = f.stat('/b');
        f.rename('/a', '/b');
        const into = Buffer.alloc(3);
        expect(f.fs.read(handle, into, 0, 3, 0)).toBe(3);
        expect(into.toString()).toBe('old');
        f.fs.release(handle);
        f.fs.forget(ino);
        expect(f.scheduled).toEqual([ino]);
        expect(f.read('/b')).toBe('new');
      });
    });

    it('is all or nothing where the tree fails', () => {
      f.create('/a');
      const model = f.tree;
      if (!(model instanceof ModelTree)) return;
      for (const [code, errno] of [
        ['ERR_NO_SPACE', E.ENOSPC],
        ['ERR_READ_ONLY', E.EROFS],
        ['ERR_JOURNAL_FAILED', E.EIO],
      ] as const) {
        model.failure = new SpinneyError(code, 'Cannot put: as the test wants it');
        expect(f.create('/b')).toBe(-errno);
        expect(f.unlink('/a')).toBe(-errno);
        expect(f.rename('/a', '/c')).toBe(-errno);
        model.failure = undefined;
        expect(f.list('')).toEqual(['a']);
      }
    });

    it('tells the space of the filesystem below', () => {
      const out = {
        blockSize: 0,
        blocks: 0,
        blocksFree: 0,
        blocksAvailable: 0,
        files: 0,
        filesFree: 0,
        nameMax: 0,
      };
      expect(f.fs.statfs(new Uint8Array(0), out)).toBe(0);
      expect(out.blockSize).toBeGreaterThan(0);
      expect(out.nameMax).toBe(255);
    });

    it('refuses to work in a removed directory', () => {
      f.mkdir('/d');
      const { ino } = f.stat('/d');
      const listing = f.fs.opendir(bytes('/d'));
      f.rmdir('/d');
      expect(f.fs.mkdir(CALLER, ino, bytes('x'), 0o755, newAttributes())).toBe(-E.ENOENT);
      expect(f.fs.lookup(ino, bytes('x'), newAttributes())).toBe(-E.ENOENT);
      expect(f.fs.readdir(listing, 0, false, () => true)).toBe(-E.ENOENT);
    });
  });
}
