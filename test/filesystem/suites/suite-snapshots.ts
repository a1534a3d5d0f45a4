/** Snapshot directories, for any tree: the model's and the engine's. */
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeOperations } from '../../../engine/api.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import type { PastPlace } from '../../../mount/filesystem/past/past-place.js';
import { ACCESS_LIST } from '../../../mount/filesystem/records/acl.js';
import { POSITIONS_KEY, positionKey } from '../../../mount/filesystem/records/keys.js';
import type { Attributes, Caller } from '../../../mount/filesystem/types.js';
import {
  bytes,
  CALLER,
  Fixture,
  newResult,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  StepClock,
  split,
} from '../fixture.js';

const E = constants.errno;
const OWNER: Caller = { uid: process.getuid?.() ?? 0, gid: 0, pid: 1, umask: 0 };
const STRANGER: Caller = { ...CALLER, uid: 54_321 };

export function snapshotsSuite(name: string, makeTree: () => TreeOperations): void {
  describe(`snapshots over ${name}`, () => {
    let f: Fixture;
    beforeEach(() => {
      f = new Fixture(makeTree(), { clock: new StepClock(), snapshotDirectory: '.snap' });
    });
    afterEach(() => f.cleanUp());

    const inoOf = (path: string): number => f.stat(path).ino;
    const make = (name: string, directory = ''): PastPlace => {
      const place = f.fs.past.make(OWNER, inoOf(directory), bytes(name));
      if (typeof place === 'number') throw new Error(`no snapshot: ${place}`);
      return place;
    };
    const find = (directory: string, name: string): PastPlace => {
      const place = f.fs.past.find(inoOf(directory), bytes(name));
      if (typeof place === 'number') throw new Error(`not found: ${place}`);
      return { ...place };
    };
    const below = (place: PastPlace, path: string): PastPlace => ({
      ...place,
      path: Buffer.concat([place.path, bytes(path)]),
    });
    const names = (directory: string): string[] =>
      Array.from(f.fs.past.names(inoOf(directory), 0), ({ name }) => name);
    const stat = (place: PastPlace): Attributes => {
      const out = newAttributes();
      expect(f.fs.past.getattr(place, out)).toBe(0);
      return out;
    };
    const list = (place: PastPlace): string[] => {
      const handle = f.fs.past.opendir(place);
      if (handle < 0) throw new Error(`opendir: ${handle}`);
      const found: string[] = [];
      f.fs.past.readdir(handle, 0, true, newAttributes(), (entry) => {
        found.push(Buffer.from(entry).toString('latin1'));
        return true;
      });
      f.fs.past.releasedir(handle);
      return found.slice(2);
    };
    const read = (place: PastPlace): string | number => {
      const handle = f.fs.past.open(place, O_RDONLY);
      if (handle < 0) return handle;
      const into = Buffer.alloc(1 << 16);
      const length = f.fs.past.read(handle, into, 0, into.length, 0);
      expect(f.fs.past.release(handle)).toBe(0);
      return length < 0 ? length : into.toString('latin1', 0, length);
    };
    const rename = (from: string, to: string, flags = 0): number => {
      const [a, b] = [split(from), split(to)];
      return f.fs.rename(CALLER, a.parent, a.name, b.parent, b.name, flags, newResult());
    };
    const rmdir = (path: string): number => {
      const { parent, name } = split(path);
      return f.fs.rmdir(CALLER, parent, name, newResult());
    };

    it('have a directory as it was, whatever happens to it', () => {
      f.mkdir('/d');
      f.mkdir('/d/sub');
      f.write('/d/file', 'before');
      f.write('/d/gone', 'soon');
      const then = f.stat('/d/file');
      const place = make('one');
      f.write('/d/file', 'after!!');
      f.write('/d/new', 'new');
      const { parent, name } = split('/d/gone');
      f.fs.unlink(CALLER, parent, name, newResult());
      rename('/d/sub', '/sub');
      expect(list(below(place, '/d'))).toEqual(['file', 'gone', 'sub']);
      expect(list(find('/d', 'one'))).toEqual(['file', 'gone', 'sub']);
      expect(stat(below(place, '/d/file'))).toMatchObject({ ...then, live: false });
      expect(read(below(place, '/d/file'))).toBe('before');
      expect(read(below(place, '/d/gone'))).toBe('soon');
      expect(f.read('/d/file')).toBe('after!!');
      expect(f.list('/d')).toEqual(['file', 'new']);
    });

    it('tell what is in a directory and below it, as it was', () => {
      f.mkdir('/d');
      f.mkdir('/d/sub');
      f.write('/d/sub/file', 'x'.repeat(100));
      f.create('/d/open');
      const handle = f.fs.open(CALLER, bytes('/d/open'), O_WRONLY);
      f.fs.write(handle, Buffer.alloc(20), 0, 20, 0);
      f.fs.setxattr(OWNER, bytes('/d'), bytes('spinney.quota.files'), bytes('9'), 0);
      const place = make('one');
      f.fs.write(handle, Buffer.alloc(20), 0, 20, 20);
      f.fs.release(handle);
      f.unlink('/d/sub/file');
      const get = (at: PastPlace, key: string): string | number => {
        const value = f.fs.past.getxattr(at, bytes(key));
        return typeof value === 'number' ? value : Buffer.from(value).toString();
      };
      const keys = ['entries', 'files', 'subdirs', 'rentries', 'rfiles', 'rsubdirs', 'rbytes'];
      for (const at of [below(place, '/d'), find('/d', 'one')]) {
        expect(keys.map((key) => get(at, `spinney.dir.${key}`))).toEqual([
          '2',
          '1',
          '1',
          '3',
          '2',
          '1',
          '120',
        ]);
        expect(get(at, 'spinney.quota.files')).toBe(-E.ENODATA);
      }
      expect(get(place, 'spinney.dir.rentries')).toBe('4');
      expect(get(below(place, '/d/sub/file'), 'spinney.dir.rbytes')).toBe(-E.ENODATA);
      expect(get(below(place, '/none'), 'spinney.dir.rbytes')).toBe(-E.ENOENT);
    });

    it('are seen by the directories that they have, by number, wherever these are by now', () => {
      f.mkdir('/a');
      f.mkdir('/a/b');
      f.mkdir('/a/b/c');
      f.write('/a/b/c/f', 'c');
      make('one');
      f.mkdir('/late');
      expect(names('/late')).toEqual([]);
      expect(f.fs.past.find(inoOf('/late'), bytes('one'))).toBe(-E.ENOENT);
      expect(rename('/a/b', '/moved')).toBe(0);
      expect(rename('/moved/c', '/late/d')).toBe(0);
      make('two');
      // What it was in is gone.
      expect(rmdir('/a')).toBe(0);
      expect(names('/moved')).toEqual(['one', 'two']);
      expect(Buffer.from(find('/late/d', 'one').path).toString()).toBe('/a/b/c');
      expect(Buffer.from(find('/late/d', 'two').path).toString()).toBe('/late/d');
      expect(read(below(find('/late/d', 'one'), '/f'))).toBe('c');
      expect(names('/late')).toEqual(['two']);
      expect(names('')).toEqual(['one', 'two']);
      // Another directory at an old path is not the one that was there.
      f.mkdir('/a');
      expect(names('/a')).toEqual([]);
    });

    it('follow an exchange, and a directory that another replaced', () => {
      f.mkdir('/x');
      f.write('/x/in-x', '');
      f.mkdir('/y');
      f.mkdir('/y/z');
      f.mkdir('/empty');
      make('one');
      expect(rename('/x', '/y/z', 2)).toBe(0);
      expect(list(find('/y/z', 'one'))).toEqual(['in-x']);
      expect(Buffer.from(find('/x', 'one').path).toString()).toBe('/y/z');
      expect(rename('/y/z', '/empty')).toBe(0);
      expect(Buffer.from(find('/empty', 'one').path).toString()).toBe('/x');
    });

    it('give links, special files, attributes and lists as they were', () => {
      f.write('/one', 'linked');
      expect(f.fs.link(CALLER, bytes('/one'), bytes(''), bytes('other'), newAttributes())).toBe(0);
      f.fs.symlink(CALLER, bytes(''), bytes('soft'), bytes('one'), newAttributes());
      f.fs.mknod(CALLER, bytes(''), bytes('pipe'), 0o010644, 0, newAttributes());
      f.fs.setxattr(CALLER, bytes('/one'), bytes('user.k'), bytes('then'), 0);
      f.fs.setxattr(CALLER, bytes(''), bytes('user.root'), bytes('r'), 0);
      const acl = Buffer.from(
        '0200000001000600ffffffff02000600070000000400' + '0400ffffffff10000600ffffffff20000400ffffffff',
        'hex',
      );
      expect(f.fs.setAccessList(bytes('/one'), ACCESS_LIST, acl, false)).toBe(0);
      const place = make('s');
      f.fs.setxattr(CALLER, bytes('/one'), bytes('user.k'), bytes('now'), 0);
      f.fs.removexattr(CALLER, bytes(''), bytes('user.root'));
      f.fs.unlink(CALLER, bytes(''), bytes('other'), newResult());
      const [one, other] = [stat(below(place, '/one')), stat(below(place, '/other'))];
      expect(other).toEqual(one);
      expect(one.nlink).toBe(2);
      expect(read(below(place, '/other'))).toBe('linked');
      const text = (value: Uint8Array | number) =>
        typeof value === 'number' ? value : Buffer.from(value).toString('latin1');
      expect(text(f.fs.past.readlink(below(place, '/soft')))).toBe('one');
      expect(f.fs.past.readlink(below(place, '/one'))).toBe(-E.EINVAL);
      expect(f.fs.past.open(below(place, '/pipe'), O_RDONLY)).toBe(-E.ENXIO);
      expect(text(f.fs.past.getxattr(below(place, '/other'), bytes('user.k')))).toBe('then');
      expect(text(f.fs.past.getxattr(place, bytes('user.root')))).toBe('r');
      expect(f.fs.past.getxattr(below(place, '/one'), ACCESS_LIST)).toEqual(new Uint8Array(acl));
      expect(text(f.fs.past.listxattr(CALLER, below(place, '/one')))).toContain('user.k\0');
      expect(f.fs.past.getxattr(place, bytes('user.absent'))).toBe(-E.ENODATA);
    });

    it('are made and deleted by the owner and by root alone', () => {
      f.mkdir('/d');
      const d = inoOf('/d');
      expect(f.fs.past.make(STRANGER, d, bytes('s'))).toBe(-E.EPERM);
      const place = make('s', '/d');
      expect(Buffer.from(place.path).toString()).toBe('/d');
      expect(f.fs.past.make(OWNER, 1, bytes('s'))).toBe(-E.EEXIST);
      expect(f.fs.past.remove(STRANGER, d, bytes('s'))).toBe(-E.EPERM);
      expect(f.fs.past.remove({ ...STRANGER, uid: 0 }, d, bytes('s'))).toBe(0);
      expect(names('')).toEqual([]);
      expect(f.fs.past.remove(OWNER, d, bytes('s'))).toBe(-E.ENOENT);
    });

    it('take names that a directory can have, but none of the schedule', () => {
      for (const bad of ['..', 'a\xff', 'hourly-2026-11-30T06Z', 'daily-2026-11-30', 'weekly-2026-W49']) {
        expect(f.fs.past.make(OWNER, 1, bytes(bad))).toBe(-E.EINVAL);
      }
      expect(f.fs.past.make(OWNER, 1, bytes('x'.repeat(256)))).toBe(-E.ENAMETOOLONG);
      make('hourly-by-hand');
      make('x'.repeat(255));
      expect(names('')).toHaveLength(2);
    });

    it('are stale once they are deleted, also when another has the name', () => {
      f.write('/f', 'old');
      const place = { ...make('s') };
      const directory = f.fs.past.opendir(place);
      expect(f.fs.past.remove(OWNER, 1, bytes('s'))).toBe(0);
      f.write('/f', 'new');
      make('s');
      expect(f.fs.past.getattr(below(place, '/f'), newAttributes())).toBe(-E.ESTALE);
      expect(f.fs.past.lookup(place, bytes('f'), newAttributes())).toBe(-E.ESTALE);
      expect(f.fs.past.opendir(place)).toBe(-E.ESTALE);
      expect(f.fs.past.open(below(place, '/f'), O_RDONLY)).toBe(-E.ESTALE);
      expect(f.fs.past.getxattr(place, bytes('user.k'))).toBe(-E.ESTALE);
      expect(f.fs.past.readdir(directory, 0, false, newAttributes(), () => true)).toBe(-E.ESTALE);
      expect(f.fs.past.releasedir(directory)).toBe(0);
      expect(read(below(find('', 's'), '/f'))).toBe('new');
    });

    it('open nothing for writing', () => {
      f.write('/f', 'x');
      const place = below(make('s'), '/f');
      for (const flags of [O_WRONLY, O_RDWR, 0o1000]) {
        expect(f.fs.past.open(place, flags)).toBe(-E.EROFS);
      }
      expect(f.fs.past.open(below(place, '/x'), O_RDONLY)).toBe(-E.ENOENT);
    });

    it('keep a bounded number open, of trees and of descriptors', () => {
      f.write('/f', 'x');
      const places = Array.from({ length: 12 }, (_, i) => {
        f.write('/f', `content ${i}`);
        return { ...below(make(`s${i}`), '/f') };
      });
      const handles = Array.from({ length: 100 }, (_, i) => f.fs.past.open(places[i % 12]!, O_RDONLY));
      expect(f.fs.past.counts).toMatchObject({ files: 100 });
      expect(f.fs.past.counts.snapshots).toBeLessThanOrEqual(4);
      const into = Buffer.alloc(20);
      for (const [i, handle] of handles.entries()) {
        const length = f.fs.past.read(handle, into, 0, 20, 0);
        expect(into.toString('latin1', 0, length)).toBe(`content ${i % 12}`);
      }
      expect(f.openContentDescriptors()).toBeLessThanOrEqual(40);
      for (const handle of handles) expect(f.fs.past.release(handle)).toBe(0);
      expect(f.fs.past.counts.files).toBe(0);
    });

    it('hide under a name that no entry may have', () => {
      f.mkdir('/d');
      f.write('/f', '');
      const parent = bytes('/d');
      const hidden = bytes('.snap');
      const out = newAttributes();
      expect(f.fs.past.isDirectoryName(hidden)).toBe(true);
      expect(f.fs.mkdir(CALLER, parent, hidden, 0o755, out)).toBe(-E.EEXIST);
      expect(f.fs.symlink(CALLER, parent, hidden, bytes('t'), out)).toBe(-E.EEXIST);
      expect(f.fs.mknod(CALLER, parent, hidden, 0o100644, 0, out)).toBe(-E.EEXIST);
      expect(f.fs.create(CALLER, parent, hidden, 0o100644, O_RDWR, false, out)).toBe(-E.EEXIST);
      expect(f.fs.link(CALLER, bytes('/f'), parent, hidden, out)).toBe(-E.EEXIST);
      expect(rename('/f', '/d/.snap')).toBe(-E.EEXIST);
      expect(rename('/f', '/d/.snap', 2)).toBe(-E.EEXIST);
      expect(rename('/d/.snap', '/x')).toBe(-E.EPERM);
      expect(rmdir('/d/.snap')).toBe(-E.EPERM);
      expect(f.fs.unlink(CALLER, parent, hidden, newResult())).toBe(-E.EISDIR);
      expect(f.list('/d')).toEqual([]);
      make('s');
      expect(f.list('')).toEqual(['d', 'f']);
      expect(rmdir('/d')).toBe(0);
    });

    it('leave an entry of that name alone that was there before', () => {
      f.fs.close();
      f.open({ snapshotDirectory: undefined });
      f.mkdir('/.snap');
      f.write('/.snap/mine', 'kept');
      f.fs.close();
      f.open();
      expect(f.read('/.snap/mine')).toBe('kept');
      const place = make('s');
      expect(read(below(place, '/.snap/mine'))).toBe('kept');
      expect(f.fs.unlink(CALLER, bytes('/.snap'), bytes('mine'), newResult())).toBe(0);
      expect(rmdir('/.snap')).toBe(0);
      expect(f.fs.mkdir(CALLER, bytes(''), bytes('.snap'), 0o755, newAttributes())).toBe(-E.EEXIST);
    });

    it('are refused in a read-only mount, and read there', () => {
      f.write('/f', 'x');
      make('s');
      f.fs.close();
      f.open({ readOnly: true });
      expect(f.fs.past.make(OWNER, 1, bytes('t'))).toBe(-E.EROFS);
      expect(f.fs.past.remove(OWNER, 1, bytes('s'))).toBe(-E.EROFS);
      expect(() => f.fs.snapshots.take('t')).toThrow('the mount is read-only');
      expect(read(below(find('', 's'), '/f'))).toBe('x');
    });

    it('find the directories of a store that an older version wrote', () => {
      f.mkdir('/a');
      f.mkdir('/a/b');
      f.mkdir('/c');
      for (const path of ['/a', '/a/b', '/c']) f.tree.delete(positionKey(inoOf(path)));
      f.tree.delete(POSITIONS_KEY);
      expect(rename('/a/b', '/c/d')).toBe(0);
      expect(Buffer.from(make('s', '/a').path).toString()).toBe('/a');
      for (const path of ['/a', '/c', '/c/d']) {
        expect(Buffer.from(find(path, 's').path).toString()).toBe(path);
      }
    });
  });
}
