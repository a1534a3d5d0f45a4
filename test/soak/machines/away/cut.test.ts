/** The comparison with what another machine finds: it finds what must not be, and allows what may. */
import { expect, it } from 'vitest';
import type { Call, Step } from '../../crash/log.js';
import { type Inode, Model, newInode } from '../../crash/model.js';
import { type CutOptions, compareCut, syncedUntil } from './cut.js';

type Timed = readonly [at: number, ...step: Step];

const SCENE: Step[] = [
  ['mkdir', 'c0', 0o755],
  ['mkdir', 'c1', 0o755],
  ['mkdir', 'shared', 0o755],
  ['create', 'h', 'shared/hub', 0o644],
  ['create', 'h', 'shared/log', 0o644],
  ['create', 'h', 'c0/f', 0o644],
  ['write', 'h', 0, 5000],
];

/** A copy as it is looked at: whatever has no number gets the next. */
function seen(inode: Inode, copies: Map<Inode, Inode>, numbers: { next: number }): Inode {
  const known = copies.get(inode);
  if (known !== undefined) return known;
  const copy = { ...inode, ino: inode.ino ?? numbers.next++, mtime: inode.mtime ?? '1', entries: new Map() };
  copies.set(inode, copy);
  for (const [name, below] of inode.entries) copy.entries.set(name, seen(below, copies, numbers));
  return copy;
}

function scene(): Inode {
  const root = newInode('directory', 0o755);
  const model = new Model(root, 0);
  for (const [number, step] of SCENE.entries()) if (!model.apply(number, step)) throw new Error(step.join());
  return seen(root, new Map(), { next: 1 });
}

/** Each call takes a tenth of a second; the last of a client's is in flight where `inFlight`. */
function history(steps: readonly Timed[], inFlight = false): Call[] {
  return steps.map(([at, ...step], i) => {
    const isLast = inFlight && i === steps.length - 1;
    return {
      number: 100 + i,
      step,
      began: at,
      ended: isLast ? undefined : at + 0.1,
      result: isLast ? undefined : 0,
    };
  });
}

/** What is found where of the clients so many calls have got away. */
function found(histories: readonly Call[][], counts: readonly number[]): Inode {
  const copy = seen(scene(), new Map(), { next: 1 });
  for (const [client, calls] of histories.entries()) {
    const model = new Model(copy, client);
    for (const { number, step } of calls.slice(0, counts[client])) {
      if (step[0] === 'claim') model.apply(number, ['mkdir', step[1]!, 0o755]);
      else if (step[0] !== 'append') model.apply(number, step);
    }
  }
  return seen(copy, new Map(), { next: 100 });
}

function outcome(histories: readonly Call[][], there: Inode, options: Partial<CutOptions> = {}): unknown {
  const known = new Set(Array.from({ length: 50 }, (_, ino) => ino));
  const told = { sureUntil: Number.NEGATIVE_INFINITY, fsyncIsRemote: false, ...options };
  try {
    const { kept, lost } = compareCut(scene(), histories, there, known, told);
    return [kept, lost];
  } catch (error) {
    return (error as Error).message.split('\n')[0]!;
  }
}

const a: Timed = [1, 'mkdir', 'c0/a', 0o700];
const b: Timed = [2, 'mkdir', 'c0/b', 0o700];
const c: Timed = [3, 'rename', 'c0/a', 'c0/c'];
const other: Timed = [2.5, 'mkdir', 'c1/a', 0o700];

it('takes any moment, and counts what is lost', () => {
  const calls = [history([a, b, c]), history([other])];
  expect(outcome(calls, found(calls, [3, 1]))).toEqual([4, 0]);
  expect(outcome(calls, found(calls, [2, 1]))).toEqual([3, 1]);
  expect(outcome(calls, found(calls, [2, 0]))).toEqual([2, 2]);
  expect(outcome(calls, found(calls, [0, 0]))).toEqual([0, 4]);
  const inFlight = [history([a, b, c], true), history([other])];
  expect(outcome(inFlight, found(inFlight, [3, 1]))).toEqual([3, 0]);
  expect(outcome(inFlight, found(inFlight, [2, 1]))).toEqual([3, 0]);
});

it('finds what was to be there', () => {
  const calls = [history([a, b, c]), history([other])];
  expect(outcome(calls, found(calls, [1, 0]), { sureUntil: 1.5 })).toEqual([1, 3]);
  expect(outcome(calls, found(calls, [1, 0]), { sureUntil: 2.1 })).toMatch(
    /^client 0: 101 mkdir c0\/b .* is lost, and was to be there/,
  );
  expect(outcome(calls, found(calls, [3, 0]), { sureUntil: 2.7 })).toMatch(
    /^client 1: .* is lost, and was to be there/,
  );
});

