import { expect, it } from 'vitest';
import { Lag } from '../../../engine/shipping/live/lag.js';

it('tells at least as much as the oldest record that is not shipped is old', () => {
  const lag = new Lag();
  expect(lag.look(5, 5, 1000)).toBe(0);
  // It may have come right after the look before.
  expect(lag.look(6, 5, 1250)).toBe(250);
  expect(lag.look(9, 5, 1500)).toBe(500);
  // Those up to 6 are there; 7 was seen at 1500, and not at 1250.
  expect(lag.look(9, 6, 1750)).toBe(500);
  expect(lag.look(9, 9, 2000)).toBe(0);
  expect(lag.look(10, 9, 2100)).toBe(100);
});

it('remembers the earliest of very many', () => {
  const lag = new Lag();
  lag.look(0, 0, 0);
  for (let lsn = 1; lsn <= 5000; lsn++) lag.look(lsn, 0, lsn * 10);
  expect(lag.look(5001, 0, 50_010)).toBe(50_010);
  expect(lag.look(5001, 5001, 50_020)).toBe(0);
});
