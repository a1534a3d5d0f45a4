/** What every ObjectStore must do. The one in memory and the real one, before a server, run this same suite. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MIN_PART_BYTES } from '../../../../engine/limits.js';
import type { ObjectStore } from '../../../../engine/store/object/object-store.js';

const bytesOf = (text: string) => Buffer.from(text);
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const failsWith = (code: string) => expect.objectContaining({ name: 'SpinneyError', code });

export function describeObjectStore(name: string, open: () => Promise<ObjectStore>): void {
  describe(`${name} as an ObjectStore`, () => {
    let store: ObjectStore;
    let lastKey = 0;
    const newKey = () => `contract/${String(++lastKey).padStart(4, '0')}`;
    const absent = async (key: string) => expect(store.get(key)).rejects.toEqual(failsWith('ERR_NOT_FOUND'));

    beforeAll(async () => {
      store = await open();
    });
    afterAll(() => store.close());

    it('has what was put, by its bytes and tag', async () => {
      const key = newKey();
      await absent(key);
      const etag = await store.put(key, bytesOf('one'));
      const got = await store.get(key);
      expect(textOf(got!.bytes)).toBe('one');
      expect(got!.etag).toBe(etag);
      const next = await store.put(key, bytesOf('two'));
      expect(next).not.toBe(etag);
      expect(textOf((await store.get(key))!.bytes)).toBe('two');
    });

    it('has empty objects, and any bytes', async () => {
      const [empty, any] = [newKey(), newKey()];
      const bytes = new Uint8Array(randomBytes(300_000));
      await store.put(empty, new Uint8Array());
      await store.put(any, bytes);
      expect((await store.get(empty))!.bytes.length).toBe(0);
      expect(Buffer.compare((await store.get(any))!.bytes, bytes)).toBe(0);
    });

    it('keeps its own copy of what it was given', async () => {
      const key = newKey();
      const bytes = bytesOf('mine');
      await store.put(key, bytes);
      bytes.fill(0);
      const got = (await store.get(key))!;
      expect(textOf(got.bytes)).toBe('mine');
      got.bytes.fill(0);
      expect(textOf((await store.get(key))!.bytes)).toBe('mine');
    });

    it('gives ranges', async () => {
      const key = newKey();
      const etag = await store.put(key, bytesOf('0123456789'));
      const range = async (offset: number, length: number) => {
        const got = await store.get(key, { range: { offset, length } });
        expect(got!.etag).toBe(etag);
        return textOf(got!.bytes);
      };
      expect(await range(0, 1)).toBe('0');
      expect(await range(3, 4)).toBe('3456');
      expect(await range(8, 10)).toBe('89');
      await expect(store.get(key, { range: { offset: 10, length: 1 } })).rejects.toEqual(
        failsWith('ERR_INVALID_ARGUMENT'),
      );
    });

    it('gives nothing where the version is known', async () => {
      const key = newKey();
      const etag = await store.put(key, bytesOf('one'));
      expect(await store.get(key, { ifNoneMatch: etag })).toBeUndefined();
      await store.put(key, bytesOf('two'));
      expect(textOf((await store.get(key, { ifNoneMatch: etag }))!.bytes)).toBe('two');
    });

    it('creates only where nothing is', async () => {
      const key = newKey();
      await store.put(key, bytesOf('one'), { ifNoneMatch: '*' });
      await expect(store.put(key, bytesOf('two'), { ifNoneMatch: '*' })).rejects.toEqual(
        failsWith('ERR_CONDITION_FAILED'),
      );
      expect(textOf((await store.get(key))!.bytes)).toBe('one');
      await store.delete(key);
      await store.put(key, bytesOf('three'), { ifNoneMatch: '*' });
      expect(textOf((await store.get(key))!.bytes)).toBe('three');
    });

    it('replaces only the version that is meant', async () => {
      const key = newKey();
      const first = await store.put(key, bytesOf('one'));
      const second = await store.put(key, bytesOf('two'), { ifMatch: first });
      await expect(store.put(key, bytesOf('three'), { ifMatch: first })).rejects.toEqual(
        failsWith('ERR_CONDITION_FAILED'),
      );
      const got = (await store.get(key))!;
      expect(textOf(got.bytes)).toBe('two');
      expect(got.etag).toBe(second);
    });

    it('replaces nothing where nothing is', async () => {
      const [key, other] = [newKey(), newKey()];
      const etag = await store.put(other, bytesOf('one'));
      await expect(store.put(key, bytesOf('two'), { ifMatch: etag })).rejects.toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^ERR_(NOT_FOUND|CONDITION_FAILED)$/) }),
      );
      await absent(key);
    });

    it('lets one of several creators win, and one of several replacers', async () => {
      const winnersOf = async (attempts: Promise<unknown>[]) =>
        (await Promise.allSettled(attempts)).flatMap(({ status }, index) =>
          status === 'fulfilled' ? [index] : [],
        );
      const key = newKey();
      const all = Array.from({ length: 8 }, (_, index) => index);
      const created = await winnersOf(
        all.map((index) => store.put(key, bytesOf(`c${index}`), { ifNoneMatch: '*' })),
      );
      expect(created.length).toBe(1);
      const { bytes, etag } = (await store.get(key))!;
      expect(textOf(bytes)).toBe(`c${created[0]}`);
      const replaced = await winnersOf(
        all.map((index) => store.put(key, bytesOf(`r${index}`), { ifMatch: etag })),
      );
      expect(replaced.length).toBe(1);
      expect(textOf((await store.get(key))!.bytes)).toBe(`r${replaced[0]}`);
    });

    it('deletes, whether it is there or not', async () => {
      const key = newKey();
      await store.put(key, bytesOf('one'));
      await store.delete(key);
      await absent(key);
      await store.delete(key);
    });

    it('lists by prefix, in order, in pages', async () => {
      const keys = ['a/1', 'a/2', 'a/3', 'a0', 'b/1'].map((name) => `listed/${name}`);
      for (const key of keys.toReversed()) await store.put(key, bytesOf(key));
      const names = async (prefix: string, options = {}) => {
        const { objects, more } = await store.list(prefix, options);
        return [...objects.map(({ key }) => key), more];
      };
      expect(await names('listed/')).toEqual([...keys, false]);
      expect(await names('listed/a/')).toEqual([...keys.slice(0, 3), false]);
      expect(await names('listed/', { limit: 2 })).toEqual([...keys.slice(0, 2), true]);
      expect(await names('listed/', { after: keys[1], limit: 2 })).toEqual([...keys.slice(2, 4), true]);
      expect(await names('listed/', { after: keys[3] })).toEqual([keys[4], false]);
      expect(await names('nothing/')).toEqual([false]);
      const { objects } = await store.list('listed/b');
      const { etag } = (await store.get(keys[4]!))!;
      expect(objects).toEqual([{ key: keys[4], bytes: keys[4]!.length, etag }]);
    });

    it('makes an object of parts', async () => {
      const key = newKey();
      const parts = [new Uint8Array(randomBytes(MIN_PART_BYTES)), bytesOf('the rest')];
      const upload = await store.beginUpload(key);
      expect(await store.listUploads(key)).toEqual([{ key, upload }]);
      await absent(key);
      const uploaded = [];
      for (const [index, bytes] of parts.entries()) {
        uploaded.push({ number: index + 1, etag: await store.putPart(key, upload, index + 1, bytes) });
      }
      await store.completeUpload(key, upload, uploaded);
      expect(Buffer.compare((await store.get(key))!.bytes, Buffer.concat(parts))).toBe(0);
      const range = { offset: MIN_PART_BYTES - 2, length: 5 };
      const across = (await store.get(key, { range }))!.bytes;
      expect(Buffer.compare(across, Buffer.concat(parts).subarray(range.offset, range.offset + 5))).toBe(0);
      expect(await store.listUploads(key)).toEqual([]);
    });

    it('leaves nothing of an upload that is aborted', async () => {
      const key = newKey();
      const upload = await store.beginUpload(key);
      await store.putPart(key, upload, 1, bytesOf('part'));
      await store.abortUpload(key, upload);
      await store.abortUpload(key, upload);
      expect(await store.listUploads(key)).toEqual([]);
      await absent(key);
      await expect(store.putPart(key, upload, 2, bytesOf('part'))).rejects.toEqual(
        failsWith('ERR_NOT_FOUND'),
      );
    });

    it('completes no upload of parts that it has not', async () => {
      const key = newKey();
      const upload = await store.beginUpload(key);
      const etag = await store.putPart(key, upload, 1, bytesOf('part'));
      await expect(
        store.completeUpload(key, upload, [
          { number: 1, etag },
          { number: 2, etag },
        ]),
      ).rejects.toEqual(failsWith('ERR_INVALID_ARGUMENT'));
      await absent(key);
      await store.abortUpload(key, upload);
    });
  });
}
