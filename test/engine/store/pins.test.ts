/** Pins of the file store: kept over reopening and compaction of the manifest, in slots that nobody else gets. */
import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { MANIFEST_VERSION } from '../../../engine/store/file/manifest/record.js';
import { encodePinsPart, pinsPartBytes } from '../../../engine/store/file/pins/pins-part.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { contentsOf, makeImage, makeMark, makePin, pinnedIn } from './images.js';

const MANIFEST = '/store/manifest';
const DATA = '/store/blobs.dat';

const open = (disk: MemoryDisk | FaultDisk, create = false): FileBlobStore =>
  FileBlobStore.open({ dir: '/store', disk, create });

function slotsOf(disk: MemoryDisk): number {
  return disk.readFile(DATA).length / BLOB_SIZE;
}

describe('pins of a FileBlobStore', () => {
  it('cost one record each, whatever the store holds', () => {
    const faults = new FaultDisk(new MemoryDisk());
    const store = open(faults, true);
    for (let id = 1; id <= 40; id++) store.writeBlob(id, makeImage(id, id, 1));
    store.flush(makeMark(1));
    const before = faults.calls.length;
    store.flush(undefined, { add: makePin(1, 1) });
    const writes = faults.calls.slice(before).filter(({ name }) => name === 'write');
    expect(writes.map(({ path }) => path)).toEqual(['/store/manifest.log', '/store/manifest.log']);
    store.close();
  });

  it('are there after reopening, from deltas and from a snapshot of the manifest', () => {
    const disk = new MemoryDisk();
    let store = open(disk, true);
    for (let generation = 1; generation <= 6; generation++) {
      for (let id = generation; id <= 6; id++)
        store.writeBlob(id, makeImage(id, 10 * generation + id, generation));
      const remove = generation === 5 ? [2] : [];
      store.flush(makeMark(generation), { add: makePin(generation, generation, `n ${generation}`), remove });
    }
    store.deleteBlob(6);
    store.flush(makeMark(7));
    const all = contentsOf(store);
    expect(Object.keys(all.pins ?? {})).toEqual(['1', '3', '4', '5', '6']);
    // What a kill leaves is deltas; the first reopening makes a snapshot of them.
    for (const left of [disk.afterKill(), disk.afterPowerCut('drop')]) {
      for (let time = 0; time < 2; time++) {
        const again = open(left);
        expect(contentsOf(again)).toEqual(all);
        expect(again.pins.lastId()).toBe(6);
        again.close();
      }
    }
    store.flush(undefined, { remove: [1, 3, 4, 5, 6] });
    store.close();
    store = open(disk);
    expect(store.pins.list()).toEqual([]);
    expect(store.pins.lastId()).toBe(6);
    expect(() => store.flush(undefined, { add: makePin(6, 9) })).toThrow(/from 7/);
    store.close();
  });

  it('are kept when the log is compacted, which it is often', () => {
    const faults = new FaultDisk(new MemoryDisk());
    const store = open(faults, true);
    for (let id = 1; id <= 5; id++) store.writeBlob(id, makeImage(id, id, 1));
    store.flush(makeMark(1), { add: makePin(1, 1) });
    const many = Array.from({ length: 4000 }, (_, i) => i + 100);
    const before = faults.calls.length;
    for (let round = 2; round <= 100; round++) {
      store.writeBlob(1 + (round % 3), makeImage(1 + (round % 3), round, round));
      store.flush(makeMark(round, many));
    }
    const renames = faults.calls
      .slice(before)
      .filter(({ name, path }) => name === 'rename' && path === MANIFEST);
    expect(renames.length).toBeGreaterThan(2);
    expect(pinnedIn(store, 1)).toEqual({ 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 });
    const again = open(faults.inner.afterPowerCut('drop'));
    expect(pinnedIn(again, 1)).toEqual({ 1: 1, 2: 2, 3: 3, 4: 4, 5: 5 });
    store.close();
  });

  it('hold slots, and give them back', () => {
    const disk = new MemoryDisk();
    const store = open(disk, true);
    for (let generation = 1; generation <= 4; generation++) {
      for (let id = 1; id <= 5; id++) store.writeBlob(id, makeImage(id, generation, generation));
      store.flush(makeMark(generation), { add: makePin(generation, generation) });
    }
    store.trimSlots(0);
    expect(slotsOf(disk)).toBe(20);
    store.flush(undefined, { remove: [1, 2, 3] });
    store.trimSlots(0);
    expect(disk.usedBytes).toBeLessThan(6 * BLOB_SIZE);
    for (let id = 1; id <= 5; id++) store.writeBlob(id, makeImage(id, 5, 5));
    store.flush(makeMark(5));
    expect(slotsOf(disk)).toBe(20);
    store.flush(undefined, { remove: [4] });
    store.trimSlots(0);
    expect(slotsOf(disk)).toBe(5);
    expect(contentsOf(store).blobs).toEqual({ 1: 5, 2: 5, 3: 5, 4: 5, 5: 5 });
    store.close();
  });

  it('hold no slot that a reader is in longer than the reader', () => {
    const disk = new MemoryDisk();
    const store = open(disk, true);
    store.writeBlob(1, makeImage(1, 1, 1));
    store.flush(makeMark(1), { add: makePin(1, 1) });
    const reader = FileBlobStore.attach(store.share(), disk, 'reader');
    store.writeBlob(1, makeImage(1, 2, 2));
    store.flush(makeMark(2));
    // In the middle of the read the pin goes, and its slot would be used again.
    const { read } = disk;
    let isFirst = true;
    disk.read = (...args) => {
      if (isFirst) {
        isFirst = false;
        store.flush(undefined, { remove: [1] });
        for (let id = 2; id <= 6; id++) store.writeBlob(id, makeImage(id, 3, 3));
        store.flush(makeMark(3));
      }
      return read.apply(disk, args);
    };
    const into = new Uint8Array(BLOB_SIZE);
    reader.pins.readBlob(1, 1, into);
    expect(Buffer.compare(into, makeImage(1, 1, 1))).toBe(0);
    expect(() => reader.pins.readBlob(1, 1, into)).toThrow(
      expect.objectContaining({ code: 'ERR_NOT_FOUND' }),
    );
    disk.read = read;
    store.flush(makeMark(4));
    store.flush(makeMark(5));
    store.trimSlots(0);
    expect(disk.usedBytes).toBeLessThan(7 * BLOB_SIZE);
    store.close();
  });

  it('refuses an image that could be taken for a pinned one', () => {
    const store = open(new MemoryDisk(), true);
    store.writeBlob(1, makeImage(1, 1, 3));
    store.flush(makeMark(3), { add: makePin(1, 3) });
    expect(() => store.writeBlob(1, makeImage(1, 2, 3))).toThrow(/generation 3 is not above that of pin 1/);
    store.writeBlob(1, makeImage(1, 2, 4));
    expect(pinnedIn(store, 1)).toEqual({ 1: 1 });
    store.close();
  });

  it('forgets a pin whose flush failed, and all that it would have kept', () => {
    for (const lose of [false, true]) {
      const faults = new FaultDisk(new MemoryDisk());
      const store = open(faults, true);
      store.writeBlob(1, makeImage(1, 1, 1));
      store.flush(makeMark(1));
      faults.failNth('fdatasync', 1, { error: 'EIO', lose, done: !lose }, /manifest\.log/);
      expect(() => store.flush(undefined, { add: makePin(1, 1) })).toThrow(
        expect.objectContaining({ code: 'ERR_IO' }),
      );
      expect(store.pins.list()).toEqual([]);
      // In doubt: a process that begins now may find it, and then whole.
      const found = contentsOf(open(faults.inner.afterKill())).pins;
      expect(found).toEqual({ 1: { pin: makePin(1, 1), blobs: { 1: 1 } } });
      for (let generation = 2; generation <= 5; generation++) {
        store.writeBlob(1, makeImage(1, generation, generation));
        store.flush(makeMark(generation));
      }
      store.trimSlots(0);
      expect(faults.inner.usedBytes).toBeLessThan(3 * BLOB_SIZE);
      expect(contentsOf(open(faults.inner.afterPowerCut('drop')))).toEqual(contentsOf(store));
      store.flush(undefined, { add: makePin(1, 5) });
      expect(pinnedIn(store, 1)).toEqual({ 1: 5 });
      store.close();
    }
  });

  it('keeps a pin whose removal failed', () => {
    const faults = new FaultDisk(new MemoryDisk());
    const store = open(faults, true);
    store.writeBlob(1, makeImage(1, 1, 1));
    store.flush(makeMark(1), { add: makePin(1, 1) });
    store.writeBlob(1, makeImage(1, 2, 2));
    store.flush(makeMark(2));
    faults.failNth('fdatasync', 1, { error: 'EIO' }, /manifest\.log/);
    expect(() => store.flush(undefined, { remove: [1] })).toThrow();
    store.writeBlob(1, makeImage(1, 3, 3));
    store.flush(makeMark(3));
    expect(contentsOf(store).pins).toEqual({ 1: { pin: makePin(1, 1), blobs: { 1: 1 } } });
    expect(contentsOf(open(faults.inner.afterPowerCut('drop')))).toEqual(contentsOf(store));
    store.close();
  });

  it.each(['write', 'allocate', 'fdatasync', 'fsync', 'rename', 'syncDirectory', 'open'] as const)(
    'adds and removes whole or not at all where any %s fails',
    (name) => {
      for (const code of ['ENOSPC', 'EIO']) {
        for (let nth = 1; ; nth++) {
          const faults = new FaultDisk(new MemoryDisk());
          const store = open(faults, true);
          for (let id = 1; id <= 3; id++) store.writeBlob(id, makeImage(id, id, 1));
          store.flush(makeMark(1), { add: makePin(1, 1) });
          faults.failNth(name, nth, { error: code });
          const before = faults.calls.length;
          let failures = 0;
          const retry = (step: () => void): void => {
            try {
              step();
            } catch (error) {
              failures++;
              expect(error).toMatchObject({ code: code === 'EIO' ? 'ERR_IO' : 'ERR_NO_SPACE' });
              contentsOf(store);
              step();
            }
          };
          for (let generation = 2; generation <= 4; generation++) {
            for (let id = 1; id <= 3; id++)
              retry(() => store.writeBlob(id, makeImage(id, 10 * generation + id, generation)));
            const pin = generation;
            retry(() =>
              store.flush(makeMark(generation), {
                add: makePin(store.pins.lastId() + 1, generation, `n ${pin}`),
                ...(generation === 4 && { remove: [1] }),
              }),
            );
          }
          expect(failures).toBeLessThanOrEqual(1);
          const all = contentsOf(store);
          expect(Object.values(all.pins ?? {}).map(({ pin, blobs }) => [pin.name, blobs[1]])).toEqual([
            ['n 2', 21],
            ['n 3', 31],
            ['n 4', 41],
          ]);
          expect(contentsOf(open(faults.inner.afterPowerCut('drop')))).toEqual(all);
          store.close();
          if (faults.calls.slice(before).filter((call) => call.name === name).length < nth) break;
        }
      }
    },
  );

  it('can be removed on a full disk, and not be added where their rows would find no space', () => {
    const disk = new MemoryDisk();
    const store = open(disk, true);
    for (let id = 1; id <= 4; id++) store.writeBlob(id, makeImage(id, 1, 1));
    store.flush(makeMark(1), { add: makePin(1, 1) });
    for (let id = 1; id <= 4; id++) store.writeBlob(id, makeImage(id, 2, 2));
    store.flush(makeMark(2));
    store.trimSlots(0);
    disk.capacityBytes = disk.usedBytes;
    expect(() => store.writeBlob(1, makeImage(1, 3, 3))).toThrow(
      expect.objectContaining({ code: 'ERR_NO_SPACE' }),
    );
    let added = 0;
    try {
      for (let id = 2; id <= 1000; id++, added++)
        store.flush(undefined, { add: makePin(id, 2, `${id} ${'x'.repeat(200)}`) });
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_NO_SPACE' });
    }
    expect(added).toBeLessThan(999);
    const all = contentsOf(store);
    expect(Object.keys(all.pins ?? {})).toHaveLength(added + 1);
    const killed = disk.afterKill();
    killed.capacityBytes = killed.usedBytes;
    expect(contentsOf(open(killed))).toEqual(all);
    store.flush(undefined, { remove: [1] });
    for (let id = 1; id <= 4; id++) {
      store.writeBlob(id, makeImage(id, 3, 3));
    }
    store.flush(makeMark(3));
    store.close();
  });

  it('opens a store of the version before, which has none, and is refused by it afterwards', () => {
    const disk = new MemoryDisk();
    const store = open(disk, true);
    store.writeBlob(1, makeImage(1, 1, 1));
    store.flush(makeMark(1));
    store.close();
    open(disk).close();
    const bytes = Buffer.from(disk.readFile(MANIFEST));
    expect(bytes.readUInt16LE(4)).toBe(3);
    expect(MANIFEST_VERSION).toBe(4);
    bytes.writeUInt16LE(2, 4);
    bytes.fill(0, 8, 12);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 64)), 8);
    disk.writeFile(MANIFEST, bytes);
    const older = open(disk);
    expect(contentsOf(older)).toEqual({ blobs: { 1: 1 }, mark: makeMark(1) });
    older.flush(undefined, { add: makePin(1, 1) });
    older.close();
    const log = Buffer.from(disk.readFile('/store/manifest.log'));
    expect(log.readUInt16LE(4096 + 4)).toBe(3);
    expect(contentsOf(open(disk)).pins).toEqual({ 1: { pin: makePin(1, 1), blobs: { 1: 1 } } });
  });

  it('are written as the format document shows', () => {
    const document = readFileSync(new URL('../../../engine/FORMAT.md', import.meta.url), 'utf8');
    const example = /```text\n(53 50 4d 50 [^`]+)```/.exec(document)![1]!.replaceAll(/\s/g, '');
    const pin = { id: 1, name: 'ab', lsn: 7, generation: 3, createdAt: 1_000_000 };
    const part = { lastPin: 1, pins: [pin], removed: [], kept: [] };
    const bytes = new Uint8Array(pinsPartBytes(part));
    encodePinsPart(part, 5, bytes);
    expect(Buffer.from(bytes).toString('hex')).toBe(example);
  });

  it.each([1, 2])('are seen whole by threads that attached, while they come and go, seed %i', (seed) => {
    const disk = new MemoryDisk();
    const store = open(disk, true);
    const reader = FileBlobStore.attach(store.share(), disk, 'reader');
    const random = seededRandom(seed);
    const blobs: Record<number, number> = {};
    for (let generation = 1; generation <= 80; generation++) {
      const id = 1 + Math.floor(random() * 4);
      store.writeBlob(id, makeImage(id, generation, generation));
      blobs[id] = generation;
      const remove = reader.pins
        .list()
        .filter(() => random() < 0.2)
        .map((pin) => pin.id);
      const add = random() < 0.3 ? makePin(generation, generation) : undefined;
      store.flush(makeMark(generation), { remove, ...(add && { add }) });
      expect(contentsOf(reader)).toEqual(contentsOf(store));
      if (add !== undefined) expect(pinnedIn(reader, add.id)).toEqual(blobs);
    }
    store.handOver();
    const next = FileBlobStore.attach(store.share(), disk, 'writer');
    next.flush(undefined, { remove: next.pins.list().map(({ id }) => id) });
    next.trimSlots(0);
    expect(disk.usedBytes).toBeLessThan(5 * BLOB_SIZE);
    expect(contentsOf(reader)).toEqual({ blobs, mark: makeMark(80) });
    next.close();
    store.close();
  });
});
