/** The comparison finds what a crash must not do, and allows what it may. */
import { expect, it } from 'vitest';
import { compare } from './comparison.js';
import type { Call, Step } from './log.js';
import { type Inode, Model, newInode } from './model.js';

/** What is there before: a directory of each of two clients, and what they share. */
function scene(): Inode {
  const root = newInode('directory', 0o755);
  const model = new Model(root, 0);
  const steps: Step[] = [
    ['mkdir', 'c0', 0o755],
    ['mkdir', 'c1', 0o755],
    ['mkdir', 'shared', 0o755],
    ['create', 'h', 'shared/hub', 0o644],
    ['create', 'h', 'shared/log', 0o644],
    ['mkdir', 'c0/d', 0o755],
    ['create', 'h', 'c0/d/f', 0o644],
    ['write', 'h', 0, 10_000],
    ['link', 'c0/d/f', 'c0/second'],
  ];
  for (const [number, step] of steps.entries()) if (!model.apply(number, step)) throw new Error(step.join());
  return seen(root, new Map(), { next: 1 });
}

/** A copy as it is looked at: whatever has no number gets the next. */
function seen(inode: Inode, copies: Map<Inode, Inode>, numbers: { next: number }): Inode {
  const known = copies.get(inode);
  if (known !== undefined) return known;
  const copy = { ...inode, ino: inode.ino ?? numbers.next++, mtime: inode.mtime ?? '1', entries: new Map() };
  copies.set(inode, copy);
  for (const [name, below] of inode.entries) copy.entries.set(name, seen(below, copies, numbers));
  return copy;
}

/** The tree after what client 0 did. */
function after(...steps: Step[]): Inode {
  const copy = seen(scene(), new Map(), { next: 1 });
  const model = new Model(copy, 0);
  for (const [i, step] of steps.entries()) if (!model.apply(100 + i, step)) throw new Error(step.join());
  return seen(copy, new Map(), { next: 100 });
}

/** Compares it with what client 0 was told: the last call is in flight where `inFlight`. */
function outcome(found: Inode, steps: Step[], inFlight = false): string {
  const calls: Call[] = steps.map((step, i) => ({
    number: 100 + i,
    step,
    began: i,
    ended: i,
    result: inFlight && i === steps.length - 1 ? undefined : 0,
  }));
  const known = new Set(Array.from({ length: 50 }, (_, ino) => ino));
  try {
    compare(scene(), [calls, []], found, known);
    return 'as it should be';
  } catch (error) {
    return (error as Error).message.split('\n')[0]!;
  }
}

const OPEN: Step = ['open', 'h', 'c0/d/f', false];
const RENAME: Step = ['rename', 'c0/d', 'shared/c0-d'];
const MKDIR: Step = ['mkdir', 'c0/new', 0o700];
const WRITE: Step = ['write', 'h', 4000, 8000];

it('takes what was acknowledged, and what was in flight either way', () => {
  expect(outcome(after(), [])).toBe('as it should be');
  expect(outcome(after(RENAME, MKDIR), [RENAME, MKDIR])).toBe('as it should be');
  expect(outcome(after(RENAME, MKDIR), [RENAME, MKDIR], true)).toBe('as it should be');
  expect(outcome(after(RENAME), [RENAME, MKDIR], true)).toBe('as it should be');
});

it('finds what is lost, done in half, or done by nobody', () => {
  expect(outcome(after(RENAME), [RENAME, MKDIR])).toContain('c0/new is missing');
  expect(outcome(after(), [RENAME, MKDIR], true)).toContain('c0/d is there and should not be');
  const half = after(RENAME);
  half.entries.get('c0')!.entries.set('d', half.entries.get('shared')!.entries.get('c0-d')!);
  expect(outcome(half, [RENAME], true)).not.toBe('as it should be');
  expect(outcome(after(MKDIR), [])).toContain('c0/new is there and should not be');
  const strange = after();
  strange.entries.set('strange', { ...newInode('file', 0o644), ino: 200 });
  expect(outcome(strange, [])).toBe('strange is there and nobody made it');
  expect(outcome(after(['chmod', 'c0/d/f', 0o600]), [])).toContain('has mode');
  expect(outcome(after(['setxattr', 'c0/d/f', 'user.a', 5]), [])).toContain('has user.a 5 bytes');
});

it('finds an inode number that changed, was used before, or of a link that became another file', () => {
  const changed = after();
  changed.entries.get('c0')!.ino = 150;
  expect(outcome(changed, [])).toContain('c0 is inode 150');
  const used = after(MKDIR);
  used.entries.get('c0')!.entries.get('new')!.ino = 40;
  expect(outcome(used, [MKDIR])).toContain('c0/new is inode 40');
  const parted = after();
  const own = parted.entries.get('c0')!.entries;
  own.set('second', { ...own.get('second')!, ino: 151 });
  expect(outcome(parted, [])).toContain('c0/second is inode 151');
});

it('takes a write in flight that is there by pages, and no other', () => {
  const torn = (keep: number, length: number): Inode => {
    const found = after(OPEN, WRITE);
    const file = found.entries.get('c0')!.entries.get('second')!;
    const [before, content] = [
      scene().entries.get('c0')!.entries.get('second')!.content,
      Buffer.from(file.content),
    ];
    if (keep < before.length) before.copy(content, keep, keep);
    file.content = content.subarray(0, length);
    return found;
  };
  expect(outcome(torn(12_000, 12_000), [OPEN, WRITE])).toBe('as it should be');
  expect(outcome(torn(4096, 10_000), [OPEN, WRITE], true)).toBe('as it should be');
  expect(outcome(torn(0, 10_000), [OPEN, WRITE], true)).toBe('as it should be');
  expect(outcome(torn(4096, 10_000), [OPEN, WRITE])).toContain('has other bytes');
  expect(outcome(torn(4104, 10_000), [OPEN, WRITE], true)).toContain('has other bytes');
  expect(outcome(torn(12_000, 11_000), [OPEN, WRITE], true)).toContain('has other bytes');
});

it('finds records of several that are lost, doubled or out of order', () => {
  const append: Step = ['append'];
  const withLog = (text: string): Inode => {
    const found = after();
    found.entries.get('shared')!.entries.get('log')!.content = Buffer.from(text);
    return found;
  };
  expect(outcome(withLog('0000010000000101'), [append, append])).toBe('as it should be');
  expect(outcome(withLog('00000100'), [append, append], true)).toBe('as it should be');
  expect(outcome(withLog('00000100'), [append, append])).toContain('shared/log has 00000100 of client 0');
  expect(outcome(withLog('0000010100000100'), [append, append])).toContain('shared/log has');
  expect(outcome(withLog('000001000000010000000101'), [append, append])).toContain('shared/log has');
  expect(outcome(withLog('09000100'), [])).toBe('shared/log has records that nobody appended');
});
