/** Serves images from an object store in memory, which is given its objects at the start; counts what is asked of it. */
import { parentPort, workerData } from 'node:worker_threads';
import { ImageServer } from '../../../dist/engine/shipping/images/image-server.js';
import { MemoryObjectStore } from '../../../dist/engine/store/object/memory-object-store.js';

const { objects, board, directory } = workerData;
let gets = 0;
class Counted extends MemoryObjectStore {
  get(...asked) {
    gets++;
    return super.get(...asked);
  }
}
const store = new Counted();
for (const [key, bytes] of objects) await store.put(key, bytes);
const server = new ImageServer(store, board, directory);

parentPort.on('message', async ({ type, handle, key }) => {
  if (type === 'fetch-all') await server.fetchAll(handle);
  if (type === 'delete') await store.delete(key);
  if (type === 'stop') server.stop();
  parentPort.postMessage({ type, fetched: server.fetched, gets });
});
void server.serve();
parentPort.postMessage({ type: 'ready', fetched: 0 });
