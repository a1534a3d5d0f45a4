import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Durability } from '../../../engine/api.js';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { Journal } from '../../../engine/journal/journal.js';
import { recoverJournal } from '../../../engine/journal/recovery.js';
import { UUID } from './harness.js';
import type { WorkerOrders } from './journal-worker.js';

const root = resolve(import.meta.dirname, '../../..');
const sizes = { ringBytes: 8192, maxBodyBytes: 2048, segmentBytes: 65536, reserveBytes: 16384 };
let build: string;

/** Workers cannot load TypeScript: what they need is compiled into a directory of its own. */
beforeAll(() => {
  build = mkdtempSync(join(tmpdir(), 'spinney-journal-'));
  const config = join(build, 'tsconfig.json');
  const compilerOptions = {
    composite: false,
    declaration: false,
    sourceMap: false,
    rootDir: root,
    outDir: build,
    typeRoots: [join(root, 'node_modules/@types')],
  };
  const files = [join(root, 'test/engine/journal/journal-worker.ts')];
  writeFileSync(
    config,
    JSON.stringify({ extends: join(root, 'tsconfig.base.json'), compilerOptions, files }),
  );
  writeFileSync(join(build, 'package.json'), '{"type":"module"}');
  symlinkSync(join(root, 'node_modules'), join(build, 'node_modules'));
  execFileSync(join(root, 'node_modules/.bin/tsc'), ['-p', config], { stdio: 'inherit' });
}, 60_000);

afterAll(() => rmSync(build, { recursive: true, force: true }));

/** Starts a worker; resolves with the last LSN it acknowledged once its thread is gone. */
function run(orders: WorkerOrders): { threadId: number; ended: Promise<number> } {
  const worker = new Worker(join(build, 'test/engine/journal/journal-worker.js'), { workerData: orders });
  const { threadId } = worker;
  const ended = new Promise<number>((done, failed) => {
    let last = 0;
    worker.on('message', (lsn: number) => {
      last = lsn;
    });
    worker.on('error', failed);
    worker.on('exit', () => done(last));
  });
  return { threadId, ended };
}

/** Checks that the records of each writer come in its order; how many there are of each. */
function recoverAll(disk: NodeDisk, directory: string): { lastLsn: number; next: number[] } {
  const next = [0, 0, 0];
  const decoder = new TextDecoder();
  const { lastLsn, replayed } = recoverJournal({
    disk,
    directory,
    uuid: UUID,
    hasRun: true,
    markLsn: 0,
    readOnly: false,
    apply: (_lsn, record) => {
      record.next();
      const [writer, count] = decoder.decode(record.first).split(':').map(Number) as [number, number];
      expect(count).toBe(next[writer]!++);
      expect(record.second.length).toBe((count * 37) % 500);
      expect(record.second.every((byte) => byte === writer)).toBe(true);
    },
  });
  expect(replayed).toBe(lastLsn);
  return { lastLsn, next };
}

describe('Journal on several threads', () => {
  const cases: [Durability, boolean][] = [
    ['buffered', false],
    ['written', false],
    ['synced', false],
    ['synced', true],
  ];
  for (const [durability, oneDies] of cases) {
    it(`has every record once, in order, at ${durability}${oneDies ? ', though a leader dies' : ''}`, async () => {
      const directory = mkdtempSync(join(tmpdir(), 'spinney-journal-'));
      try {
        const disk = new NodeDisk();
        const journal = Journal.open({
          disk,
          directory,
          uuid: UUID,
          nextLsn: 1,
          durability,
          previousEnd: 'none',
          sizes,
        });
        const shared = new Int32Array(new SharedArrayBuffer(8));
        shared[1] = 1;
        const records = durability === 'synced' ? 150 : 3000;
        const orders = { handle: journal.share(), shared, records };
        const workers = [0, 1, 2].map((writer) =>
          run({ ...orders, writer, ...(oneDies && writer === 1 ? { dieAfter: 20 } : {}) }),
        );
        const dying = oneDies ? workers[1] : undefined;
        await dying?.ended;
        if (dying) journal.threadDied(dying.threadId);
        await Promise.all(workers.map((worker) => worker.ended));
        const total = oneDies ? 2 * records + 20 : 3 * records;
        expect(journal.publishedLsn()).toBe(total);
        if (durability === 'synced') expect(journal.counters().syncs).toBeLessThanOrEqual(total);
        const written = oneDies ? [records, 20, records] : [records, records, records];
        // Threads are gone, their mappings with them: the file has what they stored, as after a kill.
        const copy = join(directory, 'copy');
        mkdirSync(copy);
        for (const name of disk.list(directory))
          if (name !== 'copy') copyFileSync(join(directory, name), join(copy, name));
        expect(recoverAll(disk, copy)).toEqual({ lastLsn: total, next: written });
        journal.close();
        expect(recoverAll(disk, directory)).toEqual({ lastLsn: total, next: written });
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    }, 60_000);
  }
});
