/** Attributes of inodes, extended ones included, for any tree. */
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeOperations } from '../../../engine/api.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import * as types from '../../../mount/filesystem/types.js';
import { bytes, CALLER, Fixture, O_WRONLY, StepClock } from '../fixture.js';

const E = constants.errno;

export function attributesSuite(name: string, makeTree: () => TreeOperations): void {
  describe(`filesystem over ${name}`, () => {
    let f: Fixture;
    beforeEach(() => {
      f = new Fixture(makeTree(), { clock: new StepClock() });
    });
    afterEach(() => f.cleanUp());

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

      it('move with the entry, one or many, and to where its number has them and back', () => {
        for (const count of [1, 2, 3, 5]) {
          const [from, to, second, third] = ['from', 'to', 'second', 'third'].map(
            (word) => `/${word}${count}`,
          );
          f.create(from as string);
          f.create(to as string);
          const { ino } = f.stat(from as string);
          for (let i = 0; i < count; i++) set(from as string, `user.${i}`, bytes(`value ${i}`));
          set(to as string, 'user.0', bytes('gone'));
          set(to as string, 'user.z', bytes('gone'));
          const has = (place: Uint8Array | number) => {
            const names = Buffer.from(f.fs.listxattr(CALLER, place) as Uint8Array).toString();
            expect(names).toBe(Array.from({ length: count }, (_, i) => `user.${i}\0`).join(''));
            for (let i = 0; i < count; i++) {
              const value = f.fs.getxattr(place, bytes(`user.${i}`)) as Uint8Array;
              expect(Buffer.from(value).toString()).toBe(`value ${i}`);
            }
          };
          expect(f.rename(from as string, to as string)).toBe(0);
          has(bytes(to as string));
          // Kept by number: by the first link, by the removal of the last name, and from there to a name again.
          expect(f.link(to as string, second as string)).toBe(0);
          has(bytes(second as string));
          expect([f.unlink(to as string), f.unlink(second as string)]).toEqual([0, 0]);
          has(ino);
          expect(f.fs.link(CALLER, ino, bytes(''), bytes((third as string).slice(1)), newAttributes())).toBe(
            0,
          );
          has(bytes(third as string));
          expect(f.unlink(third as string)).toBe(0);
          has(ino);
          f.fs.forget(ino);
        }
        f.fs.forget(0);
        for (const prefix of ['x', 'i']) expect(f.tree.isPrefixEmpty(prefix)).toBe(true);
      });

      it('move also where a moved directory has made their keys longer than a key that is put', () => {
        let deep = '';
        for (let i = 0; i < 63; i++) {
          deep += `/${'n'.repeat(255)}`;
          expect(f.mkdir(deep)).toBe(0);
        }
        const far = `${deep}/${'m'.repeat(169)}`;
        const name = `user.${'a'.repeat(100)}`;
        f.mkdir('/d');
        for (const file of ['/d/moved', '/d/gone', '/d/linked']) {
          f.create(file);
          expect(set(file, name, bytes('v'))).toBe(0);
        }
        f.create('/new');
        expect(set('/new', name, bytes('v'))).toBe(0);
        const { ino } = f.stat('/d/gone');
        expect(f.rename('/d', far)).toBe(0);
        const value = (place: Uint8Array | number) =>
          Buffer.from(f.fs.getxattr(place, bytes(name)) as Uint8Array);
        expect(f.rename(`${far}/moved`, '/moved')).toBe(0);
        expect(f.unlink(`${far}/gone`)).toBe(0);
        expect(f.link(`${far}/linked`, '/linked')).toBe(0);
        expect(f.rename('/new', `${far}/new`)).toBe(0);
        for (const place of [bytes('/moved'), ino, bytes('/linked'), bytes(`${far}/new`)]) {
          expect(value(place).toString()).toBe('v');
        }
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
  });
}
