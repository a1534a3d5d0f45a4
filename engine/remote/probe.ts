/**
 * Whether a bucket honours conditions, tried out before anything is entrusted to it. A server that overlooks a header that it does not
 * know would let two writers in, and nobody would notice.
 */
import { SpinneyError } from '../errors.js';
import { hasCode } from '../store/object/errors.js';
import type { ETag, ObjectStore, PutCondition } from '../store/object/object-store.js';

const AT_ONCE = 8;
const NEW: PutCondition = { ifNoneMatch: '*' };

interface Try {
  body: string;
  /** Undefined: nobody knows. */
  isDone: boolean | undefined;
}

/**
 * REQUIRES a store that does not ask again by itself: an answer must be that of the one try. Makes a few small objects under `probe/`, and
 * deletes them.
 * @throws ERR_REMOTE_UNFIT with the reason; ERR_REMOTE_UNAVAILABLE where answers are missing, and as the store
 */
export async function probe(store: ObjectStore, newId: () => string): Promise<void> {
  const base = `probe/${newId()}`;
  const keys = ['one', 'none', 'created', 'replaced'].map((name) => `${base}/${name}`);
  const [one, none, created, replaced] = keys as [string, string, string, string];
  try {
    await tryConditions(store, one, none, newId);
    await expectOneWinner(store, created, NEW, newId, 'created');
    const etag = await store.put(replaced, bytesOf(newId()), NEW);
    await expectOneWinner(store, replaced, { ifMatch: etag }, newId, 'replaced');
    await expectListed(store, base, [created, one, replaced]);
  } finally {
    await Promise.allSettled(keys.map((key) => store.delete(key)));
  }
}

async function tryConditions(
  store: ObjectStore,
  one: string,
  none: string,
  newId: () => string,
): Promise<void> {
  const first = await put(store, one, newId(), NEW);
  if (first === undefined)
    throw unfit('it does not create an object with If-None-Match: * where there is none');
  if ((await put(store, one, newId(), NEW)) !== undefined) {
    throw unfit('it replaces an object in spite of If-None-Match: *');
  }
  const body = newId();
  const second = await put(store, one, body, { ifMatch: first });
  if (second === undefined) throw unfit('it does not replace an object with If-Match of its current version');
  if ((await put(store, one, newId(), { ifMatch: first })) !== undefined) {
    throw unfit('it replaces an object in spite of If-Match of an older version');
  }
  if ((await put(store, none, newId(), { ifMatch: second })) !== undefined) {
    throw unfit('it creates an object in spite of If-Match');
  }
  const found = (await store.get(one))!;
  if (textOf(found.bytes) !== body || found.etag !== second)
    throw unfit('it does not read what was written last');
  if ((await store.get(one, { ifNoneMatch: second })) !== undefined) {
    throw unfit('it does not honour If-None-Match when reading');
  }
}

/** Several writes at a time under the same condition: one is done, and it is the one that was told so. */
async function expectOneWinner(
  store: ObjectStore,
  key: string,
  condition: PutCondition,
  newId: () => string,
  what: string,
): Promise<void> {
  const tries = await Promise.all(
    Array.from({ length: AT_ONCE }, async (): Promise<Try> => {
      const body = newId();
      try {
        return { body, isDone: (await put(store, key, body, condition)) !== undefined };
      } catch (error) {
        // Some servers answer "later" to those who came second.
        if (hasCode(error, 'ERR_REMOTE_UNAVAILABLE')) return { body, isDone: undefined };
        throw error;
      }
    }),
  );
  const done = tries.filter(({ isDone }) => isDone === true);
  if (done.length > 1) throw unfit(`${done.length} of ${AT_ONCE} writers ${what} the same object at a time`);
  const winner = tries.find(({ isDone }) => isDone !== false);
  if (winner === undefined) throw unfit(`none of ${AT_ONCE} writers at a time ${what} an object`);
  const there = textOf((await store.get(key))!.bytes);
  const isIts = done.length === 1 ? there === done[0]!.body : tries.some(({ body }) => body === there);
  if (!isIts) throw unfit(`an object is not what the one writer that ${what} it wrote`);
}

async function expectListed(store: ObjectStore, base: string, keys: readonly string[]): Promise<void> {
  const { objects } = await store.list(`${base}/`);
  const listed = objects.map(({ key }) => key);
  if (listed.join() !== keys.join()) throw unfit('it does not list what was just written, in order');
}

/** Undefined where the condition did not hold. */
async function put(
  store: ObjectStore,
  key: string,
  body: string,
  condition: PutCondition,
): Promise<ETag | undefined> {
  try {
    return await store.put(key, bytesOf(body), condition);
  } catch (error) {
    if (hasCode(error, 'ERR_CONDITION_FAILED') || hasCode(error, 'ERR_NOT_FOUND')) return undefined;
    throw error;
  }
}

function unfit(why: string): SpinneyError {
  return new SpinneyError('ERR_REMOTE_UNFIT', `Cannot use this bucket: ${why}`);
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text, 'latin1');
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
