/** The thread that serves images of blobs: see ImageServer. */
import { parentPort, workerData } from 'node:worker_threads';
import { reasonOf } from '../../errors.js';
import type { FileBlobStoreHandle } from '../../store/file/file-blob-store.js';
import { BOOT_CLOCK } from '../../store/object/clock.js';
import { RetryingObjectStore } from '../../store/object/retrying-object-store.js';
import { S3ObjectStore } from '../../store/object/s3/s3-object-store.js';
import { ImageServer } from './image-server.js';
import type { ImageReply, ImageRequest, ImageWorkerData } from './messages.js';

const port = parentPort!;
const { s3, board, directory, patienceMs } = workerData as ImageWorkerData;
const tell = (reply: ImageReply) => port.postMessage(reply);

const retrying = { clock: BOOT_CLOCK, random: Math.random, patienceMs };
// It takes a while: whoever has started this does something else meanwhile.
const store = new RetryingObjectStore(await S3ObjectStore.open(s3), retrying);
let server: ImageServer | undefined;

/** Again and again, until all is there: nothing of it is urgent. */
async function fetchAll(server: ImageServer, handle: FileBlobStoreHandle): Promise<void> {
  for (;;) {
    try {
      const isDone = await server.fetchAll(handle, (done, total) => tell({ type: 'progress', done, total }));
      if (isDone) tell({ type: 'done' });
      return;
    } catch (error) {
      tell({ type: 'failed', message: reasonOf(error) });
      await BOOT_CLOCK.sleep(patienceMs);
    }
  }
}

port.on('message', (request: ImageRequest) => {
  if (request.type === 'serve') {
    server = new ImageServer(store, board, directory);
    void server.serve();
    tell({ type: 'serving' });
  } else if (request.type === 'fetch-all') void fetchAll(server!, request.handle);
  else {
    server!.stopFetching();
    tell({ type: 'stopped-fetching' });
  }
});
