/** The disks agree on what the ContentDisk interface promises, and the one in memory knows what a power cut leaves. */
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type ContentDisk,
  newFileStatus,
  syncDirectory,
} from '../../../mount/filesystem/contents/disk/content-disk.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import { FaultContents } from './fault-contents.js';
import { FaultDisk } from './fault-disk.js';
import { MemoryContents } from './memory-contents.js';
import { MemoryDisk } from './memory-disk.js';

const { ENXIO, ENOENT } = constants.errno;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const temporary = mkdtempSync(join(tmpdir(), 'spinney-contents-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

const status = newFileStatus();
const CLOCK = { seconds: 1_700_000_000, nanos: 7 };

describe.each<[string, () => { disk: ContentDisk; root: string }]>([
  ['SystemDisk', () => ({ disk: new SystemDisk(), root: mkdtempSync(join(temporary, 'real-')) })],
  ['MemoryContents', () => ({ disk: new MemoryContents(new MemoryDisk({ clock: CLOCK })), root: '' })],
  [
    'FaultContents',
    () => ({ disk: new FaultContents(new FaultDisk(new MemoryDisk({ clock: CLOCK }))), root: '' }),
  ],
])('%s', (_name, create) => {
  let disk: ContentDisk;
  let root: string;
  beforeEach(() => {
    ({ disk, root } = create());
  });

  function write(path: string, text: string, position = 0): void {
    const found = disk.open(path, 'write');
    const fd = found < 0 ? disk.open(path, 'create') : found;
    const data = Buffer.from(`.${text}`);
    expect(disk.write(fd, data, 1, text.length, position)).toBe(text.length);
    disk.close(fd);
  }

  function read(path: string): string {
    const fd = disk.open(path, 'read');
    const into = Buffer.alloc(100);
    const length = disk.read(fd, into, 1, 90, 0);
    disk.close(fd);
    return into.toString('latin1', 1, 1 + length);
  }

  it('opens what is there, and makes files where their directory is', () => {
    expect(disk.open(`${root}/a`, 'read')).toBe(-1);
    expect(disk.open(`${root}/a`, 'write')).toBe(-1);
    expect(disk.open(`${root}/d/a`, 'create')).toBe(-1);
    write(`${root}/a`, 'hello');
    write(`${root}/a`, 'J');
    expect(read(`${root}/a`)).toBe('Jello');
    const fd = disk.open(`${root}/a`, 'read');
    expect(() => disk.truncate(fd, 0)).toThrow();
    disk.close(fd);
    disk.close(disk.open(`${root}/a`, 'create'));
    expect(read(`${root}/a`)).toBe('');
  });

  it('tells sizes and times, and which file it is', () => {
    write(`${root}/a`, 'hello');
    const fd = disk.open(`${root}/a`, 'write');
    disk.status(fd, status);
    const identity = disk.lastIdentity();
    expect([status.size, disk.lastWas(identity), status.mtimeSeconds > 1e9]).toEqual([5, true, true]);
    disk.setModificationTime(fd, 12, 345);
    expect(disk.statusAt(`${root}/a`, status)).toBe(true);
    expect(status).toMatchObject({ size: 5, mtimeSeconds: 12, mtimeNanos: 345 });
    expect(disk.lastChangeSeconds()).toBeGreaterThan(1e9);
    disk.truncate(fd, 8);
    disk.status(fd, status);
    expect([status.size, status.mtimeSeconds > 1e9]).toEqual([8, true]);
    disk.rename(`${root}/a`, `${root}/b`);
    expect(disk.statusAt(`${root}/b`, status) && disk.lastWas(identity)).toBe(true);
    write(`${root}/a`, 'hello');
    expect(disk.statusAt(`${root}/a`, status) && disk.lastWas(identity)).toBe(false);
    disk.remove(`${root}/a`);
    expect(disk.statusAt(`${root}/a`, status)).toBe(false);
    disk.close(fd);
  });

  it('knows who writes to a file', () => {
    write(`${root}/a`, 'hello');
    const reader = disk.open(`${root}/a`, 'read');
    expect(disk.isWrittenElsewhere(reader)).toBe(false);
    const writer = disk.open(`${root}/a`, 'write');
    expect(disk.isWrittenElsewhere(reader)).toBe(true);
    disk.close(writer);
    expect(disk.isWrittenElsewhere(reader)).toBe(false);
    disk.close(reader);
  });

  it('allocates, punches, copies, and finds holes', () => {
    const fd = disk.open(`${root}/a`, 'create');
    expect(disk.allocate(fd, 0, 0, 10)).toBe(0);
    disk.status(fd, status);
    expect(status.size).toBe(10);
    expect(disk.allocate(fd, 1, 0, 100)).toBe(0);
    disk.status(fd, status);
    expect(status.size).toBe(10);
    const data = new Uint8Array(4096).fill(1);
    expect(disk.write(fd, data, 0, data.length, 8192)).toBe(4096);
    expect(disk.allocate(fd, 3, 0, 4096)).toBe(0);
    expect(disk.seek(fd, 0, SEEK_DATA)).toBe(8192);
    expect(disk.seek(fd, 0, SEEK_HOLE)).toBe(0);
    expect(disk.seek(fd, 8192, SEEK_HOLE)).toBe(12_288);
    expect([disk.seek(fd, 12_288, SEEK_DATA), disk.seek(fd, -1, SEEK_DATA)]).toEqual([-ENXIO, -ENXIO]);
    const to = disk.open(`${root}/b`, 'create');
    expect(disk.copyRange(fd, 12_286, to, 3, 100)).toBe(2);
    expect(disk.copyRange(fd, 12_288, to, 3, 100)).toBe(0);
    expect(read(`${root}/b`)).toBe('\0\0\0\x01\x01');
    disk.close(fd);
    disk.close(to);
  });

  it('makes directories, lists and removes them, and moves files between them', () => {
    disk.makeDirectory(`${root}/x/y`);
    disk.makeDirectory(`${root}/x/y`);
    write(`${root}/x/a`, 'hello');
    expect(disk.list(`${root}/x`).sort((a, b) => (a.name < b.name ? -1 : 1))).toEqual([
      { name: 'a', kind: 'file' },
      { name: 'y', kind: 'directory' },
    ]);
    expect(disk.nodeAt(`${root}/x`)).toEqual({ kind: 'directory', uid: process.geteuid?.() });
    expect(disk.nodeAt(`${root}/x/a`)?.kind).toBe('file');
    expect(disk.nodeAt(`${root}/x/b`)).toBeUndefined();
    disk.rename(`${root}/x/a`, `${root}/x/y/b`);
    expect(() => disk.rename(`${root}/x/a`, `${root}/x/y/b`)).toThrow(
      expect.objectContaining({ errno: -ENOENT }),
    );
    expect(read(`${root}/x/y/b`)).toBe('hello');
    expect(() => disk.list(`${root}/z`)).toThrow(expect.objectContaining({ errno: -ENOENT }));
    expect(() => disk.openDirectory(`${root}/z`)).toThrow(expect.objectContaining({ errno: -ENOENT }));
    disk.removeDirectory(`${root}/x`);
    disk.removeDirectory(`${root}/x`);
    expect(disk.nodeAt(`${root}/x`)).toBeUndefined();
    disk.remove(`${root}/x/a`);
    const fd = disk.openDirectory(root === '' ? '/' : root);
    disk.fsync(fd);
    disk.syncFilesystem(fd);
    expect(disk.space(root === '' ? '/' : root).bsize).toBeGreaterThan(0);
    disk.close(fd);
  });
});

describe('after a power cut', () => {
  const text = (contents: MemoryContents, path: string): string | undefined => {
    const fd = contents.open(path, 'read');
    if (fd < 0) return undefined;
    const into = Buffer.alloc(100);
    return into.toString('latin1', 0, contents.read(fd, into, 0, 100, 0));
  };

  it('a name is there if its directory and those above it were synced', () => {
    const disk = new MemoryDisk();
    const contents = new MemoryContents(disk);
    contents.makeDirectory('/a/b');
    const fd = contents.open('/a/b/file', 'create');
    contents.write(fd, Buffer.from('hello'), 0, 5, 0);
    contents.fsync(fd);
    syncDirectory(contents, '/a/b');
    syncDirectory(contents, '/a');
    const found = () => text(new MemoryContents(disk.afterPowerCut('drop')), '/a/b/file');
    expect(found()).toBeUndefined();
    syncDirectory(contents, '/');
    expect(found()).toBe('hello');
    contents.write(fd, Buffer.from('J'), 0, 1, 0);
    contents.rename('/a/b/file', '/a/moved');
    expect(found()).toBe('hello');
    contents.syncFilesystem(fd);
    expect(text(new MemoryContents(disk.afterPowerCut('drop')), '/a/moved')).toBe('Jello');
    expect(found()).toBeUndefined();
  });

  it('of a move between directories either half may be lost', () => {
    const disk = new MemoryDisk();
    const contents = new MemoryContents(disk);
    for (const path of ['/a', '/b']) contents.makeDirectory(path);
    const fd = contents.open('/a/file', 'create');
    contents.syncFilesystem(fd);
    contents.rename('/a/file', '/b/file');
    syncDirectory(contents, '/b');
    const cut = new MemoryContents(disk.afterPowerCut('drop'));
    expect([text(cut, '/a/file'), text(cut, '/b/file')]).toEqual(['', '']);
  });

  it('times and sizes are as of one moment', () => {
    const clock = { seconds: 100, nanos: 0 };
    const disk = new MemoryDisk({ clock });
    const contents = new MemoryContents(disk);
    const fd = contents.open('/file', 'create');
    contents.syncFilesystem(fd);
    clock.seconds = 200;
    contents.write(fd, Buffer.from('hello'), 0, 5, 0);
    const left = (how: 'drop' | 'keep') => {
      const cut = new MemoryContents(disk.afterPowerCut(how));
      cut.statusAt('/file', status);
      return [status.size, cut.lastChangeSeconds()];
    };
    expect([left('drop'), left('keep')]).toEqual([
      [0, 0],
      [5, 200],
    ]);
    expect(contents.bootId()).not.toBe(new MemoryContents(disk.afterPowerCut('keep')).bootId());
    expect(contents.bootId()).toBe(new MemoryContents(disk.afterKill()).bootId());
  });

  it('a sync that failed leaves nothing for the next one', () => {
    const disk = new FaultDisk(new MemoryDisk());
    const contents = new FaultContents(disk);
    const fd = contents.open('/file', 'create');
    syncDirectory(contents, '/');
    contents.write(fd, Buffer.from('hello'), 0, 5, 0);
    disk.failNth('fsync', 1, { error: 'EIO', lose: true });
    expect(() => contents.fsync(fd)).toThrow('EIO');
    contents.fsync(fd);
    expect(text(new MemoryContents(disk.inner.afterPowerCut('keep')), '/file')).toBe('');
    expect(text(contents.inner, '/file')).toBe('hello');
  });
});
