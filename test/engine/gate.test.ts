import { expect, test } from 'vitest';
import { GATE_ROW, Gate } from '../../engine/shared/gate.js';
import { MUTEX_WORDS } from '../../engine/shared/mutex.js';

function gates(): [Gate, Gate] {
  const words = new Int32Array(new SharedArrayBuffer(MUTEX_WORDS * 4));
  const rows = new Int32Array(new SharedArrayBuffer(4 * GATE_ROW * 4));
  return [new Gate(words, 0, rows, 1), new Gate(words, 0, rows, 2)];
}

test('who does not wait long gets the gate where it is free, and else leaves it as it was', () => {
  const [one, other] = gates();
  expect(one.lock()).toBe(true);
  expect(other.lockWithin(5)).toBeUndefined();
  expect(one.held).toBe(true);
  one.unlock();
  expect(other.lockWithin(5)).toBe(true);
  expect(other.held).toBe(true);
  expect(one.enter()).toBe(false);
  other.unlock();
  // One that is inside beside others keeps it, too.
  expect(one.enter()).toBe(true);
  expect(other.lockWithin(5)).toBeUndefined();
  one.leave();
  expect(one.enter()).toBe(true);
  one.leave();
  expect(other.lockWithin(5)).toBe(true);
  other.unlock();
});

test('nobody gets a gate in which a thread failed', () => {
  const [one, other] = gates();
  expect(one.lock()).toBe(true);
  one.abandon();
  expect(other.lockWithin(1_000)).toBe(false);
});
