import { expect, test } from 'vitest';
import { OVER, Rehearsal } from '../../../../mount/kernel/session/rehearsal.js';

test('a rehearsal is done in many parts while nobody asks, and comes to its end without an error', () => {
  const rehearsal = new Rehearsal();
  let parts = 0;
  expect(rehearsal.idle(7)).toBeGreaterThan(0);
  while (rehearsal.idle(7) === 0) parts++;
  expect(parts).toBeGreaterThan(10);
  expect(rehearsal.idle(7)).toBe(OVER);
  expect(rehearsal.idle(8)).toBe(OVER);
});

test('one that is not wanted is over from the beginning', () => {
  expect(new Rehearsal(false).idle(0)).toBe(OVER);
});

test('it waits again after each request, and is not needed after very many', () => {
  const rehearsal = new Rehearsal();
  for (let served = 0; served < 5; served++) {
    expect(rehearsal.idle(served)).toBeGreaterThan(0);
    expect(rehearsal.idle(served)).toBe(0);
  }
  expect(rehearsal.idle(1_000_000)).toBe(OVER);
  expect(rehearsal.idle(1_000_000)).toBe(OVER);
});
