/** Pins that are read beside the store's writer, without its lock. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { LivePin } from '../../../engine/store/file/live-pin.js';
import { makeImage, makeMark, makePin, tagOf } from './images.js';

function newStore(): FileBlobStore {
  const dir = mkdtempSync(join(tmpdir(), 'spinney-live-pin-'));
  const store = FileBlobStore.open({ dir, disk: new NodeDisk(), create: true });
  onTestFinished(() => {
    store.close();
    rmSync(dir, { recursive: true });
  });
  return store;
}

function tagsOf(pin: LivePin): Record<number, number> {
  const into = new Uint8Array(BLOB_SIZE);
  return Object.fromEntries(
    pin.listBlobs().map((id) => {
      pin.readBlob(id, into);
      return [id, tagOf(into)];
    }),
  );
}

it('is the images of its moment, whatever the writer does, until it is removed', () => {
  const store = newStore();
  for (let id = 1; id <= 4; id++) store.writeBlob(id, makeImage(id, id, 1));
  store.flush(makeMark(1), { add: makePin(1, 1) });
  const pin = new LivePin(new NodeDisk(), store.directory, 1);
  for (let generation = 2; generation < 12; generation++) {
    store.writeBlob(1, makeImage(1, 100 + generation, generation));
    store.writeBlob(9, makeImage(9, 900 + generation, generation));
    if (generation === 5) store.deleteBlob(3);
    store.flush(makeMark(generation), generation === 6 ? { add: makePin(2, 6) } : {});
    expect(tagsOf(pin)).toEqual({ 1: 1, 2: 2, 3: 3, 4: 4 });
  }
  const again = new LivePin(new NodeDisk(), store.directory, 1);
  expect(tagsOf(again)).toEqual({ 1: 1, 2: 2, 3: 3, 4: 4 });
  expect([again.pin, again.mark, again.isThere()]).toEqual([
    makePin(1, 1),
    { ...makeMark(1), nextBlobId: makeMark(11).nextBlobId },
    true,
  ]);
  const second = new LivePin(new NodeDisk(), store.directory, 2);
  expect(tagsOf(second)).toEqual({ 1: 106, 2: 2, 4: 4, 9: 906 });
  store.flush(undefined, { remove: [1] });
  expect([pin.isThere(), second.isThere()]).toEqual([false, true]);
  for (const open of [pin, again, second]) open.close();
  expect(() => new LivePin(new NodeDisk(), store.directory, 1)).toThrow(/pin 1: it is not in/);
});

it('tells what the sums of its images are of, so that a store that is given them has these, too', () => {
  const store = newStore();
  const measure = { name: 'sizes', fields: 2 };
  store.writeBlob(1, makeImage(1, 1, 1));
  store.flush({ ...makeMark(1), measure }, { add: makePin(1, 1) });
  const pin = new LivePin(new NodeDisk(), store.directory, 1);
  expect(pin.mark).toMatchObject({ measure });
  pin.close();
});

it('is found though the manifest is replaced in the middle of reading it', () => {
  const store = newStore();
  store.writeBlob(1, makeImage(1, 1, 1));
  store.flush(makeMark(1), { add: makePin(1, 1) });
  let opened = 0;
  class Meddled extends NodeDisk {
    override open(...args: Parameters<NodeDisk['open']>): number {
      if (args[0].endsWith('manifest.log') && opened++ === 0) {
        store.noteRun();
        store.writeBlob(1, makeImage(1, 2, 2));
        store.flush(makeMark(2));
      }
      return super.open(...args);
    }
  }
  const pin = new LivePin(new Meddled(), store.directory, 1);
  expect(opened).toBeGreaterThan(1);
  expect(tagsOf(pin)).toEqual({ 1: 1 });
  pin.close();
});