it('finds a state that never was', () => {
  const calls = [history([a, b, c]), history([other])];
  // The rename began after the other client's directory was there.
  expect(outcome(calls, found(calls, [3, 0]))).toMatch(
    /^client 1: .* is lost, but what was begun at 3 is there$/,
  );
  const skipped = found(calls, [2, 1]);
  skipped.entries.get('c0')!.entries.delete('a');
  expect(outcome(calls, skipped)).toMatch(
    /^client 0: what was found is of no moment\. After 0 of 3 calls c0\/b is there/,
  );
  const strange = found(calls, [3, 1]);
  strange.entries.set('strange', { ...newInode('file', 0o644), ino: 200 });
  expect(outcome(calls, strange)).toBe('strange is there and nobody made it');
});

it('finds claims that are there twice, too early or too late', () => {
  const claim: Timed = [1.5, 'claim', 'shared/claim-1'];
  const calls = [history([a, claim, b]), history([other])];
  expect(outcome(calls, found(calls, [3, 1]))).toEqual([4, 0]);
  expect(outcome(calls, found(calls, [1, 0]))).toEqual([1, 3]);
  const without = found(calls, [3, 1]);
  without.entries.get('shared')!.entries.delete('claim-1');
  expect(outcome(calls, without)).toContain('what was found is of no moment');
  const twice = [history([a, claim, b]), history([claim])];
  expect(outcome(twice, found(calls, [3, 0]))).toBe('shared/claim-1 was made twice');
});

it('wants the bytes of what was brought away, and of nothing else', () => {
  const open: Timed = [1, 'open', 'h', 'c0/f', false];
  const write: Timed = [1.2, 'write', 'h', 0, 6000];
  const fsync: Timed = [1.4, 'fsync', 'h'];
  const close: Timed = [1.6, 'close', 'h'];
  const later: Timed = [9, 'mkdir', 'c0/later', 0o700];
  const torn = (calls: Call[][]): Inode => {
    const there = found(calls, [calls[0]!.length, 0]);
    there.entries.get('c0')!.entries.get('f')!.content = Buffer.alloc(6000, 'other');
    return there;
  };
  const written = [history([open, write]), []];
  expect(outcome(written, torn(written), { fsyncIsRemote: true })).toEqual([2, 0]);
  const synced = [history([open, write, fsync]), []];
  expect(outcome(synced, found(synced, [3, 0]), { fsyncIsRemote: true })).toEqual([2, 0]);
  expect(outcome(synced, torn(synced), { fsyncIsRemote: true })).toMatch(
    /^client 0: 102 fsync h .* is lost$/,
  );
  expect(outcome(synced, torn(synced))).toEqual([2, 0]);
  const closed = [history([open, write, close]), []];
  expect(outcome(closed, torn(closed))).toEqual([3, 0]);
  // By then it was at rest for long.
  const rested = [history([open, write, close, later]), []];
  expect(outcome(rested, found(rested, [4, 0]))).toEqual([4, 0]);
  expect(outcome(rested, torn(rested))).toContain('c0/f has other bytes');
  // But somebody was at it again before it was read.
  const again = [history([open, write, close, later, [10, 'open', 'h', 'c0/f', true]]), []];
  expect(outcome(again, torn(again))).toEqual([5, 0]);
});

it('wants of the log what it had, and its records in order', () => {
  const append: Timed = [1, 'append'];
  const calls = [history([append, [2, 'append']]), history([append])];
  const withLog = (text: string): Inode => {
    const there = found(calls, [2, 1]);
    there.entries.get('shared')!.entries.get('log')!.content = Buffer.from(text);
    return there;
  };
  expect(outcome(calls, withLog(''))).toEqual([0, 0]);
  expect(outcome(calls, withLog('0000010001000100'))).toEqual([0, 0]);
  expect(outcome(calls, withLog('00000101'))).toContain('shared/log has 00000101 in place of 00000100');
  expect(outcome(calls, withLog('0000010000000100'))).toContain(
    'shared/log has 00000100 in place of 00000101',
  );
  expect(outcome(calls, withLog('09000100'))).toContain('shared/log has 09000100 in place of undefined');
});

it('takes what was acknowledged before the last fsync for sure', () => {
  const calls = [history([a, [4, 'fsyncdir', 'c0'], b]), history([other, [6, 'fsync', 'h']], true)];
  expect(syncedUntil(calls)).toBe(4);
  expect(syncedUntil([[], []])).toBe(Number.NEGATIVE_INFINITY);
});
