/** What every BlobStore must do. Each store's test file runs this suite over it. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BLOB_SIZE, MAX_SNAPSHOTS } from '../../../engine/limits.js';
import type { BlobStore, Pins } from '../../../engine/store/blob-store.js';
import { seededRandom } from '../../support/disk/random.js';
import { contentsOf, makeImage, makeMark, makePin, pinnedIn, tagOf } from './images.js';

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

    describe('with pins', () => {
      let pins: Pins;
      beforeEach(() => {
        pins = store.pins as Pins;
      });
      const write = (id: number, tag: number, generation: number): void =>
        store.writeBlob(id, makeImage(id, tag, generation));

      it('has none at first', () => {
        expect(pins.list()).toEqual([]);
        expect(pins.lastId()).toBe(0);
        expect(pins.countKept()).toEqual({ images: 0, own: new Map() });
        expect(pins.listBlobs(1)).toEqual([]);
        expect(pins.blobRow(1, 1)).toBeUndefined();
      });

      it('keeps what is there at the flush, what that publishes included', () => {
        write(1, 10, 1);
        write(2, 20, 1);
        store.flush(makeMark(1));
        write(2, 21, 2);
        write(3, 30, 2);
        store.deleteBlob(1);
        store.flush(makeMark(2), { add: makePin(1, 2) });
        expect(pins.list()).toEqual([makePin(1, 2)]);
        expect(pins.countKept()).toEqual({ images: 0, own: new Map([[1, 0]]) });
        write(2, 22, 3);
        store.deleteBlob(3);
        write(4, 40, 3);
        expect(pinnedIn(store, 1)).toEqual({ 2: 21, 3: 30 });
        store.flush(makeMark(3));
        expect(pinnedIn(store, 1)).toEqual({ 2: 21, 3: 30 });
        expect(contentsOf(store).blobs).toEqual({ 2: 22, 4: 40 });
        expect(pins.countKept()).toEqual({ images: 2, own: new Map([[1, 2]]) });
        expect(pins.blobRow(1, 2)).toMatchObject({ id: 2, generation: 2, liveBytes: 21 });
        expect(pins.blobRow(1, 4)).toBeUndefined();
      });

      it('takes changes of pins alone', () => {
        write(1, 10, 1);
        store.flush(makeMark(1));
        store.flush(undefined, { add: makePin(7, 1) });
        expect(pinnedIn(store, 7)).toEqual({ 1: 10 });
        expect(store.readMark()).toEqual(makeMark(1));
        store.flush(undefined, { remove: [7, 8] });
        expect(pins.list()).toEqual([]);
        expect(pins.lastId()).toBe(7);
        expect(store.needsFlush()).toBe(false);
      });

      it('pins nothing', () => {
        store.flush(makeMark(1), { add: makePin(1, 1) });
        write(1, 10, 2);
        store.flush(makeMark(2));
        expect(pinnedIn(store, 1)).toEqual({});
      });

      it('keeps an image for as long as one pin needs it', () => {
        for (let generation = 1; generation <= 4; generation++) {
          if (generation !== 3) write(1, generation * 10, generation);
          store.flush(makeMark(generation), { add: makePin(generation, generation) });
        }
        store.deleteBlob(1);
        store.flush(makeMark(5));
        const own = (): unknown => Object.fromEntries(pins.countKept().own);
        expect([1, 2, 3, 4].map((pin) => pinnedIn(store, pin)[1])).toEqual([10, 20, 20, 40]);
        expect(own()).toEqual({ 1: 1, 2: 0, 3: 0, 4: 1 });
        store.flush(undefined, { remove: [2] });
        expect([1, 3, 4].map((pin) => pinnedIn(store, pin)[1])).toEqual([10, 20, 40]);
        expect(own()).toEqual({ 1: 1, 3: 1, 4: 1 });
        store.flush(makeMark(6), { remove: [1, 3], add: makePin(5, 6) });
        expect(pinnedIn(store, 4)).toEqual({ 1: 40 });
        expect(pinnedIn(store, 5)).toEqual({});
        store.flush(makeMark(6), { remove: [4, 5] });
        expect(pins.countKept().images).toBe(0);
      });

      it('tells what is not there', () => {
        write(1, 10, 1);
        store.flush(makeMark(1), { add: makePin(1, 1) });
        const code = (what: string): unknown => expect.objectContaining({ code: what });
        expect(() => pins.readBlob(1, 2, into)).toThrow(code('ERR_BLOB_MISSING'));
        expect(() => pins.readBlob(2, 1, into)).toThrow(code('ERR_NOT_FOUND'));
        store.flush(undefined, { remove: [1] });
        expect(() => pins.readBlob(1, 1, into)).toThrow(code('ERR_NOT_FOUND'));
        expect(() => pins.readBlob(1, 1, new Uint8Array(5))).toThrow(code('ERR_INVALID_ARGUMENT'));
      });

      it('refuses pins that cannot be, and changes nothing', () => {
        store.flush(makeMark(5), { add: makePin(3, 5, 'a') });
        store.flush(undefined, { remove: [3] });
        store.flush(undefined, { add: makePin(4, 5, 'b') });
        const refused = [
          makePin(3, 5, 'c'),
          makePin(4, 5, 'c'),
          makePin(1.5, 5, 'c'),
          makePin(2 ** 32, 5, 'c'),
          makePin(5, 5, ''),
          makePin(5, 5, 'x'.repeat(256)),
          makePin(5, 5, 'b'),
          makePin(5, 4, 'c'),
          makePin(5, Number.NaN, 'c'),
        ];
        for (const add of refused) {
          const code = expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' });
          expect(() => store.flush(undefined, { add }), JSON.stringify(add)).toThrow(code);
        }
        expect(pins.list()).toEqual([makePin(4, 5, 'b')]);
        store.flush(undefined, { add: makePin(5, 5, 'ü'.repeat(127)) });
        expect(pins.list()).toHaveLength(2);
      });

      it('has a limit', () => {
        for (let id = 1; id <= MAX_SNAPSHOTS; id++) store.flush(undefined, { add: makePin(id, 1) });
        const next = makePin(MAX_SNAPSHOTS + 1, 1);
        expect(() => store.flush(undefined, { add: next })).toThrow(
          expect.objectContaining({ code: 'ERR_TOO_MANY_SNAPSHOTS' }),
        );
        store.flush(undefined, { add: next, remove: [17] });
        expect(pins.list()).toHaveLength(MAX_SNAPSHOTS);
      });

      it.each([1, 2, 3])('keeps everything through many changes, seed %i', (seed) => {
        const random = seededRandom(seed);
        const below = (limit: number): number => Math.floor(random() * limit);
        const blobs: Record<number, number> = {};
        const kept = new Map<number, Record<number, number>>();
        let tag = 0;
        for (let generation = 1; generation <= 60; generation++) {
          for (let change = below(5); change > 0; change--) {
            const id = 1 + below(8);
            if (random() < 0.3) {
              store.deleteBlob(id);
              delete blobs[id];
            } else {
              write(id, ++tag, generation);
              blobs[id] = tag;
            }
          }
          const remove = [...kept.keys()].filter(() => random() < 0.15);
          const add = random() < 0.4 ? makePin(generation, generation) : undefined;
          store.flush(makeMark(generation), { remove, ...(add && { add }) });
          for (const pin of remove) kept.delete(pin);
          if (add !== undefined) kept.set(add.id, { ...blobs });
          expect(contentsOf(store).blobs).toEqual(blobs);
          expect(pins.list().map(({ id }) => id)).toEqual([...kept.keys()]);
          for (const [pin, then] of kept) expect(pinnedIn(store, pin)).toEqual(then);
        }
        store.flush(undefined, { remove: [...kept.keys()] });
        expect(pins.countKept()).toEqual({ images: 0, own: new Map() });
        expect(contentsOf(store).blobs).toEqual(blobs);
      });
    });
  });
}
