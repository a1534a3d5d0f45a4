/** What Linux has beyond POSIX, and access control lists, for any tree: the model's and the engine's. */

import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeOperations } from '../../../engine/api.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import { ACCESS_LIST, DEFAULT_LIST } from '../../../mount/filesystem/records/acl.js';
import { CHANGE_CTIME_NOW, CHANGE_MODE, CHANGE_MTIME } from '../../../mount/filesystem/types.js';
import { bytes, CALLER, Fixture, newResult, O_RDWR, O_WRONLY, StepClock, split } from '../fixture.js';

const E = constants.errno;
const [NOREPLACE, EXCHANGE, WHITEOUT] = [1, 2, 4];

/** An access control list as Linux stores it. */
function acl(...entries: [tag: number, permissions: number, id: number][]): Uint8Array {
  const list = Buffer.alloc(4 + entries.length * 8);
  list.writeUInt32LE(2);
  entries.forEach(([tag, permissions, id], i) => {
    list.writeUInt16LE(tag, 4 + i * 8);
    list.writeUInt16LE(permissions, 6 + i * 8);
    list.writeUInt32LE(id, 8 + i * 8);
  });
  return list;
}
const [USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER] = [1, 2, 4, 8, 0x10, 0x20];
const NOBODY = 0xffff_ffff;
/** rwx for the owner, rw for user 7, rx for the group, a mask of `mask`, x for others. */
const list = (mask: number, owner = 7, other = 1): Uint8Array =>
  acl(
    [USER_OBJ, owner, NOBODY],
    [USER, 6, 7],
    [GROUP_OBJ, 5, NOBODY],
    [MASK, mask, NOBODY],
    [OTHER, other, NOBODY],
  );
const minimal = acl([USER_OBJ, 6, NOBODY], [GROUP_OBJ, 4, NOBODY], [OTHER, 0, NOBODY]);

