import { expect, test } from 'vitest';
import { Rehearsal } from '../../../mount/kernel/rehearsal.js';

test('a rehearsal comes to its end in many parts, without an error', () => {
  const rehearsal = new Rehearsal();
  let parts = 1;
  while (rehearsal.step()) parts++;
  expect(parts).toBeGreaterThan(10);
  expect(rehearsal.step()).toBe(false);
});

test('one that is ended before does nothing more', () => {
  const rehearsal = new Rehearsal();
  expect(rehearsal.step()).toBe(true);
  rehearsal.end();
  expect(rehearsal.step()).toBe(false);
});
