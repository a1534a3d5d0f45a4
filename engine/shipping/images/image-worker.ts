/** The thread that serves images of blobs: see ImageServer. */
import { parentPort, workerData } from 'node:worker_threads';
import { reasonOf } from '../../errors.js';
import { BOOT_CLOCK } from '../../store/object/clock.js';
import { RetryingObjectStore } from '../../store/object/retrying-object-store.js';
import { S3ObjectStore } from '../../store/object/s3/s3-object-store.js';
import { ImageServer } from './image-server.js';
import type { FetchAllRequest, ImageReply, ImageWorkerData } from './messages.js';

const port = parentPort!;
const { s3, board, directory, patienceMs } = workerData as ImageWorkerData;
const tell = (reply: ImageReply) => port.postMessage(reply);

const retrying = { clock: BOOT_CLOCK, random: Math.random, patienceMs };
const server = new ImageServer(
  new RetryingObjectStore(await S3ObjectStore.open(s3), retrying),
  board,
  directory,
);

/** Again and again, until all is there: nothing of it is urgent. */
async function fetchAll({ fetchAll: handle }: FetchAllRequest): Promise<void> {
  for (;;) {
    try {
      await server.fetchAll(handle, (done, total) => tell({ type: 'progress', done, total }));
      tell({ type: 'done' });
      return;
    } catch (error) {
      tell({ type: 'failed', message: reasonOf(error) });
      await BOOT_CLOCK.sleep(patienceMs);
    }
  }
}

port.on('message', (request: FetchAllRequest) => void fetchAll(request));
void server.serve();
tell({ type: 'ready' });
