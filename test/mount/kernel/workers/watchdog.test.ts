import { beforeEach, expect, test } from 'vitest';
import {
  REQUEST_STUCK_MS,
  SYNC_STUCK_MS,
  Watchdog,
  type WatchedState,
} from '../../../../mount/kernel/workers/watchdog.js';

let state: WatchedState;
let now: number;
let watchdog: Watchdog;

beforeEach(() => {
  state = { requests: 1, asleep: false, operation: 'READ', waiting: 1, tasksWaiting: 0, tasksTaken: 0 };
  now = 1000;
  watchdog = new Watchdog(
    () => state,
    () => now,
  );
  watchdog.sample();
});

function later(ms: number): readonly string[] {
  now += ms;
  watchdog.sample();
  return watchdog.problems.map(({ code, reason }) => `${code}: ${reason}`);
}

test('a request that takes long is a problem until it is over', () => {
  expect(later(REQUEST_STUCK_MS - 1)).toEqual([]);
  state.waiting = 3;
  expect(later(1)).toEqual([
    'REQUEST_STUCK: the mount has been busy with one request (READ) for 10 s; 3 wait in the kernel',
  ]);
  expect(later(5000)).toEqual([
    'REQUEST_STUCK: the mount has been busy with one request (READ) for 15 s; 3 wait in the kernel',
  ]);
  state.requests = 2;
  expect(later(1000)).toEqual([]);
});

test('nothing to do, or much to do, is no problem', () => {
  state.asleep = true;
  state.waiting = 0;
  expect(later(REQUEST_STUCK_MS * 2)).toEqual([]);
  state.asleep = false;
  for (let second = 0; second < 30; second++) {
    state.requests++;
    expect(later(1000)).toEqual([]);
  }
  // Just woken after a long sleep.
  state.asleep = true;
  expect(later(REQUEST_STUCK_MS)).toEqual([]);
  state.asleep = false;
  expect(later(REQUEST_STUCK_MS - 1)).toEqual([]);
});

test('where the kernel does not tell what waits, the time alone counts', () => {
  state.waiting = undefined;
  expect(later(REQUEST_STUCK_MS)).toEqual([
    'REQUEST_STUCK: the mount has been busy with one request (READ) for 10 s',
  ]);
});

test('a sync that takes very long is a problem, although the mount serves others', () => {
  state.asleep = true;
  state.tasksWaiting = 2;
  later(0);
  expect(later(SYNC_STUCK_MS - 1)).toEqual([]);
  expect(later(1)).toEqual(['SYNC_STUCK: the disk has not finished a sync for 30 s; 2 wait']);
  state.tasksTaken = 1;
  state.tasksWaiting = 1;
  expect(later(1)).toEqual([]);
});
