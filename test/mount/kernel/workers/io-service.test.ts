import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Part } from '../../../../engine/stopwatch.js';
import { NO_SPARE } from '../../../../mount/filesystem/contents/spares/spare-files.js';
import { RECORD_FIELDS, SharedQueue } from '../../../../mount/kernel/device/shared-queue.js';
import { IoService } from '../../../../mount/kernel/workers/io-service.js';
import { IoResult, IoTask, putSync } from '../../../../mount/kernel/workers/io-tasks.js';
import { monotonic } from '../../../../mount/requests/request-failures.js';

interface Answered {
  opcode: number;
  times: number[];
}

let directory: string;
/** Stands for /dev/fuse: replies are appended to a file. */
let fd: number;
let durable: number;
let syncs: number;
let wakes: number;
let answers: number[];
let answered: Answered[];
let failing: boolean;
let removed: number[];
/** What was synced, and what comes of it. */
let synced: unknown[][];
let sync: () => boolean | undefined;
let used: Map<number, number>;
let space: { free: number; all: number };
let tasks: SharedQueue;
let results: SharedQueue;
let copies: string[];
let service: IoService;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-io-'));
  fd = openSync(join(directory, 'replies'), 'w');
  durable = 0;
  syncs = 0;
  wakes = 0;
  answers = [];
  answered = [];
  failing = false;
  removed = [];
  synced = [];
  copies = [];
  sync = () => true;
  used = new Map();
  space = { free: 500e9, all: 1000e9 };
  tasks = new SharedQueue(8);
  results = new SharedQueue(2);
  service = new IoService({
    fd,
    tasks,
    results,
    tree: {
      sync: () => {
        syncs++;
        if (failing) throw new Error('the journal failed');
        durable = 100;
      },
      durableLsn: () => durable,
      lastLsn: () => durable,
    },
    content: {
      remove: (ino) => removed.push(ino),
      syncAll: () => syncs++,
      copy: (copy) => {
        copies.push(`copy ${copy.ino}`);
        let steps = 0;
        return {
          step: () => ++steps === 3,
          end: () => void copies.push(`end ${copy.ino}`),
        };
      },
      place: (copy) => void copies.push(`place ${copy.ino}`),
      usedBytes: (ino) => used.get(ino) ?? 0,
      space: () => space,
      sync: (...[ino, born, spare, identity, names]) => {
        synced.push([ino, born, spare, identity, names]);
        return sync();
      },
    },
    answered: (opcode, result, times) => {
      answers.push(result);
      answered.push({ opcode, times: [...times] });
    },
    wakeSession: () => wakes++,
    log: () => {},
  });
});

afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

/** What a sync takes here: more than a thread that is only late. */
const BELOW_MS = 50;

