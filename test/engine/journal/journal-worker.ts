/** A thread of workers.test.ts: appends under a mutex that all threads share and acknowledges outside of it. */
import { parentPort, threadId, workerData } from 'node:worker_threads';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { Journal, type JournalHandle } from '../../../engine/journal/journal.js';
import { operationBodyBytes } from '../../../engine/journal/records/record.js';
import { FLUSH_LOCK, SYNC_LOCK } from '../../../engine/journal/shared.js';

export interface WorkerOrders {
  handle: JournalHandle;
  /** [mutex, next LSN, threads that have stopped]. */
  shared: Int32Array;
  writer: number;
  records: number;
  /** The worker ends as if it had crashed, holding both of the journal's locks, after this many records. */
  dieAfter?: number;
}

const MUTEX = 0;
const NEXT_LSN = 1;

const { handle, shared, writer, records, dieAfter } = workerData as WorkerOrders;
const journal = Journal.attach(handle, new NodeDisk());

function lock(): void {
  while (Atomics.compareExchange(shared, MUTEX, 0, 1) !== 0) Atomics.wait(shared, MUTEX, 1);
}

function unlock(): void {
  Atomics.store(shared, MUTEX, 0);
  Atomics.notify(shared, MUTEX);
}

function appendOne(count: number): number {
  const key = new TextEncoder().encode(`${writer}:${count}`);
  const value = new Uint8Array((count * 37) % 500).fill(writer);
  const bodyBytes = operationBodyBytes(key.length, value.length);
  for (;;) {
    lock();
    if (journal.reserve(bodyBytes)) {
      const lsn = Atomics.add(shared, NEXT_LSN, 1);
      journal.appendPut(lsn, key, value);
      unlock();
      return lsn;
    }
    unlock();
    journal.makeRoom(bodyBytes);
  }
}

let lastLsn = 0;
for (let count = 0; count < records; count++) {
  if (count === dieAfter) {
    const words = new Int32Array(handle.control);
    for (const word of [SYNC_LOCK, FLUSH_LOCK])
      while (Atomics.compareExchange(words, word, 0, threadId + 1) !== 0);
    break;
  }
  lastLsn = appendOne(count);
  journal.acknowledge(lastLsn);
  if (journal.durableLsn() < lastLsn && journal.durability === 'synced')
    throw new Error('acknowledged too early');
}
parentPort!.postMessage(lastLsn);
