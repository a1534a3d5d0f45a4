/** The operations and their errnos, for any tree: the model's and the engine's. */
import { readdirSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeOperations } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { newAttributes } from '../../mount/filesystem/arguments.js';
import { contentPath } from '../../mount/filesystem/content.js';
import * as types from '../../mount/filesystem/types.js';
import { ModelTree } from '../support/model-tree.js';
import { bytes, CALLER, Fixture, newResult, O_RDONLY, O_RDWR, O_WRONLY, StepClock } from './fixture.js';

const E = constants.errno;

export function fileSystemSuite(name: string, makeTree: () => TreeOperations): void {
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
        f.fs.reclaimed([ino]);
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
        f.fs.reclaimed(f.scheduled);
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

    describe('attributes', () => {
      it('changes mode, owner and times, before 1970 as well', () => {
        f.create('/a');
        const { ctimeSeconds } = f.stat('/a');
        const valid =
          types.CHANGE_MODE | types.CHANGE_UID | types.CHANGE_GID | types.CHANGE_ATIME | types.CHANGE_MTIME;
        const change = {
          mode: 0o4711,
          uid: 4_000_000_000,
          gid: 9,
          atimeSeconds: -5_000_000_000,
          atimeNanos: 999_999_999,
          mtimeSeconds: 20_000_000_000,
          mtimeNanos: 1,
        };
        expect(f.setattr('/a', { valid, ...change })).toBe(0);
        const a = f.stat('/a');
        expect(a).toMatchObject({ ...change, mode: 0o104711 });
        expect(a.ctimeSeconds).toBeGreaterThan(ctimeSeconds);
      });

      it('takes privileges away, and changes nothing where there are none', () => {
        f.create('/a');
        f.setattr('/a', { valid: types.CHANGE_MODE, mode: 0o6755 });
        f.fs.setxattr(CALLER, bytes('/a'), bytes('security.capability'), bytes('c'), 0);
        expect(f.setattr('/a', { valid: types.CHANGE_KILL_PRIVILEGES })).toBe(0);
        expect(f.stat('/a').mode).toBe(0o100755);
        expect(f.fs.getxattr(bytes('/a'), bytes('security.capability'))).toBe(-E.ENODATA);
        const before = f.stat('/a');
        f.setattr('/a', { valid: types.CHANGE_KILL_PRIVILEGES });
        expect(f.stat('/a')).toEqual(before);
      });

      it('knows no SELinux labels until one was set, which is never forgotten', () => {
        const label = bytes('security.selinux');
        const labelOf = (path: string) => f.fs.getxattr(bytes(path), label);
        f.create('/a');
        f.create('/b');
        expect(labelOf('/a')).toBe(-E.EOPNOTSUPP);
        expect(f.fs.getxattr(bytes('/a'), bytes('security.other'))).toBe(-E.ENODATA);
        expect(f.fs.setxattr(CALLER, bytes('/a'), label, bytes('l'), 0)).toBe(0);
        for (let start = 0; start < 2; start++) {
          expect(Buffer.from(labelOf('/a') as Uint8Array).toString()).toBe('l');
          expect(labelOf('/b')).toBe(-E.ENODATA);
          f.open();
        }
        f.fs.removexattr(CALLER, bytes('/a'), label);
        expect(labelOf('/a')).toBe(-E.ENODATA);
      });

      it('truncates closed files', () => {
        f.write('/a', 'hello');
        const { mtimeSeconds } = f.stat('/a');
        expect(f.setattr('/a', { valid: types.CHANGE_SIZE, size: 2 })).toBe(0);
        expect(f.read('/a')).toBe('he');
        expect(f.setattr('/a', { valid: types.CHANGE_SIZE, size: 1 << 20 })).toBe(0);
        const a = f.stat('/a');
        expect(a).toMatchObject({ size: 1 << 20, live: false });
        expect(a.mtimeSeconds).toBeLessThan(mtimeSeconds + 100);
        expect(a.blocks * 512).toBeLessThan(1 << 20);
        f.mkdir('/d');
        expect(f.setattr('/d', { valid: types.CHANGE_SIZE, size: 0 })).toBe(-E.EISDIR);
        const empty = f.open();
        expect(empty.stats().liveInodes).toBe(0);
        expect(f.stat('/a').size).toBe(1 << 20);
      });

      it('tells an open file as its backing file is, and keeps that at release', () => {
        f.create('/a');
        const created = f.stat('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
        f.fs.write(handle, Buffer.alloc(8192, 1), 0, 8192, 0);
        const live = f.stat('/a');
        expect(live).toMatchObject({ size: 8192, live: true });
        expect(live.mtimeSeconds).toBeGreaterThan(created.mtimeSeconds);
        expect(live.ctimeSeconds).toBe(live.mtimeSeconds);
        expect(
          f.setattr('/a', { valid: types.CHANGE_MTIME, mtimeSeconds: -77, mtimeNanos: 123_456_789 }),
        ).toBe(0);
        expect(f.stat('/a')).toMatchObject({ mtimeSeconds: -77, mtimeNanos: 123_456_789, size: 8192 });
        expect(f.setattr('/a', { valid: types.CHANGE_SIZE, size: 100 })).toBe(0);
        expect(f.stat('/a')).toMatchObject({ size: 100, live: true });
        f.fs.release(handle);
        expect(f.stat('/a')).toMatchObject({ size: 100, live: false });
      });
    });

    describe('contents', () => {
      it('makes no backing file for what is never written', () => {
        f.create('/a');
        expect(f.read('/a')).toBe('');
        expect(readdirSync(f.contentDirectory)).toEqual([]);
      });

      it('shares a backing file among handles, and checks their rights', () => {
        f.create('/a');
        const reader = f.fs.open(CALLER, bytes('/a'), O_RDONLY);
        const writer = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
        expect(f.fs.write(writer, Buffer.from('xyz'), 1, 2, 4)).toBe(2);
        const into = Buffer.alloc(10, 0xff);
        expect(f.fs.read(reader, into, 2, 8, 0)).toBe(6);
        expect([...into]).toEqual([255, 255, 0, 0, 0, 0, 0x79, 0x7a, 255, 255]);
        expect(f.fs.write(reader, into, 0, 1, 0)).toBe(-E.EBADF);
        expect(f.fs.release(writer)).toBe(0);
        expect(f.stat('/a')).toMatchObject({ size: 6, live: false });
        expect(f.fs.release(reader)).toBe(0);
        expect(f.fs.release(reader)).toBe(-E.EBADF);
        expect(f.fs.stats()).toEqual({
          openFiles: 0,
          openDirectories: 0,
          openInodes: 0,
          liveInodes: 0,
          orphans: 0,
        });
      });

      it('honours O_TRUNC', () => {
        f.write('/a', 'hello');
        const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY | 0o1000);
        expect(f.stat('/a').size).toBe(0);
        f.fs.release(handle);
        expect(f.stat('/a').size).toBe(0);
      });

      it('finds data and holes', () => {
        f.create('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_RDWR);
        expect(f.fs.lseek(handle, 0, 3)).toBe(-E.ENXIO);
        f.fs.write(handle, Buffer.from('x'), 0, 1, 1 << 20);
        expect(f.fs.lseek(handle, 0, 3)).toBe(1 << 20);
        expect(f.fs.lseek(handle, 0, 4)).toBe(0);
        f.fs.release(handle);
      });

      it('plans an fsync: content, its directories once, then the tree', () => {
        f.create('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_RDWR);
        expect(f.fs.fsyncPlan(handle)).toMatchObject({ fd: -1, directories: [] });
        f.fs.write(handle, Buffer.from('x'), 0, 1, 0);
        expect(f.fs.fsyncPlan(handle)?.directories.length).toBe(2);
        expect(f.fs.fsync(handle)).toBe(0);
        expect(f.fs.fsyncPlan(handle)?.directories.length).toBe(0);
        f.fs.release(handle);
        expect(f.fs.fsync(handle)).toBe(-E.EBADF);
      });
    });

    describe('after a crash', () => {
      it('believes the backing file of what was open for writing', () => {
        f.create('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
        f.fs.write(handle, Buffer.from('hello'), 0, 5, 0);
        const path = contentPath(f.contentDirectory, f.stat('/a').ino);
        utimesSync(path, 0, 1_234_567_890);
        f.open();
        expect(f.stat('/a')).toMatchObject({ size: 5, mtimeSeconds: 1_234_567_890, live: false });
        // Settled at first sight: what happens to the file from now on is not believed.
        writeFileSync(path, 'longer than that');
        expect(f.stat('/a').size).toBe(5);
      });

      it('takes missing content for empty, and lists what is not settled', () => {
        f.create('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
        f.fs.write(handle, Buffer.from('hello'), 0, 5, 0);
        truncateSync(contentPath(f.contentDirectory, f.stat('/a').ino), 3);
        f.open();
        const listing = f.fs.opendir(bytes(''));
        const entry = f.readdir(listing, 0, Number.POSITIVE_INFINITY, true)[2];
        expect(entry?.attributes.size).toBe(3);
      });

      it('corrects a size that its content does not have', () => {
        f.write('/a', 'hello');
        truncateSync(contentPath(f.contentDirectory, f.stat('/a').ino), 1);
        expect(f.read('/a')).toBe('h');
        expect(f.stat('/a').size).toBe(1);
      });

      it('settles without writing on a read-only mount', () => {
        f.create('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
        f.fs.write(handle, Buffer.from('hello'), 0, 5, 0);
        f.open({ readOnly: true });
        const lsn = f.tree.lastLsn();
        expect(f.stat('/a').size).toBe(5);
        expect(f.read('/a')).toBe('hello');
        expect(f.create('/b')).toBe(-E.EROFS);
        expect(f.unlink('/a')).toBe(-E.EROFS);
        expect(f.setattr('/a', { valid: types.CHANGE_MODE, mode: 0 })).toBe(-E.EROFS);
        expect(f.fs.open(CALLER, bytes('/a'), O_RDWR)).toBe(-E.EROFS);
        expect(f.tree.lastLsn()).toBe(lsn);
      });

      it('closes cleanly with files open', () => {
        f.create('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY);
        f.fs.write(handle, Buffer.from('hello'), 0, 5, 0);
        const path = contentPath(f.contentDirectory, f.stat('/a').ino);
        f.fs.close();
        writeFileSync(path, '');
        f.open();
        expect(f.stat('/a').size).toBe(5);
        expect(statSync(path).size).toBe(0);
      });
    });

    describe('extended attributes', () => {
      const set = (path: string, name: string, value: Uint8Array, flags = 0): number =>
        f.fs.setxattr(CALLER, bytes(path), bytes(name), value, flags);

      it('sets, gets, lists and removes', () => {
        f.create('/a');
        const { ctimeSeconds } = f.stat('/a');
        expect(f.fs.listxattr(CALLER, bytes('/a'))).toEqual(new Uint8Array(0));
        expect(set('/a', 'user.b', bytes('2'))).toBe(0);
        expect(set('/a', 'user.a', new Uint8Array(0))).toBe(0);
        expect(f.stat('/a').ctimeSeconds).toBeGreaterThan(ctimeSeconds);
        expect(Buffer.from(f.fs.listxattr(CALLER, bytes('/a')) as Uint8Array).toString()).toBe(
          'user.a\0user.b\0',
        );
        expect(f.fs.getxattr(bytes('/a'), bytes('user.a'))).toEqual(new Uint8Array(0));
        expect(f.fs.removexattr(CALLER, bytes('/a'), bytes('user.a'))).toBe(0);
        expect(f.fs.removexattr(CALLER, bytes('/a'), bytes('user.a'))).toBe(-E.ENODATA);
        expect(f.fs.getxattr(bytes('/a'), bytes('user.a'))).toBe(-E.ENODATA);
      });

      it('keeps limits and flags', () => {
        f.create('/a');
        expect(set('/a', 'user.v', new Uint8Array(65_536))).toBe(0);
        expect(set('/a', 'user.v', new Uint8Array(65_537))).toBe(-E.E2BIG);
        expect(set('/a', `user.${'n'.repeat(250)}`, bytes('1'))).toBe(0);
        expect(set('/a', `user.${'n'.repeat(251)}`, bytes('1'))).toBe(-E.ERANGE);
        expect(set('/a', 'user.v', bytes(''), 1)).toBe(-E.EEXIST);
        expect(set('/a', 'user.w', bytes(''), 2)).toBe(-E.ENODATA);
        expect(set('/a', 'user.', bytes(''))).toBe(-E.EINVAL);
        expect(set('/a', 'system.posix_acl_access', bytes(''))).toBe(-E.EOPNOTSUPP);
        expect(set('/nothing', 'user.v', bytes(''))).toBe(-E.ENOENT);
      });

      it('are many and large, and go with the inode all the same', () => {
        f.create('/a');
        f.create('/b');
        for (const name of ['/a', '/b']) {
          for (let i = 0; i < 20; i++) expect(set(name, `user.${i}`, new Uint8Array(65_536))).toBe(0);
        }
        expect(f.rename('/a', '/b')).toBe(0);
        expect(f.link('/b', '/c')).toBe(0);
        expect(f.unlink('/b')).toBe(0);
        expect(f.fs.getxattr(bytes('/c'), bytes('user.19'))).toHaveLength(65_536);
        expect(f.unlink('/c')).toBe(0);
      });

      it('go with the entry', () => {
        f.create('/a');
        f.create('/b');
        set('/a', 'user.k', bytes('a'));
        set('/b', 'user.old', bytes('b'));
        f.rename('/a', '/b');
        expect(Buffer.from(f.fs.listxattr(CALLER, bytes('/b')) as Uint8Array).toString()).toBe('user.k\0');
        f.unlink('/b');
        f.create('/b');
        expect(f.fs.listxattr(CALLER, bytes('/b'))).toEqual(new Uint8Array(0));
      });

      it('stay with an orphan and go with it', () => {
        f.mkdir('/d');
        const { ino } = f.stat('/d');
        f.rmdir('/d');
        expect(f.fs.setxattr(CALLER, ino, bytes('user.k'), bytes('v'), 0)).toBe(0);
        expect(f.fs.getxattr(ino, bytes('user.k'))).toEqual(Uint8Array.from(bytes('v')));
        f.fs.forget(ino);
        expect(f.tree.isPrefixEmpty('y') && f.tree.isPrefixEmpty('o')).toBe(true);
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
      expect(f.fs.statfs(out)).toBe(0);
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

  describe(`filesystem over ${name}, without forget`, () => {
    it('reclaims at once, or with the last release', () => {
      const f = new Fixture(makeTree(), { keepsNodes: false });
      try {
        f.write('/a', 'x');
        f.write('/b', 'y');
        f.fs.setxattr(CALLER, bytes('/a'), bytes('user.k'), bytes('v'), 0);
        const [a, b] = [f.stat('/a').ino, f.stat('/b').ino];
        f.unlink('/a');
        expect(f.scheduled).toEqual([a]);
        const handle = f.fs.open(CALLER, bytes('/b'), O_RDWR);
        f.unlink('/b');
        expect(f.fs.write(handle, Buffer.from('zz'), 0, 2, 0)).toBe(2);
        expect(f.scheduled).toEqual([a]);
        f.fs.release(handle);
        expect(f.scheduled).toEqual([a, b]);
        f.fs.reclaimed([a, b]);
        for (const prefix of ['i', 'o', 'x', 'y']) expect(f.tree.isPrefixEmpty(prefix)).toBe(true);
      } finally {
        f.cleanUp();
      }
    });
  });
}
