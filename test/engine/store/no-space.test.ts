/** A full disk: nothing is lost, the error says so, and the reserve lets small checkpoints and deletions through. */
import { describe, expect, it } from 'vitest';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';

const RESERVE_SLOTS = 8;

import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { contentsOf, makeImage, makeMark } from './images.js';

const noSpace = expect.objectContaining({ code: 'ERR_NO_SPACE' });

function filled(): { disk: MemoryDisk; store: FileBlobStore } {
  const disk = new MemoryDisk();
  const store = FileBlobStore.open({ dir: '/store', disk, create: true });
  for (let id = 1; id <= 12; id++) store.writeBlob(id, makeImage(id, id));
  store.flush(makeMark(1));
  store.reserveSlots(RESERVE_SLOTS);
  disk.capacityBytes = disk.usedBytes;
  return { disk, store };
}

describe('FileBlobStore on a full disk', () => {
  it('rewrites as many blobs as the reserve has slots, time and again', () => {
    const { disk, store } = filled();
    for (let round = 2; round <= 40; round++) {
      for (let n = 0; n < RESERVE_SLOTS; n++) {
        const id = 1 + ((round + n) % 12);
        store.writeBlob(id, makeImage(id, round * 100 + id));
      }
      store.flush(makeMark(round));
    }
    const before = contentsOf(store);
    expect(contentsOf(FileBlobStore.open({ dir: '/store', disk: disk.afterPowerCut('drop') }))).toEqual(
      before,
    );
  });

  it('refuses more than that, keeps what it has, and goes on once there is space', () => {
    const { disk, store } = filled();
    let written = 0;
    expect(() => {
      for (let id = 1; id <= 12; id++, written++) store.writeBlob(id, makeImage(id, 100 + id));
    }).toThrow(noSpace);
    expect(written).toBe(RESERVE_SLOTS);
    expect(contentsOf(store).blobs[12]).toBe(12);
    const reopened = FileBlobStore.open({ dir: '/store', disk: disk.afterKill() });
    expect(Object.values(contentsOf(reopened).blobs)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    for (let id = 1; id <= 12; id++) store.writeBlob(id, makeImage(id, 200 + id));
    store.flush(makeMark(2));
    expect(contentsOf(store).blobs[12]).toBe(212);
  });

  it('deletes, shrinks and compacts', () => {
    const { disk, store } = filled();
    const used = disk.usedBytes;
    for (let id = 2; id <= 12; id++) {
      store.deleteBlob(id);
      store.flush(makeMark(id));
      store.trimSlots(RESERVE_SLOTS);
    }
    expect(disk.usedBytes).toBeLessThan(used - 10 * BLOB_SIZE);
    store.close();
    expect(contentsOf(FileBlobStore.open({ dir: '/store', disk })).blobs).toEqual({ 1: 1 });
  });

  it('opens after a kill, which takes a new snapshot', () => {
    const { disk } = filled();
    const killed = disk.afterKill();
    killed.capacityBytes = killed.usedBytes;
    expect(contentsOf(FileBlobStore.open({ dir: '/store', disk: killed })).mark).toEqual(makeMark(1));
  });

  it.each([
    'write',
    'allocate',
    'fdatasync',
    'fsync',
    'rename',
    'syncDirectory',
    'open',
    'truncate',
  ] as const)('fails at any %s with nothing lost', (name) => {
    for (const code of ['ENOSPC', 'EDQUOT', 'EIO']) {
      for (let nth = 1; ; nth++) {
        const faults = new FaultDisk(new MemoryDisk());
        const store = FileBlobStore.open({ dir: '/store', disk: faults, create: true });
        for (let id = 1; id <= 3; id++) store.writeBlob(id, makeImage(id, id));
        store.flush(makeMark(1));
        faults.failNth(name, nth, { error: code });
        const before = faults.calls.length;
        const steps: (() => void)[] = [];
        for (let id = 1; id <= 12; id++) steps.push(() => store.writeBlob(id, makeImage(id, 100 + id)));
        steps.push(() => store.flush(makeMark(2)));
        for (let id = 1; id <= 9; id++) steps.push(() => store.deleteBlob(id));
        steps.push(() => store.flush(makeMark(3)));
        let failures = 0;
        for (const step of steps) {
          try {
            step();
          } catch (error) {
            failures++;
            expect(error).toMatchObject({ code: code === 'EIO' ? 'ERR_IO' : 'ERR_NO_SPACE' });
            contentsOf(store);
            step();
          }
        }
        const expected = { blobs: { 10: 110, 11: 111, 12: 112 }, mark: makeMark(3) };
        expect(contentsOf(store)).toEqual(expected);
        expect(store.needsFlush()).toBe(false);
        const cut = faults.inner.afterPowerCut('drop');
        expect(contentsOf(FileBlobStore.open({ dir: '/store', disk: cut }))).toEqual(expected);
        expect(failures).toBeLessThanOrEqual(1);
        if (faults.calls.slice(before).filter((call) => call.name === name).length < nth) break;
      }
    }
  });
});
