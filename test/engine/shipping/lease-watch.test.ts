/** How long may be answered without a word of the lease: in work, without a server, and after the process stood still. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { expect, it } from 'vitest';
import type { HeldHead } from '../../../engine/remote/held-head.js';
import { LeaseWatch } from '../../../engine/shipping/live/lease-watch.js';
import {
  FULL,
  LOST,
  makeShippingBoard,
  ShippingBoard,
  WELCOME,
} from '../../../engine/shipping/live/shipping-board.js';

const LEASE_MS = 10_000;

function watched() {
  const held = { leaseEnd: LEASE_MS, failedSince: undefined as number | undefined };
  const clock = { at: 0, now: () => clock.at, sleep: () => Promise.resolve() };
  const watch = new LeaseWatch(clock, held as unknown as HeldHead);
  /** Looks four times a second, up to a moment, and tells the last look's answer. */
  const lookUntil = (until: number) => {
    let answer = watch.servesForMs();
    while (clock.at < until) {
      clock.at += 250;
      answer = watch.servesForMs();
    }
    return answer;
  };
  return { held, clock, watch, lookUntil };
}

it('as long as the lease holds', () => {
  const { lookUntil, held } = watched();
  expect(lookUntil(2_000)).toBe(8_000);
  held.leaseEnd = 12_000;
  expect(lookUntil(4_000)).toBe(8_000);
});

it('without an end where the server is away and one has looked all the time', () => {
  const { lookUntil, held } = watched();
  held.failedSince = 5_000;
  expect(lookUntil(60_000)).toBe(3_000);
});

it('not at all after the process stood still, until the server was asked after that', () => {
  const { lookUntil, held, clock, watch } = watched();
  lookUntil(2_000);
  clock.at = 30_000;
  expect(watch.servesForMs()).toBe(0);
  // It failed before it stood still: that says nothing.
  held.failedSince = 1_000;
  expect(lookUntil(31_000)).toBe(0);
  held.failedSince = 30_500;
  expect(lookUntil(32_000)).toBe(3_000);

  clock.at = 60_000;
  expect(watch.servesForMs()).toBe(0);
  held.failedSince = undefined;
  held.leaseEnd = 70_000;
  expect(lookUntil(60_250)).toBe(9_750);
});

it('and a short standstill within the lease is none', () => {
  const { lookUntil, clock, watch } = watched();
  lookUntil(1_000);
  clock.at = 9_000;
  expect(watch.servesForMs()).toBe(3_000);
});

const WAITING = `const { parentPort, workerData } = require('node:worker_threads');
  import(workerData.module).then(({ ShippingBoard }) => {
    const board = new ShippingBoard(workerData.board);
    parentPort.on('message', () => parentPort.postMessage(board.admission()));
    parentPort.postMessage('ready');
  });`;

it('other threads wait meanwhile, and are told', async () => {
  const shared = makeShippingBoard();
  const board = new ShippingBoard(shared);
  const module = new URL('../../../dist/engine/shipping/live/shipping-board.js', import.meta.url).href;
  const worker = new Worker(WAITING, { eval: true, workerData: { module, board: shared } });
  const next = () => new Promise<unknown>((resolve) => worker.once('message', resolve));
  await next();
  const ask = () => {
    const answer = next();
    worker.postMessage('');
    return answer;
  };
  board.looked(60_000);
  expect(await ask()).toBe(WELCOME);
  board.refusal = FULL;
  expect(await ask()).toBe(FULL);
  board.refusal = WELCOME;

  // Also in this very millisecond.
  board.looked(0);
  let isAnswered = false;
  const waiting = ask().finally(() => {
    isAnswered = true;
  });
  for (let look = 0; look < 50; look++) {
    board.looked(0);
    await sleep(1);
  }
  expect(isAnswered).toBe(false);
  board.refusal = LOST;
  expect(await waiting).toBe(LOST);
  board.refusal = WELCOME;
  board.looked(60_000);
  expect(await ask()).toBe(WELCOME);
  await worker.terminate();
});