/** Holds up the thread. */
function pause(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

/** Error and unique of each reply. */
function replies(): [number, number][] {
  const bytes = readFileSync(join(directory, 'replies'));
  const found: [number, number][] = [];
  for (let at = 0; at < bytes.length; at += 16)
    found.push([bytes.readInt32LE(at + 4), bytes.readUInt32LE(at + 8)]);
  return found;
}

/** Numbers of a result with its kind, where they are not ino and born. */
const FIELDS: Record<number, number> = {
  [IoResult.NAME_DURABLE]: 5,
  [IoResult.COPIED]: 5,
  [IoResult.PLACED]: 5,
  [IoResult.CONTENTS_SYNCED]: 2,
  [IoResult.ENDED]: 2,
  [IoResult.HURRIED]: 2,
};

function takeResults(): number[][] {
  const record = new Float64Array(RECORD_FIELDS);
  const found: number[][] = [];
  while (results.peek(0, record)) {
    found.push([...record.subarray(0, record[0]! in FIELDS ? FIELDS[record[0]!]! : 3)]);
    results.drop(1);
  }
  return found;
}

describe('SharedQueue', () => {
  test('keeps order over many turns, says when it is full, and is seen through its memory', () => {
    const other = new SharedQueue(tasks.memory);
    const record = new Float64Array(RECORD_FIELDS);
    for (let i = 0; i < 100; i++) {
      expect(tasks.put(1, i)).toBe(true);
      expect(other.peek(0, record)).toBe(true);
      expect(record[1]).toBe(i);
      other.drop(1);
    }
    for (let i = 0; i < 8; i++) expect(tasks.put(1)).toBe(true);
    expect(tasks.put(1)).toBe(false);
    expect(other.length).toBe(8);
    expect(other.peek(8, record)).toBe(false);
  });

  test('a wait that began before a wake-up returns', () => {
    const seen = tasks.events;
    tasks.wake();
    tasks.wait(seen, Number.POSITIVE_INFINITY);
    expect(tasks.length).toBe(0);
  });
});

describe('IoService', () => {
  test('a sync tells its opcode, and what it waited for since it came', () => {
    sync = () => {
      pause(BELOW_MS);
      return true;
    };
    const request = { uniqueLow: 1, uniqueHigh: 0, pid: 42, opcode: 20 };
    const plan = { ino: 7, born: 0, names: false, spare: NO_SPARE, identity: { file: 1, birth: 2 } };
    putSync(tasks, request, monotonic() - 100, plan);
    putSync(tasks, { ...request, uniqueLow: 2, opcode: 30 }, monotonic(), undefined);
    service.round(false);
    const [first, second] = answered as [Answered, Answered];
    expect([first.opcode, second.opcode]).toEqual([20, 30]);
    expect(first.times[Part.BELOW]).toBeGreaterThanOrEqual(BELOW_MS);
    expect(first.times[Part.WAITING]).toBeGreaterThanOrEqual(100);
    // It has no content of its own, and waits for the other's.
    expect(second.times[Part.BELOW]).toBeLessThan(BELOW_MS);
    expect(second.times[Part.WAITING]).toBeGreaterThanOrEqual(BELOW_MS);
    expect(second.times[Part.JOURNAL]).toBe(first.times[Part.JOURNAL]);
  });

  test('syncs that wait together share one sync of the tree, and each is answered', () => {
    tasks.put(IoTask.SYNC, 1, 0);
    tasks.put(IoTask.SYNC, 2, 0, 7, 1, 0, NO_SPARE, 100, 200);
    service.round(false);
    expect(syncs).toBe(1);
    expect(replies()).toEqual([
      [0, 1],
      [0, 2],
    ]);
    expect(synced).toEqual([[7, 0, NO_SPARE, { file: 100, birth: 200 }, true]]);
    expect(takeResults()).toEqual([[IoResult.NAME_DURABLE, 7, 0, 100, 200]]);
    expect(tasks.length).toBe(0);
    // The session is told at once, so that it need not look at the disk.
    expect(wakes).toBe(1);
  });

  test('the session is told of no name that is not durable', () => {
    sync = () => false;
    tasks.put(IoTask.SYNC, 1, 0, 7, 1, 0, 3, 100, 200);
    service.round(false);
    expect([takeResults(), wakes, replies()]).toEqual([[], 0, [[0, 1]]]);
  });

  test('copies go on between what others wait for, and take their places after the syncs before them', () => {
    tasks.put(IoTask.COPY, 7, 0, 1);
    tasks.put(IoTask.COPY, 8, 2, 3);
    service.round(false);
    expect([copies, takeResults()]).toEqual([['copy 7'], []]);
    tasks.put(IoTask.SYNC, 1, 0);
    service.round(false);
    expect([replies(), takeResults()]).toEqual([[[0, 1]], []]);
    service.round(false);
    expect([copies, takeResults()]).toEqual([['copy 7'], [[IoResult.COPIED, 7, 0, 1, 0]]]);
    sync = () => {
      copies.push('sync');
      return true;
    };
    tasks.put(IoTask.SYNC, 2, 0, 7, 1, 0, NO_SPARE, 100, 200, 5);
    tasks.put(IoTask.PLACE, 7, 0, 1);
    tasks.put(IoTask.SYNC_CONTENTS);
    service.round(false);
    expect(copies).toEqual(['copy 7', 'sync', 'place 7', 'copy 8']);
    expect(takeResults()).toEqual([
      [IoResult.NAME_DURABLE, 7, 5, 100, 200],
      [IoResult.PLACED, 7, 0, 1, 0],
    ]);
    // The queue of results had no room for the third.
    service.round(false);
    expect(takeResults()).toEqual([[IoResult.CONTENTS_SYNCED, 0]]);
    // Whoever stands in for a dead worker finishes.
    service.round(true);
    expect(takeResults()).toEqual([[IoResult.COPIED, 8, 2, 3, 0]]);
  });

  test('copies are given up at the end', () => {
    tasks.put(IoTask.COPY, 7, 0, 1);
    service.round(false);
    tasks.put(IoTask.END);
    expect(service.round(false)).toBe(true);
    expect(copies).toEqual(['copy 7', 'end 7']);
  });

  test('a failed sync of content or tree is the answer', () => {
    sync = () => {
      throw Object.assign(new Error('the disk failed'), { errno: -constants.errno.ENXIO });
    };
    tasks.put(IoTask.SYNC, 1, 0, 7);
    service.round(false);
    // The file is gone.
    sync = () => undefined;
    tasks.put(IoTask.SYNC, 2, 0, 7);
    service.round(false);
    failing = true;
    tasks.put(IoTask.SYNC, 3, 0);
    service.round(false);
    expect(replies()).toEqual([
      [-constants.errno.ENXIO, 1],
      [-constants.errno.EIO, 2],
      [-constants.errno.EIO, 3],
    ]);
    // What health tells of.
    expect(answers).toEqual([-constants.errno.ENXIO, -constants.errno.EIO, -constants.errno.EIO]);
  });

  test('content is removed only when its deletion is durable, and a full queue of results loses none', () => {
    durable = 5;
    for (const [ino, lsn] of [
      [10, 4],
      [11, 5],
      [12, 5],
      [13, 101],
    ]) {
      tasks.put(IoTask.REMOVE, ino, lsn);
    }
    service.round(true);
    expect(removed).not.toContain(13);
    expect(takeResults()).toEqual([
      [IoResult.REMOVED, 10, 0],
      [IoResult.REMOVED, 11, 0],
    ]);
  });

  describe('of removals', () => {
    const remove = (ino: number, lsn: number, bytes: number) => {
      used.set(ino, bytes);
      tasks.put(IoTask.REMOVE, ino, lsn);
      service.round(false);
      return removed;
    };
    beforeEach(() => {
      // Somebody synced just now, so that those that may wait do.
      tasks.put(IoTask.SYNC, 1, 0, 0);
      service.round(false);
      durable = 0;
    });

    test('small ones wait while there is space, also several', () => {
      for (let ino = 1; ino <= 5; ino++) expect(remove(ino, 50, 1e6)).toEqual([]);
      expect(syncs).toBe(1);
    });

    test('a large one is durable at once, and what waits with it', () => {
      expect(remove(1, 50, 1e6)).toEqual([]);
      expect(remove(2, 60, 70e6)).toEqual([1, 2]);
      expect([syncs, durable]).toEqual([2, 100]);
      // What was given back does not count for those after it.
      durable = 0;
      takeResults();
      expect(remove(3, 70, 1e6)).toEqual([1, 2]);
    });

    test('any is when space is short, by itself or for what waits', () => {
      space = { free: 4e6, all: 64e6 };
      expect(remove(1, 50, 1e6)).toEqual([1]);
      durable = 0;
      takeResults();
      space = { free: 40e6, all: 1e9 };
      expect(remove(2, 50, 1e5)).toEqual([1, 2]);
      durable = 0;
      takeResults();
      // Without content nothing comes back.
      expect(remove(3, 50, 0)).toEqual([1, 2]);
    });

    test('none waits when somebody waits for them, and that is said even if the results were full', () => {
      expect(remove(1, 50, 1e6)).toEqual([]);
      results.put(IoResult.NAME_DURABLE, 9);
      tasks.put(IoTask.HURRY);
      service.round(false);
      expect(removed).toEqual([1]);
      expect(takeResults()).toEqual([
        [IoResult.NAME_DURABLE, 9, 0, 0, 0],
        [IoResult.REMOVED, 1, 0],
      ]);
      service.round(false);
      expect(takeResults()).toEqual([[IoResult.HURRIED, 0]]);
      service.round(false);
      expect(takeResults()).toEqual([]);
    });
  });

  test('at the end it syncs, removes what waits, and says so', () => {
    tasks.put(IoTask.REMOVE, 10, 50);
    tasks.put(IoTask.END);
    expect(service.round(false)).toBe(true);
    expect(syncs).toBe(1);
    expect(removed).toEqual([10]);
    expect(takeResults()).toEqual([
      [IoResult.REMOVED, 10, 0],
      [IoResult.ENDED, 0],
    ]);
  });
});