export function linuxSuite(name: string, makeTree: () => TreeOperations): void {
  describe(`filesystem over ${name}`, () => {
    let f: Fixture;
    let clock: StepClock;
    beforeEach(() => {
      clock = new StepClock();
      f = new Fixture(makeTree(), { clock });
    });
    afterEach(() => f.cleanUp());

    const xattr = (path: string | number, key: string | Uint8Array): string | number => {
      const place = typeof path === 'number' ? path : bytes(path);
      const value = f.fs.getxattr(place, typeof key === 'string' ? bytes(key) : key);
      return typeof value === 'number' ? value : Buffer.from(value).toString('latin1');
    };
    const setXattr = (path: string, key: string, value: string): number =>
      f.fs.setxattr(CALLER, bytes(path), bytes(key), bytes(value), 0);
    const setList = (path: string, kind: Uint8Array, value: Uint8Array, killsSetgid = false): number =>
      f.fs.setAccessList(bytes(path), kind, value, killsSetgid);
    const text = (value: Uint8Array): string => Buffer.from(value).toString('latin1');
    const nameless = (parent = '', mode = 0o600): { handle: number; ino: number } => {
      const out = newAttributes();
      const handle = f.fs.createNameless(CALLER, bytes(parent), mode, O_RDWR, out);
      expect(handle).toBeGreaterThan(0);
      return { handle, ino: out.ino };
    };
    const giveName = (ino: number, path: string): number => {
      const { parent, name: newName } = split(path);
      return f.fs.link(CALLER, ino, parent, newName, newAttributes());
    };

    describe('exchange', () => {
      it('swaps a file and a directory, with all that belongs to them and all that is open', () => {
        f.mkdir('/d');
        f.mkdir('/d/sub');
        f.write('/d/sub/deep', 'deep');
        setXattr('/d/sub/deep', 'user.k', 'deep');
        setXattr('/d', 'user.k', 'directory');
        f.mkdir('/to');
        f.write('/to/f', 'file');
        setXattr('/to/f', 'user.k', 'file');
        const deep = f.fs.open(CALLER, bytes('/d/sub/deep'), O_RDWR);
        const file = f.fs.open(CALLER, bytes('/to/f'), O_RDWR);
        f.fs.write(deep, bytes('DE'), 0, 2, 0);
        f.fs.write(file, bytes('FI'), 0, 2, 0);
        const listing = f.fs.opendir(bytes('/d/sub'));
        const [d, before] = [f.stat('/d').ino, f.tree.lastLsn()];
        const result = newResult();
        expect(f.rename('/d', '/to/f', EXCHANGE, result)).toBe(0);
        expect(f.tree.lastLsn()).toBe(before + 1);
        expect(result).toEqual({ removedIno: 0, removedLinks: 0, movedIno: d });
        expect(f.readdir(listing, 0).map((entry) => entry.name)).toEqual(['.', '..', 'deep']);
        expect([f.fs.release(deep), f.fs.release(file)]).toEqual([0, 0]);
        for (const reopen of [false, true]) {
          if (reopen) f.open();
          expect([f.read('/d'), f.read('/to/f/sub/deep')]).toEqual(['FIle', 'DEep']);
          expect([
            xattr('/d', 'user.k'),
            xattr('/to/f', 'user.k'),
            xattr('/to/f/sub/deep', 'user.k'),
          ]).toEqual(['file', 'directory', 'deep']);
          expect([f.stat('').nlink, f.stat('/to').nlink]).toEqual([3, 3]);
          expect(f.stat('/to/f').ino).toBe(d);
        }
      });

      it('swaps two full directories and what is open in them', () => {
        for (const name of ['a', 'b']) {
          f.mkdir(`/${name}`);
          f.write(`/${name}/f`, name);
          setXattr(`/${name}/f`, 'user.k', name);
        }
        const handles = ['/a/f', '/b/f'].map((path) => f.fs.open(CALLER, bytes(path), O_WRONLY));
        const written = handles.map((handle, i) => f.fs.write(handle, bytes(`${i}`), 0, 1, 1));
        expect(written).toEqual([1, 1]);
        const listings = ['/a', '/b'].map((path) => f.fs.opendir(bytes(path)));
        f.create('/b/only');
        expect(f.rename('/a', '/b', EXCHANGE)).toBe(0);
        expect(listings.map((listing) => f.readdir(listing, 0).length)).toEqual([3, 4]);
        for (const handle of handles) expect(f.fs.release(handle)).toBe(0);
        expect([f.read('/a/f'), f.read('/b/f')]).toEqual(['b1', 'a0']);
        expect([xattr('/a/f', 'user.k'), xattr('/b/f', 'user.k')]).toEqual(['b', 'a']);
        expect([f.list('/a'), f.list('/b')]).toEqual([['f', 'only'], ['f']]);
      });

      it('changes the ctimes, and swaps links, and nothing with itself', () => {
        f.write('/a', 'a');
        f.link('/a', '/a2');
        f.create('/b');
        const before = [f.stat('/a'), f.stat('/b')];
        expect(f.rename('/a', '/b', EXCHANGE)).toBe(0);
        expect([f.stat('/b').ino, f.stat('/a').ino]).toEqual(before.map(({ ino }) => ino));
        expect(f.stat('/b').ctimeSeconds).toBeGreaterThan(before[0]!.ctimeSeconds);
        expect(f.stat('/a').ctimeSeconds).toBeGreaterThan(before[1]!.ctimeSeconds);
        expect(f.stat('/a2')).toEqual(f.stat('/b'));
        expect(f.rename('/b', '/a2', EXCHANGE)).toBe(0);
        expect(f.list('')).toEqual(['a', 'a2', 'b']);
      });

      it('needs both, apart from each other, and no other flag', () => {
        f.mkdir('/d');
        f.mkdir('/d/e');
        expect(f.rename('/d', '/absent', EXCHANGE)).toBe(-E.ENOENT);
        expect(f.rename('/absent', '/d', EXCHANGE)).toBe(-E.ENOENT);
        expect(f.rename('/d', '/d/e', EXCHANGE)).toBe(-E.EINVAL);
        expect(f.rename('/d/e', '/d', EXCHANGE)).toBe(-E.EINVAL);
        expect(f.rename('/d', '/e', EXCHANGE | NOREPLACE)).toBe(-E.EINVAL);
        expect(f.rename('/d', '/e', EXCHANGE | WHITEOUT)).toBe(-E.EINVAL);
      });
    });

    it('leaves a whiteout at the old name', () => {
      f.write('/a', 'a');
      expect(f.rename('/a', '/b', WHITEOUT)).toBe(0);
      expect(f.read('/b')).toBe('a');
      expect(f.stat('/a')).toMatchObject({ mode: 0o020000, rdev: 0, uid: CALLER.uid, nlink: 1 });
      expect(f.stat('/a').ino).not.toBe(f.stat('/b').ino);
    });

    describe('files without a name', () => {
      it('get one, and keep content and attributes', () => {
        f.mkdir('/d');
        const { handle, ino } = nameless('/d');
        expect(f.stat(ino)).toMatchObject({ nlink: 0, mode: 0o100600, uid: CALLER.uid });
        f.fs.write(handle, bytes('content'), 0, 7, 0);
        f.fs.setxattr(CALLER, ino, bytes('user.k'), bytes('v'), 0);
        expect(giveName(ino, '/d')).toBe(-E.EEXIST);
        expect(giveName(ino, '/absent/f')).toBe(-E.ENOENT);
        expect(giveName(ino, '/d/f')).toBe(0);
        expect(f.stat('/d/f')).toMatchObject({ ino, nlink: 1, size: 7 });
        expect(f.link('/d/f', '/g')).toBe(0);
        expect(f.fs.release(handle)).toBe(0);
        f.fs.forget(ino);
        f.open();
        expect(f.scheduled).toEqual([]);
        expect([f.read('/g'), xattr('/d/f', 'user.k')]).toEqual(['content', 'v']);
      });

      it('are reclaimed with the last use of them, or after a crash', () => {
        const one = nameless();
        f.fs.write(one.handle, bytes('x'), 0, 1, 0);
        f.fs.release(one.handle);
        expect(f.scheduled).toEqual([]);
        f.fs.forget(one.ino);
        expect(f.scheduled).toEqual([one.ino]);
        const two = nameless();
        f.fs.write(two.handle, bytes('x'), 0, 1, 0);
        const three = nameless();
        f.open();
        expect(f.scheduled).toEqual([one.ino, one.ino, two.ino]);
        expect(f.list('')).toEqual([]);
        f.reclaimed([one.ino, two.ino]);
        expect(f.fs.getattr(three.ino, newAttributes())).toBe(-E.ENOENT);
        expect([...f.tree.range({ prefix: 'o' })]).toEqual([]);
      });
    });

    describe('access control lists', () => {
      it('decide the permission bits, and follow them', () => {
        f.create('/f', 0o2600);
        expect(setList('/f', ACCESS_LIST, list(4))).toBe(0);
        expect(f.stat('/f').mode).toBe(0o102741);
        expect(xattr('/f', ACCESS_LIST)).toBe(text(list(4)));
        f.setattr('/f', { valid: CHANGE_MODE, mode: 0o2630 });
        expect(xattr('/f', ACCESS_LIST)).toBe(text(list(3, 6, 0)));
        expect(text(f.fs.listxattr(CALLER, bytes('/f')) as Uint8Array)).toBe(`${text(ACCESS_LIST)}\0`);
        expect(setList('/f', ACCESS_LIST, list(5), true)).toBe(0);
        expect(f.stat('/f').mode).toBe(0o100751);
        expect(setList('/f', ACCESS_LIST, minimal)).toBe(0);
        expect([f.stat('/f').mode, xattr('/f', ACCESS_LIST)]).toEqual([0o100640, -E.ENODATA]);
        expect(f.fs.removexattr(CALLER, bytes('/f'), ACCESS_LIST)).toBe(0);
      });

      it('must be valid, and default ones a directory’s', () => {
        f.create('/f');
        f.fs.symlink(CALLER, bytes(''), bytes('l'), bytes('x'), newAttributes());
        expect(setList('/f', DEFAULT_LIST, minimal)).toBe(-E.EACCES);
        expect(setList('/l', ACCESS_LIST, minimal)).toBe(-E.EOPNOTSUPP);
        expect(setXattr('/f', 'system.posix_acl_access', 'x')).toBe(-E.EOPNOTSUPP);
        for (const bad of [
          new Uint8Array(0),
          minimal.subarray(0, 20),
          minimal.subarray(0, 27),
          acl([USER_OBJ, 6, NOBODY], [GROUP_OBJ, 4, NOBODY], [64, 0, NOBODY]),
          acl([USER_OBJ, 6, NOBODY], [GROUP_OBJ, 4, NOBODY], [OTHER, 8, NOBODY]),
          acl([GROUP_OBJ, 6, NOBODY], [USER_OBJ, 4, NOBODY], [OTHER, 0, NOBODY]),
          acl([USER_OBJ, 6, NOBODY], [USER_OBJ, 6, NOBODY], [GROUP_OBJ, 4, NOBODY], [OTHER, 0, NOBODY]),
          acl([USER_OBJ, 6, NOBODY], [GROUP_OBJ, 4, NOBODY], [GROUP, 4, 5], [OTHER, 0, NOBODY]),
        ]) {
          expect(setList('/f', ACCESS_LIST, bad)).toBe(-E.EINVAL);
        }
      });

      it('go down to what is made, in place of the umask', () => {
        f.mkdir('/d');
        expect(setList('/d', DEFAULT_LIST, list(7))).toBe(0);
        f.create('/d/f', 0o666);
        f.mkdir('/d/sub', 0o777);
        f.create('/d/sub/g', 0o600);
        f.fs.symlink(CALLER, bytes('/d'), bytes('l'), bytes('x'), newAttributes());
        expect([f.stat('/d/f').mode, xattr('/d/f', ACCESS_LIST)]).toEqual([0o100660, text(list(6, 6, 0))]);
        expect([f.stat('/d/sub').mode, xattr('/d/sub', ACCESS_LIST)]).toEqual([0o040771, text(list(7))]);
        expect(xattr('/d/sub', DEFAULT_LIST)).toBe(text(list(7)));
        expect([f.stat('/d/sub/g').mode, xattr('/d/sub/g', ACCESS_LIST)]).toEqual([
          0o100600,
          text(list(0, 6, 0)),
        ]);
        expect([f.stat('/d/l').mode, xattr('/d/l', ACCESS_LIST)]).toEqual([0o120777, -E.ENODATA]);
        const { ino, handle } = nameless('/d', 0o666);
        expect([f.stat(ino).mode, xattr(ino, ACCESS_LIST)]).toEqual([0o100660, text(list(6, 6, 0))]);
        giveName(ino, '/d/n');
        f.fs.release(handle);
        f.open();
        expect([f.stat('/d/n').mode, xattr('/d/n', ACCESS_LIST)]).toEqual([0o100660, text(list(6, 6, 0))]);
        expect(f.fs.removexattr(CALLER, bytes('/d'), DEFAULT_LIST)).toBe(0);
        f.create('/d/h', 0o666);
        expect([f.stat('/d/h').mode, xattr('/d/h', ACCESS_LIST)]).toEqual([0o100644, -E.ENODATA]);
      });

      it('stay with the file through links, renames and the loss of its name', () => {
        f.create('/f');
        setList('/f', ACCESS_LIST, list(7));
        f.link('/f', '/g');
        f.rename('/f', '/h');
        f.setattr('/g', { valid: CHANGE_MODE, mode: 0o700 });
        expect(xattr('/h', ACCESS_LIST)).toBe(text(list(0, 7, 0)));
        const { ino } = f.stat('/h');
        f.unlink('/g');
        f.unlink('/h');
        f.setattr(ino, { valid: CHANGE_MODE, mode: 0o770 });
        expect(xattr(ino, ACCESS_LIST)).toBe(text(list(7, 7, 0)));
      });
    });

    describe('ranges', () => {
      it('are allocated, punched and copied, of empty files too', () => {
        f.create('/f');
        const handle = f.fs.open(CALLER, bytes('/f'), O_RDWR);
        expect(f.fs.fallocate(handle, 0, 0, 10)).toBe(0);
        expect(f.stat('/f').size).toBe(10);
        f.fs.write(handle, bytes('0123456789'), 0, 10, 0);
        expect(f.fs.fallocate(handle, 3, 2, 3)).toBe(0);
        expect(f.fs.fallocate(handle, 0, 0, 0)).toBe(-E.EINVAL);
        f.create('/g');
        const other = f.fs.open(CALLER, bytes('/g'), O_RDWR);
        expect(f.fs.copyRange(other, 0, handle, 0, 5)).toBe(0);
        expect(f.fs.copyRange(handle, 1, other, 2, 100)).toBe(9);
        expect(f.fs.copyRange(handle, 10, other, 0, 100)).toBe(0);
        const reader = f.fs.open(CALLER, bytes('/g'), 0);
        expect(f.fs.copyRange(handle, 0, reader, 0, 1)).toBe(-E.EBADF);
        expect(f.fs.fallocate(reader, 0, 0, 1)).toBe(-E.EBADF);
        for (const open of [handle, other, reader]) f.fs.release(open);
        expect([f.read('/f'), f.read('/g')]).toEqual(['01\0\0\x0056789', '\0\x001\0\0\x0056789']);
      });

      it('are copied a part at a time', () => {
        f.create('/f');
        const handle = f.fs.open(CALLER, bytes('/f'), O_RDWR);
        f.fs.fallocate(handle, 0, 0, 20_000_000);
        const copied = f.fs.copyRange(handle, 0, handle, 10_000_000, 10_000_000);
        expect(copied).toBeGreaterThan(100_000);
        expect(copied).toBeLessThan(10_000_000);
        f.fs.release(handle);
      });
    });

    describe('times', () => {
      it('go on with each write, however close it is to the change before', () => {
        // Ahead of the backing files' own clock.
        clock.seconds = 4_000_000_000;
        f.create('/f');
        const handle = f.fs.open(CALLER, bytes('/f'), O_RDWR);
        let last = f.stat('/f');
        for (let i = 0; i < 5; i++) {
          f.setattr('/f', { valid: CHANGE_MODE, mode: 0o600 + i });
          const { ctimeSeconds } = f.stat('/f');
          f.fs.write(handle, bytes('x'), 0, 1, 0);
          const now = f.stat('/f');
          expect(now.ctimeSeconds).toBeGreaterThan(ctimeSeconds);
          expect(now.mtimeSeconds).toBeGreaterThan(last.mtimeSeconds);
          last = now;
        }
        f.fs.release(handle);
        const { mtimeSeconds, ctimeSeconds } = f.stat('/f');
        expect([mtimeSeconds, ctimeSeconds]).toEqual([last.mtimeSeconds, last.ctimeSeconds]);
      });

      it('are what utimens says after a write, also when it is past', () => {
        f.create('/f');
        const handle = f.fs.open(CALLER, bytes('/f'), O_RDWR);
        f.fs.write(handle, bytes('x'), 0, 1, 0);
        f.setattr('/f', { valid: CHANGE_MTIME, mtimeSeconds: -5, mtimeNanos: 3 });
        expect(f.stat('/f')).toMatchObject({ mtimeSeconds: -5, mtimeNanos: 3 });
        f.fs.release(handle);
        expect(f.stat('/f')).toMatchObject({ mtimeSeconds: -5, mtimeNanos: 3 });
      });

      it('of change alone can be set, and stay where an attribute keeps its value', () => {
        f.create('/f');
        const before = f.stat('/f');
        f.setattr('/f', { valid: CHANGE_CTIME_NOW });
        const after = f.stat('/f');
        expect(after).toEqual({ ...before, ctimeSeconds: after.ctimeSeconds });
        expect(after.ctimeSeconds).toBeGreaterThan(before.ctimeSeconds);
        setXattr('/f', 'user.k', 'v');
        const { ctimeSeconds } = f.stat('/f');
        const lsn = f.tree.lastLsn();
        setXattr('/f', 'user.k', 'v');
        expect([f.stat('/f').ctimeSeconds, f.tree.lastLsn()]).toEqual([ctimeSeconds, lsn]);
      });
    });

    it('shows trusted attributes to root alone', () => {
      f.create('/f');
      setXattr('/f', 'trusted.t', '1');
      setXattr('/f', 'user.u', '2');
      const names = (uid: number) => text(f.fs.listxattr({ ...CALLER, uid }, bytes('/f')) as Uint8Array);
      expect([names(1000), names(0)]).toEqual(['user.u\0', 'trusted.t\0user.u\0']);
    });
  });
}
