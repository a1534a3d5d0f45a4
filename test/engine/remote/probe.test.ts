import { expect, it } from 'vitest';
import { SpinneyError } from '../../../engine/errors.js';
import { probe } from '../../../engine/remote/probe.js';
import { newId } from '../../../engine/remote/site.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { ListOptions, PutCondition } from '../../../engine/store/object/object-store.js';

class Bucket extends MemoryObjectStore {}

/** Overlooks a condition that it does not know. */
class WithoutIfNoneMatch extends Bucket {
  override put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    return super.put(key, bytes, condition && 'ifMatch' in condition ? condition : undefined);
  }
}

class WithoutIfMatch extends Bucket {
  override put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    return super.put(key, bytes, condition && 'ifNoneMatch' in condition ? condition : undefined);
  }
}

/** Knows If-Match of versions, but makes what is not there. */
class CreatingOnIfMatch extends Bucket {
  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    const isThere = await this.get(key).then(
      () => true,
      () => false,
    );
    return super.put(key, bytes, isThere ? condition : undefined);
  }
}

/** Takes no tag for that of the current version, as a radosgw does that is told it with quotation marks. */
class NeverMatching extends Bucket {
  override put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    return super.put(key, bytes, condition && 'ifMatch' in condition ? { ifMatch: 'another' } : condition);
  }
}

/** Looks first, and writes then: fine, as long as nobody else does. */
class LookingFirst extends Bucket {
  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    const there = await this.get(key).catch(() => undefined);
    await new Promise((resolve) => setImmediate(resolve));
    if (condition !== undefined) {
      const holds = 'ifMatch' in condition ? there?.etag === condition.ifMatch : there === undefined;
      if (!holds)
        throw new SpinneyError('ERR_CONDITION_FAILED', 'Cannot put: it is not as the condition says');
    }
    return super.put(key, bytes);
  }
}

/** Says "later" to whoever comes second in a race. */
class SayingLater extends Bucket {
  override async put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    try {
      return await super.put(key, bytes, condition);
    } catch (error) {
      if (!/created|replaced/.test(key)) throw error;
      throw new SpinneyError('ERR_REMOTE_UNAVAILABLE', 'Cannot put: later');
    }
  }
}

class ListingLate extends Bucket {
  override list(_prefix: string, _options?: ListOptions) {
    return super.list('nothing');
  }
}

it.each([
  ['exact', Bucket],
  ['saying "later" to those who come second', SayingLater],
])('takes a bucket that is %s, and leaves nothing in it', async (_, Kind) => {
  const bucket = new Kind();
  await probe(bucket, newId);
  expect(await new Bucket().list.call(bucket, '')).toEqual({ objects: [], more: false });
});

it.each([
  [WithoutIfNoneMatch, 'it replaces an object in spite of If-None-Match: *'],
  [WithoutIfMatch, 'it replaces an object in spite of If-Match of an older version'],
  [CreatingOnIfMatch, 'it creates an object in spite of If-Match'],
  [NeverMatching, 'it does not replace an object with If-Match of its current version'],
  [LookingFirst, '8 of 8 writers created the same object at a time'],
  [ListingLate, 'it does not list what was just written, in order'],
])('refuses %s', async (Kind, reason) => {
  const bucket = new Kind();
  await expect(probe(bucket, newId)).rejects.toMatchObject({
    code: 'ERR_REMOTE_UNFIT',
    message: `Cannot use this bucket: ${reason}`,
  });
  expect(await MemoryObjectStore.prototype.list.call(bucket, '')).toEqual({ objects: [], more: false });
});

it('tells of a server that does not answer as of that', async () => {
  const bucket = new Bucket();
  bucket.put = () => Promise.reject(new SpinneyError('ERR_REMOTE_UNAVAILABLE', 'Cannot put: no answer'));
  await expect(probe(bucket, newId)).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
});
