/** Entries, rings and listeners of the request log, with one thread in the parts of all. */
import { describe, expect, it } from 'vitest';
import { Entry, EntryTable, NO_PATH, PATHS_BYTES } from '../../../mount/request-log/entry.js';
import { Lane, RequestLogMemory } from '../../../mount/request-log/memory.js';
import { PendingRequests } from '../../../mount/request-log/pending.js';
import { type RequestFilter, RequestLog } from '../../../mount/request-log/reader.js';
import { Ring } from '../../../mount/request-log/ring.js';

/** All that a test has written is before. */
const LATER = Number.POSITIVE_INFINITY;
const ALL: RequestFilter = { micros: 0, operations: undefined, path: undefined, uid: undefined };
const OPERATIONS = ['lookup', 'rename', undefined, 'rename'];

interface Fields extends Partial<Omit<Entry, 'path' | 'to'>> {
  micros?: number;
  path?: string;
  to?: string;
}

function entryOf(fields: Fields): Entry {
  const entry = new Entry();
  const { path, to, micros = 0, ...others } = fields;
  Object.assign(entry, { microseconds: micros, ...others });
  if (path !== undefined) {
    Buffer.from(path).copy(entry.path);
    entry.pathLength = Buffer.byteLength(path);
  }
  if (to !== undefined) {
    Buffer.from(to).copy(entry.to);
    entry.toLength = Buffer.byteLength(to);
  }
  return entry;
}

function pathsOf(entry: Entry): [string, string] {
  return [entry.path.toString('latin1', 0, entry.pathKept), entry.to.toString('latin1', 0, entry.toKept)];
}

describe('an entry', () => {
  const table = new EntryTable(new SharedArrayBuffer(4 * 512), 0, 4);
  const passed = (entry: Entry): Entry => {
    const read = new Entry();
    table.write(2, entry);
    table.read(2, read);
    return read;
  };

  it('keeps all that it is given', () => {
    const entry = entryOf({
      ino: 2 ** 52 + 1,
      micros: 12.5,
      uid: 4_000_000_000,
      pid: 7,
      path: '/a',
      to: '/b/c',
    });
    Object.assign(entry, { begun: 1.7e12 + 0.25, operation: 45, result: 17 });
    entry.parts.set([1, 2, 3, 4, 5]);
    const read = passed(entry);
    expect({ ...read, path: 0, to: 0 }).toEqual({ ...entry, path: 0, to: 0 });
    expect(pathsOf(read)).toEqual(['/a', '/b/c']);
  });

  it('keeps the beginnings of paths that are too long, and their lengths', () => {
    const long = (letter: string, length: number): string => letter.repeat(length);
    const half = PATHS_BYTES / 2;
    for (const [path, to, keptPath, keptTo] of [
      [PATHS_BYTES, 0, PATHS_BYTES, 0],
      [PATHS_BYTES + 1, 0, PATHS_BYTES, 0],
      [5000, 5000, half, half],
      [5000, 10, PATHS_BYTES - 10, 10],
      [10, 5000, 10, PATHS_BYTES - 10],
      [half + 20, half - 20, half + 20, half - 20],
    ] as const) {
      const read = passed(entryOf({ path: long('p', path), to: long('t', to) }));
      expect([read.pathLength, read.toLength]).toEqual([path, to]);
      expect(pathsOf(read)).toEqual([long('p', keptPath), long('t', keptTo)]);
    }
  });
});

describe('a ring', () => {
  it('tells exactly how many entries a reader has missed, wherever it is', () => {
    for (const capacity of [1, 2, 8]) {
      const ring = new Ring(new SharedArrayBuffer(Ring.size(capacity)), 0, capacity);
      const cursor = ring.follow();
      const entry = new Entry();
      let written = 0;
      let next = 0;
      for (const count of [0, 1, capacity, capacity + 1, 3 * capacity, 1, 0, 2]) {
        for (let i = 0; i < count; i++) ring.write(entryOf({ ino: written++ }));
        const lost = cursor.catchUp();
        expect(lost).toBe(Math.max(0, written - capacity - next));
        next += lost;
        // One is left for the next time.
        for (let left = written - next; left > 1; left--) {
          expect(cursor.next(entry)).toBe(true);
          expect(entry.ino).toBe(next++);
        }
      }
      expect(next).toBe(written - 1);
    }
  });

  it('goes on when its counts begin anew', () => {
    const memory = new SharedArrayBuffer(Ring.size(4));
    new Int32Array(memory).fill(-2, 0, 2);
    const ring = new Ring(memory, 0, 4);
    const cursor = ring.follow();
    for (let ino = 0; ino < 7; ino++) ring.write(entryOf({ ino }));
    expect(cursor.catchUp()).toBe(3);
    const entry = new Entry();
    const read: number[] = [];
    while (cursor.next(entry)) read.push(entry.ino);
    expect(read).toEqual([3, 4, 5, 6]);
  });

  it('does not give an entry that is being overwritten', () => {
    const memory = new SharedArrayBuffer(Ring.size(2));
    const ring = new Ring(memory, 0, 2);
    const cursor = ring.follow();
    for (let ino = 0; ino < 2; ino++) ring.write(entryOf({ ino }));
    expect(cursor.catchUp()).toBe(0);
    // As far as another thread has come that is in the middle of the third.
    Atomics.add(new Int32Array(memory), 0, 1);
    const entry = new Entry();
    expect(cursor.next(entry)).toBe(false);
    expect(cursor.catchUp()).toBe(1);
    expect(cursor.next(entry)).toBe(true);
    expect(entry.ino).toBe(1);
  });
});

