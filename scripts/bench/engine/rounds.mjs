/**
 * A workload in rounds: in each round every store runs it once, on the same input, in an order that moves by one from round
 * to round. The first round is warm-up, and finds for each store how many operations fill a turn.
 *
 * Not in the times of the turns: before each a full garbage collection, so that nobody pays for another's garbage, a
 * pass of the event loop, and the workload at its smallest, which pays for what a checkpoint puts off to the next
 * write (a new log); after each the checkpoint of the store that wrote, so that it does not disturb the next one's
 * turn. How long these checkpoints took is reported with the figure (`settleMs`).
 */
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { median } from '../lib/report.mjs';

/** Turns that come out a little shorter than those of the warm-up are still long enough. */
const MARGIN = 1.4;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

/**
 * Runs the workload on all `stores` in turns of at least `turnMs` where its pool is large enough. Returns for
 * each store { perOperation, ratios, settleMs, p50, p99 }: microseconds of each round, and how many times those of
 * the first store; the percentiles only for workloads that ask for them.
 */
export async function runRounds(workload, stores, { shape, count, rounds, turnMs, mostOperations }) {
  const { unit = 1, latency } = workload;
  const pool = Math.max(unit, Math.min(workload.pool, mostOperations));
  const results = stores.map(() => ({ perOperation: [], settles: [], ratios: [], operations: 0 }));
  const inputOf = (seed) => workload.prepare({ shape, count, seed, pool });
  const warmUp = inputOf(0);
  for (let i = 0; i < stores.length; i++) {
    results[i].operations = await calibrate(workload, stores[i].store, warmUp, pool, turnMs);
  }
  for (let round = 1; round <= rounds; round++) {
    const input = inputOf(round);
    for (let turn = 0; turn < stores.length; turn++) {
      const index = (turn + round) % stores.length;
      const result = results[index];
      const { us, settleMs } = await takeTurn(workload, stores[index].store, input, result.operations);
      result.perOperation.push(us);
      result.settles.push(settleMs);
    }
    for (const result of results)
      result.ratios.push(result.perOperation.at(-1) / results[0].perOperation.at(-1));
  }
  if (latency !== undefined) {
    const input = inputOf(rounds + 1);
    for (let i = 0; i < stores.length; i++) {
      Object.assign(results[i], await latencies(workload, stores[i].store, input, Math.min(latency, pool)));
    }
  }
  return results.map(({ settles, operations, ...result }) => ({ ...result, settleMs: median(settles) }));
}

/** The number of operations that fill a turn. */
async function calibrate(workload, store, input, pool, turnMs) {
  const { unit = 1 } = workload;
  let operations = unit;
  for (;;) {
    const { us } = await takeTurn(workload, store, input, operations);
    const needed = Math.ceil((turnMs * 1000) / us / unit) * unit;
    if (operations >= Math.min(needed, pool)) return operations;
    operations = Math.min(Math.ceil((needed * MARGIN) / unit) * unit, operations * 10, pool);
  }
}

async function takeTurn(workload, store, input, operations) {
  await rest();
  const { unit = 1 } = workload;
  await workload.run(store, input, unit);
  await workload.cleanUp?.(store, input, unit);
  const started = performance.now();
  const done = (await workload.run(store, input, operations)) ?? operations;
  const ended = performance.now();
  await workload.cleanUp?.(store, input, operations);
  const settleMs = workload.writes ? await settle(store) : 0;
  return { us: ((ended - started) * 1000) / done, settleMs };
}

/** The garbage of the turns before, and what their libraries put off, is done with. */
async function rest() {
  collectGarbage();
  await pause(1);
}

async function settle(store) {
  const started = performance.now();
  await store.settle();
  return performance.now() - started;
}

/** Each operation timed by itself; the cost of asking for the time is in the figures. */
async function latencies(workload, store, input, operations) {
  await rest();
  const times = new Float64Array(operations);
  for (let i = 0; i < times.length; i++) {
    const started = performance.now();
    const pending = workload.one(store, input, i);
    if (pending instanceof Promise) await pending;
    times[i] = (performance.now() - started) * 1000;
  }
  if (workload.writes) await settle(store);
  times.sort();
  const percentile = (share) => times[Math.floor(times.length * share)];
  return { p50: percentile(0.5), p99: percentile(0.99) };
}
