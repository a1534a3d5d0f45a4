/** The thread of an S3ObjectStore: has the SDK, and answers each request when its answer is there, in any order. */
import { parentPort, workerData } from 'node:worker_threads';
import { SpinneyError } from '../../../errors.js';
import type { ObjectStore } from '../object-store.js';
import { failureOf } from './failures.js';
import type { Reply, Request } from './messages.js';
import type { S3Options } from './options.js';
import { openSdkStore } from './s3-sdk.js';

const port = parentPort!;

async function answer(id: number, what: string, work: () => Promise<unknown>): Promise<void> {
  let reply: Reply;
  try {
    reply = { id, value: await work() };
  } catch (error) {
    const { code, message } = error instanceof SpinneyError ? error : failureOf(error, what, 'the server');
    reply = { id, failure: { code, message } };
  }
  port.postMessage(reply);
}

let store: ObjectStore | undefined;
void answer(0, 'use the object store', async () => {
  store = await openSdkStore(workerData as S3Options);
});
port.on('message', ({ id, method, given }: Request) => {
  const call = store![method] as (...given: unknown[]) => Promise<unknown>;
  void answer(id, `${method} in the object store`, () => call.apply(store, [...given]));
});