describe('a request log', () => {
  const make = () => {
    const memory = new RequestLogMemory();
    return { memory, log: new RequestLog(memory, { operations: OPERATIONS, tellsCaller: true }) };
  };
  const write = (memory: RequestLogMemory, lane: Lane, fields: Fields): void => {
    const entry = entryOf(fields);
    if (memory.wants(entry.microseconds)) memory.write(lane, entry);
  };

  it('wants nothing but slow requests while nobody listens', () => {
    const { memory, log } = make();
    expect([memory.wants(0), memory.wants(9_999), memory.wants(10_000)]).toEqual([false, false, true]);
    write(memory, Lane.SESSION, { micros: 20_000 });
    expect(log.figures().written).toBe(0);
    const first = log.listen({ ...ALL, micros: 500 });
    const second = log.listen({ ...ALL, micros: 100 });
    expect([memory.wants(99), memory.wants(100)]).toEqual([false, true]);
    second.end();
    expect([memory.wants(100), memory.wants(500)]).toEqual([false, true]);
    first.end();
    expect(memory.wants(9_999)).toBe(false);
    log.slowMs = 1;
    expect([memory.wants(999), memory.wants(1_000)]).toEqual([false, true]);
    const third = log.listen(ALL);
    expect(memory.wants(0)).toBe(true);
    third.end();
    expect(log.figures().written).toBe(0);
  });

  it('gives what all threads answer in its order, each listener what it asked for', () => {
    const { memory, log } = make();
    const all = log.listen(ALL);
    const some = log.listen({ micros: 10, operations: ['rename'], path: Buffer.from('/a'), uid: 7 });
    const requests: [Lane, Fields][] = [
      [Lane.SESSION, { ino: 1, begun: 1, micros: 9000, operation: 1, uid: 7, path: '/a' }],
      [Lane.IO, { ino: 2, begun: 2, micros: 10, operation: 1, uid: 7, path: '/b', to: '/a/c' }],
      [Lane.SESSION, { ino: 3, begun: 3, micros: 9, operation: 1, uid: 7, path: '/a' }],
      [Lane.SESSION, { ino: 4, begun: 4, micros: 10, operation: 1, uid: 8, path: '/a' }],
      [Lane.MAIN, { ino: 5, begun: 5, micros: 10, operation: 0, uid: 7, path: '/a' }],
      [Lane.SESSION, { ino: 6, begun: 6, micros: 10, operation: 3, uid: 7, path: '/a/b' }],
      [Lane.SESSION, { ino: 7, begun: 7, micros: 10, operation: 3, uid: 7, path: '/ab', to: '/c' }],
      [Lane.SESSION, { ino: 8, begun: 8, micros: 10, operation: 3, uid: 7 }],
    ];
    for (const [lane, fields] of requests) write(memory, lane, fields);
    const read: number[] = [];
    expect(all.take(LATER, 3, (entry) => read.push(entry.ino))).toEqual({ looked: 3, missed: 0 });
    expect(all.take(LATER, 100, (entry) => read.push(entry.ino))).toEqual({ looked: 5, missed: 0 });
    // The first was answered last of all, and no other of its thread can come before it.
    expect(read).toEqual([2, 5, 1, 3, 4, 6, 7, 8]);
    const found: number[] = [];
    expect(some.take(LATER, 100, (entry) => found.push(entry.ino))).toEqual({ looked: 8, missed: 0 });
    expect(found).toEqual([2, 1, 6]);
  });

  it('gives nothing that was answered after it began to look, so that all listeners have one order', () => {
    const { memory, log } = make();
    const listener = log.listen(ALL);
    const read: number[] = [];
    const take = (now: number) => listener.take(now, 100, (entry) => read.push(entry.ino)).looked;
    write(memory, Lane.SESSION, { ino: 1, begun: 1, micros: 1_000 });
    // Another thread has answered before, and comes to write it only now.
    write(memory, Lane.SESSION, { ino: 3, begun: 3, micros: 1_000 });
    expect(take(3.5)).toBe(1);
    write(memory, Lane.IO, { ino: 2, begun: 2, micros: 1_800 });
    expect(take(3.9)).toBe(1);
    expect(take(4)).toBe(1);
    expect(read).toEqual([1, 2, 3]);
  });

  it('counts exactly what a listener was too slow for', () => {
    const { memory, log } = make();
    const slow = log.listen(ALL);
    const quick = log.listen({ ...ALL, operations: ['lookup'] });
    let seen = 0;
    let missed = 0;
    let quickSeen = 0;
    const REQUESTS = 30_000;
    for (let i = 0; i < REQUESTS; i++) {
      write(memory, i % 7 === 0 ? Lane.IO : Lane.SESSION, { begun: i, operation: 0 });
      if (i % 500 === 0) expect(quick.take(LATER, 1000, () => quickSeen++).missed).toBe(0);
      if (i % 10_000 === 5_000) slow.skip();
      if (i === 20_000) missed += slow.take(LATER, 10, () => seen++).missed;
    }
    quick.take(LATER, 1000, () => quickSeen++);
    for (;;) {
      const taken = slow.take(LATER, 1000, () => seen++);
      missed += taken.missed;
      if (taken.looked === 0) break;
    }
    expect(missed).toBeGreaterThan(0);
    expect(seen).toBeGreaterThan(8192);
    expect(seen + missed).toBe(REQUESTS);
    expect(quickSeen).toBe(REQUESTS);
  });

  it('keeps the last slow requests of each thread', () => {
    const { memory, log } = make();
    for (let ino = 0; ino < 300; ino++) write(memory, Lane.SESSION, { ino, begun: ino, micros: 10_000 });
    write(memory, Lane.IO, { ino: 1000, begun: 5, micros: 20_000 });
    const kept: number[] = [];
    log.slow(ALL, (entry) => kept.push(entry.ino));
    expect(kept).toEqual([1000, ...Array.from({ length: 256 }, (_, i) => i + 44)]);
    const slower: number[] = [];
    log.slow({ ...ALL, micros: 15_000 }, (entry) => slower.push(entry.ino));
    expect(slower).toEqual([1000]);
  });

  it('finds what is below the root, and nothing by a path that it keeps too little of', () => {
    const { memory, log } = make();
    const root = log.listen({ ...ALL, path: Buffer.alloc(0) });
    const deep = log.listen({ ...ALL, path: Buffer.from(`/${'d'.repeat(218)}`) });
    write(memory, Lane.SESSION, { path: '' });
    write(memory, Lane.SESSION, { path: '/x' });
    write(memory, Lane.SESSION, { pathLength: NO_PATH });
    write(memory, Lane.SESSION, { path: `/${'d'.repeat(218)}/${'x'.repeat(900)}`, to: 'y'.repeat(900) });
    write(memory, Lane.SESSION, { path: `/${'d'.repeat(219)}`, to: 'y'.repeat(900) });
    let below = 0;
    root.take(LATER, 10, () => below++);
    expect(below).toBe(4);
    let found = 0;
    deep.take(LATER, 10, () => found++);
    expect(found).toBe(1);
  });
});

describe('requests that wait for another thread', () => {
  it('are known by the place of their record in the queue, and answered once', () => {
    const pending = new PendingRequests(4);
    const other = new PendingRequests(pending.shared);
    const entry = new Entry();
    const positions = [0, 3, 5, 2 ** 32 - 2];
    for (const position of positions) pending.put(position, entryOf({ ino: position }));
    for (const position of positions) {
      expect(other.answer(position, entry)).toBe(true);
      expect(entry.ino).toBe(position);
      expect(pending.answer(position, entry)).toBe(false);
    }
  });

  it('are not taken for those that had the place before', () => {
    const pending = new PendingRequests(4);
    const entry = new Entry();
    pending.put(1, entryOf({ ino: 1 }));
    pending.put(5, entryOf({ ino: 5 }));
    expect(pending.answer(1, entry)).toBe(false);
    expect(pending.answer(5, entry)).toBe(true);
    expect(entry.ino).toBe(5);
    expect(pending.answer(9, entry)).toBe(false);
  });
});
