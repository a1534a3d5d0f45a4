import fc from 'fast-check';
import { afterEach, expect, test, vi } from 'vitest';
import { PARTS, Part, stopwatch } from '../../engine/stopwatch.js';

let now = 0;

afterEach(() => void vi.restoreAllMocks());

function fakeClock(): void {
  now = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
}

function parts(): number[] {
  return [...stopwatch.times.subarray(0, PARTS)];
}

test('time is of the part that it was turned to, one within another, and of the tree else', () => {
  fakeClock();
  stopwatch.start();
  now += 1;
  const outer = stopwatch.turn(Part.WAITING);
  now += 10;
  const inner = stopwatch.turn(Part.JOURNAL);
  now += 100;
  stopwatch.turn(inner);
  now += 1000;
  stopwatch.turn(outer);
  now += 10_000;
  stopwatch.stop();
  expect(parts()).toEqual([10_001, 1010, 0, 100, 0]);
  // Nothing of it is left in the next.
  stopwatch.start();
  now += 7;
  stopwatch.stop();
  expect(parts()).toEqual([7, 0, 0, 0, 0]);
});

test('a request that came before has waited since', () => {
  fakeClock();
  stopwatch.start();
  const { arrived } = stopwatch;
  now += 50;
  stopwatch.start(arrived);
  expect(stopwatch.arrived).toBe(arrived);
  now += 2;
  stopwatch.stop();
  expect(parts()).toEqual([2, 50, 0, 0, 0]);
});

test('the parts come to the whole, whatever it was turned to', () => {
  fakeClock();
  const turns = fc.array(fc.tuple(fc.constantFrom(...Object.values(Part)), fc.nat(1000)), { maxLength: 20 });
  fc.assert(
    fc.property(turns, fc.nat(1000), (taken, first) => {
      stopwatch.start();
      const began = now;
      const expected = new Array<number>(PARTS).fill(0);
      expected[Part.TREE]! += first;
      now += first;
      for (const [part, time] of taken) {
        stopwatch.turn(part);
        now += time;
        expected[part]! += time;
      }
      stopwatch.stop();
      expect(parts()).toEqual(expected);
      expect(parts().reduce((sum, time) => sum + time, 0)).toBe(now - began);
    }),
  );
});
