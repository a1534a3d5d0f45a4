/** A thread of sharing.test.ts, or the process that holds a store there. */
import { parentPort, workerData } from 'node:worker_threads';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { FileBlobStore, type FileBlobStoreHandle } from '../../../engine/store/file/file-blob-store.js';
import { makeImage, makeMark, tagOf } from './images.js';

export interface StoreOrders {
  handle: FileBlobStoreHandle;
  role: 'reader' | 'writer';
  /** [rounds finished by the writer, 1 once it is done]. */
  progress: Int32Array;
  rounds: number;
  blobs: number;
}
export interface StoreOutcome {
  reads: number;
  /** What was wrong; empty if nothing. */
  faults: string[];
}

function write(store: FileBlobStore, { progress, rounds, blobs }: StoreOrders): void {
  for (let round = 1; round <= rounds; round++) {
    for (let id = 1; id <= blobs; id++) store.writeBlob(id, makeImage(id, round));
    // A blob that comes and goes, at the tail.
    if (round % 2 === 0) store.writeBlob(100, makeImage(100, round));
    else store.deleteBlob(100);
    store.flush(makeMark(round, [round]));
    Atomics.store(progress, 0, round);
  }
  store.handOver();
}

/** A blob's tag never goes back, and is never behind what was published before the read began. */
function read(store: FileBlobStore, { progress, blobs }: StoreOrders): StoreOutcome {
  const into = new Uint8Array(BLOB_SIZE);
  const outcome: StoreOutcome = { reads: 0, faults: [] };
  while (Atomics.load(progress, 1) === 0 && outcome.faults.length < 10) {
    const id = 1 + (outcome.reads % blobs);
    const published = Atomics.load(progress, 0);
    try {
      store.readBlob(id, into);
      if (tagOf(into) < published) outcome.faults.push(`blob ${id}: ${tagOf(into)} after ${published}`);
      const mark = store.readMark();
      if (mark !== undefined && mark.pendingDeletes[0] !== mark.generation)
        outcome.faults.push('a torn mark');
      if (store.listBlobs().length < blobs) outcome.faults.push('a blob is missing from the list');
    } catch (error) {
      outcome.faults.push(String(error));
    }
    outcome.reads++;
  }
  return outcome;
}

if (parentPort === null) {
  const store = FileBlobStore.open({ dir: process.argv[2]!, disk: new NodeDisk(), create: true });
  process.stdout.write(`holding ${store.directory}\n`);
  process.stdin.resume();
} else {
  const orders = workerData as StoreOrders;
  const store = FileBlobStore.attach(orders.handle, new NodeDisk(), orders.role);
  try {
    if (orders.role === 'writer') write(store, orders);
  } finally {
    if (orders.role === 'writer') Atomics.store(orders.progress, 1, 1);
  }
  parentPort.postMessage(orders.role === 'writer' ? { reads: 0, faults: [] } : read(store, orders));
  store.close();
}
