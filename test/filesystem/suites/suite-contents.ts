/** Contents, open files, and what is left of them after a crash, for any tree. */
import { readdirSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TreeOperations } from '../../../engine/api.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import * as types from '../../../mount/filesystem/types.js';
import { bytes, CALLER, Fixture, O_RDONLY, O_RDWR, O_WRONLY, StepClock } from '../fixture.js';

const E = constants.errno;

export function contentsSuite(name: string, makeTree: () => TreeOperations): void {
  describe(`filesystem over ${name}`, () => {
    let f: Fixture;
    beforeEach(() => {
      f = new Fixture(makeTree(), { clock: new StepClock() });
    });
    afterEach(() => f.cleanUp());

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
          openContents: 0,
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

      it('plans an fsync: content, its name once, then the tree', () => {
        f.create('/a');
        const handle = f.fs.open(CALLER, bytes('/a'), O_RDWR);
        expect(f.fs.fsyncPlan(handle)).toMatchObject({ identity: undefined, names: false });
        f.fs.write(handle, Buffer.from('x'), 0, 1, 0);
        const { ino } = f.stat('/a');
        const { ino: file } = statSync(contentPath(f.contentDirectory, ino));
        expect(f.fs.fsyncPlan(handle)).toMatchObject({ ino, identity: { file }, names: true });
        expect(f.fs.fsync(handle)).toBe(0);
        expect(f.fs.fsyncPlan(handle)).toMatchObject({ ino, identity: { file }, names: false });
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
        f.reclaimed([a, b]);
        for (const prefix of ['i', 'o', 'x', 'y']) expect(f.tree.isPrefixEmpty(prefix)).toBe(true);
      } finally {
        f.cleanUp();
      }
    });
  });
}
