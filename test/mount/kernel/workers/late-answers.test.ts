/** The log of requests that wait in the queue of tasks, by whoever answers them. */
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PART_NAMES, type PartName } from '../../../../engine/stopwatch.js';
import { NO_SPARE } from '../../../../mount/filesystem/contents/spares/spare-files.js';
import { SharedQueue } from '../../../../mount/kernel/device/shared-queue.js';
import { Opcode } from '../../../../mount/kernel/protocol/protocol.js';
import { Interrupts } from '../../../../mount/kernel/workers/interrupts.js';
import { IoService, type IoServices } from '../../../../mount/kernel/workers/io-service.js';
import { IoTask, putSync } from '../../../../mount/kernel/workers/io-tasks.js';
import { LateAnswers } from '../../../../mount/kernel/workers/late-answers.js';
import { Entry } from '../../../../mount/request-log/entry.js';
import { Lane, RequestLogMemory } from '../../../../mount/request-log/memory.js';
import { PendingRequests } from '../../../../mount/request-log/pending.js';
import { type Listener, RequestLog } from '../../../../mount/request-log/reader.js';
import { monotonic } from '../../../../mount/requests/request-failures.js';

/** All that a test has written is before. */
const LATER = Number.POSITIVE_INFINITY;
const ALL = { micros: 0, operations: undefined, path: undefined, uid: undefined };
/** Longer than what is slow. */
const SLOW_MS = 12;

let directory: string;
/** Stands for /dev/fuse: takes replies. */
let fd: number;
let tasks: SharedQueue;
let failing: boolean;
/** Syncs a content. */
let sync: () => boolean;
let memory: RequestLogMemory;
let pending: PendingRequests;
let log: RequestLog;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-late-answers-'));
  fd = openSync(join(directory, 'replies'), 'w');
  tasks = new SharedQueue(8);
  failing = false;
  sync = () => false;
  memory = new RequestLogMemory();
  pending = new PendingRequests(8);
  log = new RequestLog(memory, { operations: [], tellsCaller: true });
});

afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

const answers = (lane: Lane) => new LateAnswers(memory, pending, lane);

function ioService(replaced: Partial<IoServices> = {}): IoService {
  const done = (): void => {};
  return new IoService({
    fd,
    tasks,
    results: new SharedQueue(8),
    tree: {
      sync: () => {
        if (failing) throw new Error('the journal failed');
      },
      durableLsn: () => 100,
      lastLsn: () => 100,
    },
    content: {
      remove: done,
      syncAll: done,
      copy: () => ({ step: () => true, end: done }),
      place: done,
      usedBytes: () => 0,
      space: () => ({ free: 1, all: 1 }),
      sync: () => sync(),
    },
    answered: done,
    requests: answers(Lane.IO),
    wakeSession: done,
    log: done,
    ...replaced,
  });
}

/** Puts a sync as the session does, of a file with this path. */
function put(unique: number, path: string): void {
  const entry = Object.assign(new Entry(), { operation: Opcode.FSYNC, uid: 7, pid: unique });
  Buffer.from(path).copy(entry.path);
  entry.pathLength = path.length;
  pending.put(tasks.written, entry);
  const request = { uniqueLow: unique, uniqueHigh: 0, pid: unique, opcode: Opcode.FSYNC };
  const plan = { ino: unique, born: 1, names: false, spare: NO_SPARE, identity: { file: 1, birth: 2 } };
  putSync(tasks, request, monotonic(), plan);
}

function seen(listener: Listener): [string, number, number][] {
  const found: [string, number, number][] = [];
  listener.take(LATER, 100, ({ path, pathKept, pid, result }) =>
    found.push([path.toString('latin1', 0, pathKept), pid, result]),
  );
  return found;
}

/** Takes as long, as a disk may. */
function dawdle(): void {
  const until = performance.now() + SLOW_MS;
  while (performance.now() < until);
}

test('has each when it is answered, wherever its record is in the queue', () => {
  const listener = log.listen(ALL);
  const service = ioService();
  for (let round = 0; round < 5; round++) {
    tasks.put(IoTask.REMOVE, 7, 0, 1);
    put(round * 10 + 1, `/first-${round}`);
    put(round * 10 + 2, `/second-${round}`);
    expect(seen(listener)).toEqual([]);
    failing = round === 3;
    service.round(false);
    expect(seen(listener)).toEqual([
      [`/first-${round}`, round * 10 + 1, failing ? constants.errno.EIO : 0],
      [`/second-${round}`, round * 10 + 2, failing ? constants.errno.EIO : 0],
    ]);
  }
});

test('tells what a slow one waited for: its file, another before it, or the journal', () => {
  let syncs = 0;
  sync = () => {
    if (++syncs === 1) dawdle();
    return false;
  };
  put(1, '/slow');
  put(2, '/behind');
  ioService().round(false);
  const slow = new Map<string, Record<PartName, number>>();
  const take = (entry: Entry): void => {
    const parts = PART_NAMES.map((name, part) => [name, entry.parts[part]!]);
    slow.set(entry.path.toString('latin1', 0, entry.pathKept), Object.fromEntries(parts));
    expect(entry.microseconds).toBeGreaterThanOrEqual(SLOW_MS * 1000);
  };
  log.slow(ALL, take);
  expect([...slow.keys()]).toEqual(['/slow', '/behind']);
  expect(slow.get('/slow')!.below).toBeGreaterThanOrEqual(SLOW_MS * 1000);
  expect(slow.get('/behind')!.waiting).toBeGreaterThanOrEqual(SLOW_MS * 1000);
  slow.clear();
  put(3, '/journal');
  ioService({ tree: { sync: dawdle, durableLsn: () => 0, lastLsn: () => 0 } }).round(false);
  log.slow(ALL, take);
  expect(slow.get('/journal')!.journal).toBeGreaterThanOrEqual(SLOW_MS * 1000);
});

test('has one that was let go once, as that, when the disk answers too', () => {
  const listener = log.listen(ALL);
  const interrupts = new Interrupts(fd, [tasks], answers(Lane.MAIN), (pid) => pid === 66);
  const service = ioService();
  put(1, '/first');
  service.round(false);
  put(42, '/alive');
  put(66, '/dying');
  interrupts.interrupt(42, 0);
  interrupts.sweep();
  interrupts.interrupt(66, 0);
  service.round(false);
  expect(seen(listener)).toEqual([
    ['/first', 1, 0],
    ['/dying', 66, constants.errno.EINTR],
    ['/alive', 42, 0],
  ]);
});
