/**
 * A thread of threads.mjs: opens the store that it is told of, then answers what it is asked: to prepare the keys for a
 * role, and to do it until a shared word says stop. It answers with the operations per second.
 */
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { SHAPES } from '../lib/keys.mjs';
import { WORKLOADS } from './workloads.mjs';

/** States of the shared word: before, while and after the threads are to be at work. */
export const RUN = 1;
export const STOP = 2;

const POOL = 32_768;
/** Operations between two looks at the word, and turns of the event loop, which lmdb-js needs to renew its snapshot. */
const STRETCH = 512;

const OPERATIONS = {
  get: (store, { keys }, i) => {
    if (store.get(keys[i]) === undefined) throw new Error('a key is missing');
  },
  put: (store, { keys, values }, i) => store.put(keys[i], values[i]),
};

async function work(store, { operation, input }, word) {
  Atomics.wait(word, 0, 0);
  const started = performance.now();
  let done = 0;
  while (Atomics.load(word, 0) === RUN) {
    for (let i = 0; i < STRETCH; i++) operation(store, input, (done + i) % POOL);
    done += STRETCH;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return (done * 1000) / (performance.now() - started);
}

async function serve({ system, shared, shape: shapeName, keys: count }) {
  const { attach } = await import(`./systems/${system}.mjs`);
  const store = await attach(shared);
  const shape = SHAPES[shapeName];
  let prepared;
  parentPort.on('message', async (question) => {
    if (question === 'end') {
      await store.close();
      parentPort.close();
    } else if (question.prepare !== undefined) {
      const input = WORKLOADS.put.prepare({ shape, count, seed: question.seed, pool: POOL });
      prepared = { operation: OPERATIONS[question.prepare], input };
      parentPort.postMessage('prepared');
    } else parentPort.postMessage(await work(store, prepared, question.word));
  });
  parentPort.postMessage('open');
}

if (!isMainThread) await serve(workerData);
