/**
 * Several threads on one store: one and two that read, one that writes, and one that reads beside it; each for an
 * interval, and the operations counted. Only for the systems whose stores can be open in more than one thread.
 */
import { setTimeout as interval } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { median, report } from '../lib/report.mjs';
import { RUN, STOP } from './thread.mjs';

const SYSTEMS = ['spinney', 'lmdb'];

/** What the two threads do in each case. */
const CASES = { reader: ['get'], readers: ['get', 'get'], writer: ['put'], both: ['get', 'put'] };

/** Prints and returns the figures: operations per second, at the first durability level of each system. */
export async function benchThreads(stores, labels, { intervalMs, rounds }) {
  const those = stores.filter(({ system, first }) => first && SYSTEMS.includes(system));
  const crews = [];
  try {
    for (const { system, store } of those) {
      const start = (number) => startThread(store, { system, shared: store.share(), number, ...labels });
      crews.push(await Promise.all([start(0), start(1)]));
    }
    const results = crews.map(() => []);
    for (let round = 0; round <= rounds; round++) {
      for (const [i, crew] of crews.entries()) {
        const rates = {};
        for (const [name, roles] of Object.entries(CASES)) {
          rates[name] = await runCase(crew, roles, round, intervalMs);
          await those[i].store.settle();
        }
        if (round > 0) results[i].push(rates);
      }
    }
    return those.flatMap(({ system, level }, i) =>
      figuresOf({ system, durability: level, ...labels }, results[i]),
    );
  } finally {
    for (const thread of crews.flat()) await thread.end();
  }
}

/** A worker that has the store open. `ask` posts it something and waits for the answer. */
async function startThread(store, workerData) {
  const worker = new Worker(new URL('./thread.mjs', import.meta.url), { workerData });
  const { threadId } = worker;
  const failed = new Promise((_, reject) => worker.once('error', reject));
  // Whoever waits for an answer gets to know; there may be nobody at the moment.
  failed.catch(() => {});
  const answer = () => Promise.race([new Promise((resolve) => worker.once('message', resolve)), failed]);
  const ask = (question) => {
    worker.postMessage(question);
    return answer();
  };
  await answer();
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  const end = async () => {
    worker.postMessage('end');
    await ended;
    store.threadDied(threadId);
  };
  return { ask, end };
}

/** Operations per second of each role, all at work in the same interval. */
async function runCase(crew, roles, round, intervalMs) {
  const word = new Int32Array(new SharedArrayBuffer(4));
  const asked = roles.map((role, i) => crew[i].ask({ prepare: role, seed: 100 * round + i }));
  await Promise.all(asked);
  const done = roles.map((_, i) => crew[i].ask({ word }));
  Atomics.store(word, 0, RUN);
  Atomics.notify(word, 0);
  await interval(intervalMs);
  Atomics.store(word, 0, STOP);
  return Promise.all(done);
}

function figuresOf(labels, rounds) {
  const figure = (name, threads, value, base) => {
    const more =
      base === undefined ? {} : { ratio: median(rounds.map((rates) => value(rates) / base(rates))) };
    return report(`threads.${name}`, { ...labels, threads }, rounds.map(value), 'ops/s', more);
  };
  const reader = ({ reader }) => reader[0];
  const writer = ({ writer }) => writer[0];
  return [
    figure('get', 1, reader),
    figure('get', 2, ({ readers }) => readers[0] + readers[1], reader),
    figure('getBesidePut', 2, ({ both }) => both[0], reader),
    figure('put', 1, writer),
    figure('putBesideGet', 2, ({ both }) => both[1], writer),
  ];
}
