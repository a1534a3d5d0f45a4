import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { IMAGE_OFFSET, sealImage } from '../../../engine/store/image.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { describeBlobStore } from './contract.js';
import { contentsOf, makeImage, makeMark } from './images.js';

const open = (disk: MemoryDisk, readOnly = false) =>
  FileBlobStore.open({ dir: '/store', disk, create: !readOnly, readOnly });
const withCode = (code: string) => expect.objectContaining({ code });

function damage(disk: MemoryDisk, path: string): void {
  const bytes = disk.readFile(path);
  bytes[0]! ^= 0xff;
  disk.writeFile(path, bytes);
}

const temporary = mkdtempSync(join(tmpdir(), 'spinney-store-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));
let stores = 0;

describeBlobStore('FileBlobStore in memory', () => open(new MemoryDisk()));
describeBlobStore('FileBlobStore on a real disk', () =>
  FileBlobStore.open({ dir: join(temporary, `contract-${stores++}`), disk: new NodeDisk(), create: true }),
);

describe('FileBlobStore', () => {
  it('finds everything published after reopening, and nothing that was only staged', () => {
    const dir = join(temporary, 'reopen');
    const disk = new NodeDisk();
    const first = FileBlobStore.open({ dir, disk, create: true });
    first.writeBlob(1, makeImage(1, 10));
    first.writeBlob(2, makeImage(2, 20));
    first.flush(makeMark(1, [5]));
    first.deleteBlob(1);
    first.writeBlob(3, makeImage(3, 30));
    first.flush(makeMark(2));
    first.writeBlob(2, makeImage(2, 21));
    first.close();
    for (const readOnly of [false, true, true]) {
      const again = FileBlobStore.open({ dir, disk, readOnly });
      expect(contentsOf(again)).toEqual({ blobs: { 2: 20, 3: 30 }, mark: makeMark(2) });
      expect(again.blobRow(3)).toMatchObject({ id: 3, generation: 30, liveBytes: 30 });
      again.close();
    }
  });

  it('survives compaction of the log into snapshots', () => {
    const disk = new FaultDisk(new MemoryDisk());
    const store = FileBlobStore.open({ dir: '/store', disk, create: true });
    const many = Array.from({ length: 20_000 }, (_, i) => i + 1);
    for (let round = 1; round <= 12; round++) {
      store.writeBlob(1, makeImage(1, round));
      store.flush(makeMark(round, many));
    }
    const renames = disk.calls.filter((call) => call.name === 'rename').length;
    expect(renames).toBeGreaterThan(1);
    expect(renames).toBeLessThan(12);
    store.close();
    expect(contentsOf(open(disk.inner))).toEqual({ blobs: { 1: 12 }, mark: makeMark(12, many) });
  });

  it('appends to the log again after a compaction that failed before its rename', () => {
    const disk = new FaultDisk(new MemoryDisk());
    const store = FileBlobStore.open({ dir: '/store', disk, create: true });
    // A delta too large for the log asks for a snapshot, which finds no space.
    const many = Array.from({ length: 100_000 }, (_, i) => i + 1);
    store.flush(makeMark(1));
    disk.onCall = ({ name, path }) =>
      name !== 'close' && /spare|manifest\.log/.test(path) ? { error: 'ENOSPC' } : undefined;
    expect(() => store.flush(makeMark(2, many))).toThrow(withCode('ERR_NO_SPACE'));
    disk.heal();
    store.flush(makeMark(3));
    store.writeBlob(1, makeImage(1, 4));
    store.flush(makeMark(4));
    store.close();
    expect(contentsOf(open(disk.inner, true))).toEqual({ blobs: { 1: 4 }, mark: makeMark(4) });
  });

  it('writes nothing when opened for reading, and refuses changes', () => {
    const disk = new MemoryDisk();
    open(disk).close();
    const faults = new FaultDisk(disk);
    const store = FileBlobStore.open({ dir: '/store', disk: faults, readOnly: true });
    expect(() => store.writeBlob(1, makeImage(1, 1))).toThrow(withCode('ERR_READ_ONLY'));
    expect(() => store.deleteBlob(1)).toThrow(withCode('ERR_READ_ONLY'));
    expect(() => store.flush()).toThrow(withCode('ERR_READ_ONLY'));
    store.close();
    const harmless = new Set(['open', 'close', 'read', 'size', 'exists', 'list', 'lock', 'isSameFile']);
    expect(faults.calls.filter((call) => !harmless.has(call.name))).toEqual([]);
    expect(disk.openPaths()).toEqual([]);
  });

  it('refuses use after close', () => {
    const store = open(new MemoryDisk());
    store.close();
    store.close();
    expect(() => store.listBlobs()).toThrow(withCode('ERR_CLOSED'));
    expect(() => store.flush()).toThrow(withCode('ERR_CLOSED'));
  });

  it('tells whether there is a store, and makes one only where nothing else is', () => {
    const disk = new MemoryDisk();
    expect(FileBlobStore.exists('/store', disk)).toBe(false);
    expect(() => FileBlobStore.open({ dir: '/store', disk })).toThrow(withCode('ERR_NO_STORE'));
    disk.mkdir('/store');
    disk.writeFile('/store/notes.txt', new Uint8Array(3));
    for (const readOnly of [false, true]) {
      expect(() => open(disk, readOnly)).toThrow(withCode('ERR_NO_STORE'));
      expect(() => open(disk, readOnly)).toThrow(/notes\.txt/);
    }
    expect(FileBlobStore.exists('/store', disk)).toBe(false);
    expect(disk.list('/store')).toEqual(['notes.txt']);
    disk.unlink('/store/notes.txt');
    open(disk).close();
    expect(FileBlobStore.exists('/store', disk)).toBe(true);
    // Beside a store anything may lie.
    disk.writeFile('/store/notes.txt', new Uint8Array(3));
    open(disk).close();
    open(disk, true).close();
  });

  it.each([
    [['lock']],
    [['manifest.spare']],
    [['manifest.log', 'lock']],
    [['content']],
    [['manifest']],
    [['blobs.dat', 'report.txt']],
    [['manifest', 'manifest.log', 'blobs.dat', 'index.html']],
    [['spinney.log', 'access.log']],
  ])('takes %j of others for no store', (names) => {
    const disk = new MemoryDisk();
    disk.mkdir('/store');
    for (const name of names) disk.writeFile(`/store/${name}`, Buffer.from('another program wrote this'));
    expect(() => open(disk)).toThrow(withCode('ERR_NO_STORE'));
    expect(() => open(disk, true)).toThrow(withCode('ERR_NO_STORE'));
    expect(disk.list('/store').sort()).toEqual([...names].sort());
  });

  it.each([
    [['lost+found']],
    [['spinney.log']],
    [['blobs.dat']],
    [['spinney.log', 'blobs.dat', 'lock', 'manifest.log']],
    [['lost+found', 'blobs.dat', 'lock', 'manifest.log', 'manifest.spare']],
  ])('goes on where a making left %j, all empty', (names) => {
    const disk = new MemoryDisk();
    disk.mkdir('/store');
    for (const name of names) disk.writeFile(`/store/${name}`, new Uint8Array(0));
    expect(() => open(disk, true)).toThrow(withCode('ERR_NO_STORE'));
    open(disk).close();
    expect(contentsOf(open(disk))).toEqual({ blobs: {}, mark: undefined });
  });

  it('finds the store by any one of its marks', () => {
    const marked = ['manifest', 'manifest.log', 'blobs.dat'];
    for (const left of marked) {
      const disk = new MemoryDisk();
      const store = open(disk);
      store.writeBlob(1, makeImage(1, 1));
      store.flush(makeMark(1));
      store.close();
      disk.writeFile('/store/notes.txt', new Uint8Array(3));
      for (const name of marked) if (name !== left) damage(disk, `/store/${name}`);
      expect(FileBlobStore.exists('/store', disk), left).toBe(true);
      damage(disk, `/store/${left}`);
      expect(FileBlobStore.exists('/store', disk), left).toBe(false);
      // With nothing but names of a store's it still is one, and damaged.
      disk.unlink('/store/notes.txt');
      expect(() => open(disk, true)).toThrow(withCode('ERR_MANIFEST_CORRUPT'));
    }
  });

  it('takes a store without its manifest, log or data file as damaged', () => {
    for (const name of ['manifest', 'manifest.log', 'blobs.dat']) {
      const disk = new MemoryDisk();
      open(disk).close();
      disk.unlink(`/store/${name}`);
      expect(FileBlobStore.exists('/store', disk)).toBe(true);
      expect(() => open(disk), name).toThrow(withCode('ERR_MANIFEST_CORRUPT'));
      expect(() => open(disk, true), name).toThrow(name);
      expect(disk.openPaths()).toEqual([]);
    }
  });

  it('gives the space of deleted blobs back', () => {
    const disk = new MemoryDisk();
    const store = open(disk);
    for (let id = 1; id <= 60; id++) store.writeBlob(id, makeImage(id, id));
    store.flush();
    expect(store.diskBytes()).toBeGreaterThanOrEqual(60 * BLOB_SIZE);
    for (let id = 2; id <= 59; id++) store.deleteBlob(id);
    store.flush();
    expect(store.readySlots()).toBe(58);
    store.trimSlots(8);
    // Blob 60 holds the tail in place, the slots before it are holes but for those that are to stay ready.
    expect(disk.usedBytes).toBeLessThan((2 + 8 + 2) * BLOB_SIZE);
    store.deleteBlob(60);
    store.flush();
    store.trimSlots(8);
    expect(store.readySlots()).toBe(8);
    expect(disk.usedBytes).toBeLessThan((1 + 8 + 2) * BLOB_SIZE);
    store.trimSlots(0);
    expect(store.diskBytes()).toBe(BLOB_SIZE);
    expect(contentsOf(store).blobs).toEqual({ 1: 1 });
  });

  it('does not grow when the same blobs are written again and again', () => {
    const store = open(new MemoryDisk());
    for (let round = 1; round <= 30; round++) {
      for (let id = 1; id <= 4; id++) store.writeBlob(id, makeImage(id, round));
      if (round % 3 !== 0) store.flush();
    }
    expect(store.diskBytes()).toBeLessThanOrEqual((4 + 8) * BLOB_SIZE);
  });

  it('refuses an image that is not sealed for the blob', () => {
    const store = open(new MemoryDisk());
    expect(() => store.writeBlob(1, makeImage(2, 1))).toThrow(withCode('ERR_INVALID_ARGUMENT'));
    expect(() => store.writeBlob(1, new Uint8Array(BLOB_SIZE))).toThrow(withCode('ERR_INVALID_ARGUMENT'));
    expect(store.needsFlush()).toBe(false);
  });
});

describe('FileBlobStore, damage in blobs.dat', () => {
  /** A store whose blobs 1, 2, 3 are in slots 0, 1, 2, and the data file's descriptor to damage it with. */
  function filled(): { disk: MemoryDisk; fd: number } {
    const disk = new MemoryDisk();
    const store = open(disk);
    for (const id of [1, 2, 3]) store.writeBlob(id, makeImage(id, id * 10, 5));
    store.flush();
    store.close();
    return { disk, fd: disk.open('/store/blobs.dat', { write: true }) };
  }
  const readError = (disk: MemoryDisk, id: number): Error => {
    const store = open(disk, true);
    try {
      store.readBlob(id, new Uint8Array(BLOB_SIZE));
    } catch (error) {
      return error as Error;
    } finally {
      store.close();
    }
    throw new Error('the damage was not noticed');
  };

  it('notices swapped slots', () => {
    const { disk, fd } = filled();
    disk.write(fd, [makeImage(2, 20, 5)], 0);
    disk.write(fd, [makeImage(1, 10, 5)], BLOB_SIZE);
    for (const id of [1, 2]) {
      const error = readError(disk, id);
      expect(error).toEqual(withCode('ERR_BLOB_CORRUPT'));
      expect(error.message).toMatch(new RegExp(`blob ${id} in slot ${id - 1} .* image of blob ${3 - id}`));
    }
  });

  it('notices a stale image, even one of the same generation', () => {
    const { disk, fd } = filled();
    disk.write(fd, [makeImage(1, 10, 4)], 0);
    expect(readError(disk, 1).message).toMatch(/of generation 4, not 5/);
    disk.write(fd, [makeImage(1, 11, 5)], 0);
    expect(readError(disk, 1).message).toMatch(/another image of generation 5/);
  });

  it('notices a flipped bit anywhere', () => {
    const { disk, fd } = filled();
    const image = makeImage(3, 30, 5);
    const samples = [...Array(64).keys(), 100, 4095, 4096, 300_000, BLOB_SIZE - 1];
    for (const offset of samples) {
      const flipped = Uint8Array.of(image[offset]! ^ (1 << (offset % 8)));
      disk.write(fd, [flipped], 2 * BLOB_SIZE + offset);
      expect(readError(disk, 3)).toEqual(withCode('ERR_BLOB_CORRUPT'));
      disk.write(fd, [image.subarray(offset, offset + 1)], 2 * BLOB_SIZE + offset);
    }
    const store = open(disk, true);
    expect(contentsOf(store).blobs).toEqual({ 1: 10, 2: 20, 3: 30 });
  });

  it('notices an unknown format version and a file that is too short', () => {
    const { disk, fd } = filled();
    const image = makeImage(1, 10, 5);
    new DataView(image.buffer).setUint16(IMAGE_OFFSET.version, 2, true);
    disk.write(fd, [image], 0);
    expect(readError(disk, 1).message).toMatch(/format version is 2/);
    sealImage(image, 1, 5);
    disk.truncate(fd, BLOB_SIZE + 100);
    expect(readError(disk, 2).message).toMatch(/ends after 100 bytes/);
  });

  it('passes a read error on with the blob and the file', () => {
    const { disk } = filled();
    const faults = new FaultDisk(disk);
    const store = FileBlobStore.open({ dir: '/store', disk: faults, readOnly: true });
    faults.failNth('read', 1, { error: 'EIO' });
    expect(() => store.readBlob(2, new Uint8Array(BLOB_SIZE))).toThrow(withCode('ERR_IO'));
    faults.failNth('read', 1, { short: 1000 });
    expect(contentsOf(store).blobs).toEqual({ 1: 10, 2: 20, 3: 30 });
  });
});
