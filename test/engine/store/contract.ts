/** What every BlobStore must do. Each store's test file runs this suite over it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BLOB_SIZE } from '../../../engine/limits.js';
import type { BlobStore } from '../../../engine/store/blob-store.js';
import { contentsOf, makeImage, makeMark, tagOf } from './images.js';

export function describeBlobStore(name: string, create: () => BlobStore): void {
  describe(`${name} as a BlobStore`, () => {
    let store: BlobStore;
    const into = new Uint8Array(BLOB_SIZE);
    beforeEach(() => {
      store = create();
    });
    afterEach(() => store.close?.());

    it('is empty at first', () => {
      expect(contentsOf(store)).toEqual({ blobs: {}, mark: undefined });
      expect(store.needsFlush()).toBe(false);
      expect(store.hasBlob(1)).toBe(false);
    });

    it('shows what is staged', () => {
      store.writeBlob(7, makeImage(7, 70));
      expect(store.needsFlush()).toBe(true);
      expect(store.hasBlob(7)).toBe(true);
      expect(store.listBlobs()).toEqual([7]);
      store.readBlob(7, into);
      expect(Buffer.compare(into, makeImage(7, 70))).toBe(0);
    });

    it('keeps everything over a flush', () => {
      store.writeBlob(1, makeImage(1, 10));
      store.writeBlob(4_294_967_295, makeImage(4_294_967_295, 20));
      store.flush(makeMark(1, [3, 4]));
      expect(store.needsFlush()).toBe(false);
      expect(contentsOf(store)).toEqual({ blobs: { 1: 10, 4294967295: 20 }, mark: makeMark(1, [3, 4]) });
    });

    it('shows the last of several writes', () => {
      for (const tag of [1, 2, 3]) store.writeBlob(1, makeImage(1, tag));
      expect(contentsOf(store).blobs).toEqual({ 1: 3 });
      store.flush();
      store.writeBlob(1, makeImage(1, 4));
      expect(contentsOf(store).blobs).toEqual({ 1: 4 });
    });

    it('hides what is deleted, staged or published', () => {
      store.writeBlob(1, makeImage(1, 10));
      store.flush();
      store.writeBlob(2, makeImage(2, 20));
      store.deleteBlob(1);
      store.deleteBlob(2);
      expect(store.needsFlush()).toBe(true);
      expect(contentsOf(store).blobs).toEqual({});
      expect(() => store.readBlob(1, into)).toThrow(expect.objectContaining({ code: 'ERR_BLOB_MISSING' }));
      store.flush();
      expect(store.hasBlob(1)).toBe(false);
    });

    it('takes a blob again after its deletion', () => {
      store.writeBlob(1, makeImage(1, 10));
      store.flush();
      store.deleteBlob(1);
      store.writeBlob(1, makeImage(1, 11));
      store.flush();
      expect(contentsOf(store).blobs).toEqual({ 1: 11 });
    });

    it('does nothing at the deletion of what it does not hold', () => {
      store.deleteBlob(5);
      expect(store.needsFlush()).toBe(false);
      store.flush();
    });

    it('keeps the last mark when a flush has none, and copies marks', () => {
      const pending = [9];
      store.flush(makeMark(1, pending));
      pending.push(10);
      store.writeBlob(1, makeImage(1, 1));
      store.flush();
      expect(store.readMark()).toEqual(makeMark(1, [9]));
      store.flush(makeMark(2));
      expect(store.readMark()).toEqual(makeMark(2));
    });

    it('names the blob that is missing', () => {
      expect(() => store.readBlob(77, into)).toThrow(/blob 77/);
    });

    it('copies images in and out', () => {
      const image = makeImage(1, 10);
      store.writeBlob(1, image);
      image.fill(0xff);
      store.readBlob(1, into);
      expect(tagOf(into)).toBe(10);
      into.fill(0xff);
      expect(contentsOf(store).blobs).toEqual({ 1: 10 });
    });

    it('reads into shared memory', () => {
      store.writeBlob(1, makeImage(1, 10));
      const shared = new Uint8Array(new SharedArrayBuffer(2 * BLOB_SIZE), BLOB_SIZE);
      store.readBlob(1, shared);
      expect(tagOf(shared)).toBe(10);
    });

    it.each([0, -1, 1.5, 2 ** 32, Number.NaN])('refuses the id %s', (id) => {
      expect(() => store.writeBlob(id, makeImage(1, 1))).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    });

    it('refuses buffers of another size', () => {
      const code = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' });
      expect(() => store.writeBlob(1, new Uint8Array(BLOB_SIZE - 1))).toThrow(code);
      store.writeBlob(1, makeImage(1, 1));
      expect(() => store.readBlob(1, new Uint8Array(BLOB_SIZE + 1))).toThrow(code);
    });

    it('holds many blobs through many changes', () => {
      const expected: Record<number, number> = {};
      for (let step = 1; step <= 120; step++) {
        const id = 1 + ((step * 7) % 23);
        if (step % 5 === 0) {
          store.deleteBlob(id);
          delete expected[id];
        } else {
          store.writeBlob(id, makeImage(id, step));
          expected[id] = step;
        }
        if (step % 11 === 0) store.flush(makeMark(step));
      }
      expect(contentsOf(store).blobs).toEqual(expected);
    });
  });
}
