/** The thread that serves images of blobs, for whoever starts it. */
import { Worker } from 'node:worker_threads';
import { reasonOf, SpinneyError } from '../../errors.js';
import { ImageBoard } from '../../store/absent-images.js';
import type { FileBlobStoreHandle } from '../../store/file/file-blob-store.js';
import type { FetchAllRequest, ImageReply, ImageWorkerData } from './messages.js';

export class ImageHost {
  readonly #worker: Worker;
  readonly #board: ImageBoard;
  /** Images that have been looked at, of how many; undefined before `fetchAll`. */
  progress: { done: number; total: number } | undefined;
  /** All images are in the store. */
  isDone = false;
  /** Why it does not go on, at the moment. */
  failure: string | undefined;

  private constructor(data: ImageWorkerData) {
    this.#board = new ImageBoard(data.board);
    this.#worker = new Worker(new URL('./image-worker.js', import.meta.url), {
      workerData: data,
      execArgv: [],
    });
    this.#worker.on('message', (reply: ImageReply) => this.#heard(reply));
    this.#worker.on('error', () => {});
    // Nobody is to wait for a thread that is gone.
    this.#worker.on('exit', () => this.#board.end());
    this.#worker.unref();
  }

  /** Resolves when it serves: then a tree may be opened with the same board. @throws ERR_IO where it cannot be started */
  static async start(data: ImageWorkerData): Promise<ImageHost> {
    const host = new ImageHost(data);
    await new Promise<void>((resolve, reject) => {
      const failed = (error: unknown) =>
        reject(
          new SpinneyError('ERR_IO', `Cannot fetch images of blobs: ${reasonOf(error)}`, { cause: error }),
        );
      host.#worker.once('message', () => resolve());
      host.#worker.once('error', failed);
      host.#worker.once('exit', () => failed('its thread has ended'));
    });
    return host;
  }

  /** Fetches the rest of the images, beside what readers ask for. `handle`: of the tree's store, as `share` of the tree gives it. */
  fetchAll(handle: FileBlobStoreHandle): void {
    const request: FetchAllRequest = { fetchAll: handle };
    this.#worker.postMessage(request);
  }

  /** Readers get nothing more. */
  async stop(): Promise<void> {
    this.#board.end();
    await this.#worker.terminate();
  }

  #heard(reply: ImageReply): void {
    if (reply.type === 'progress') {
      this.progress = { done: reply.done, total: reply.total };
      this.failure = undefined;
    } else if (reply.type === 'done') this.isDone = true;
    else if (reply.type === 'failed') this.failure = reply.message;
  }
}
