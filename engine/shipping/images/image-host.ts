/** The thread that serves images of blobs, for whoever starts it. */
import { Worker } from 'node:worker_threads';
import { reasonOf, SpinneyError } from '../../errors.js';
import { ImageBoard } from '../../store/absent-images.js';
import type { FileBlobStoreHandle } from '../../store/file/file-blob-store.js';
import type { ImageReply, ImageRequest, ImageWorkerData } from './messages.js';

export class ImageHost {
  readonly #worker: Worker;
  readonly #board: ImageBoard;
  readonly #serving: Promise<void>;
  readonly #stopped: Promise<void>;
  #serves: () => void = () => {};
  #servesNot: (why: SpinneyError) => void = () => {};
  #hasStopped: () => void = () => {};
  /** Images that have been looked at, of how many; undefined before `fetchAll`. */
  progress: { done: number; total: number } | undefined;
  /** All images are in the store. */
  isDone = false;
  /** Why it does not go on, at the moment. */
  failure: string | undefined;

  /** Starts the thread, which gets ready for `serve`: that takes a while, and needs no store yet. */
  constructor(data: ImageWorkerData) {
    this.#board = new ImageBoard(data.board);
    this.#serving = new Promise((resolve, reject) => {
      this.#serves = resolve;
      this.#servesNot = reject;
    });
    // Who calls `serve` is told.
    this.#serving.catch(() => {});
    this.#stopped = new Promise((resolve) => {
      this.#hasStopped = resolve;
    });
    this.#worker = new Worker(new URL('./image-worker.js', import.meta.url), {
      workerData: data,
      execArgv: [],
    });
    this.#worker.on('message', (reply: ImageReply) => this.#heard(reply));
    this.#worker.on('error', (error) => this.#ended(error));
    this.#worker.on('exit', () => this.#ended('its thread has ended'));
    this.#worker.unref();
  }

  /** REQUIRES a store in the directory. Resolves when it serves: then a tree may be opened with the same board. @throws ERR_IO where it cannot */
  async serve(): Promise<void> {
    this.#ask({ type: 'serve' });
    await this.#serving;
  }

  /** Fetches the rest of the images, beside what readers ask for. `handle`: of the tree's store, as `share` of the tree gives it. */
  fetchAll(handle: FileBlobStoreHandle): void {
    this.#ask({ type: 'fetch-all', handle });
  }

  /** Resolves when it does nothing more by that handle; readers go on. To be called before the store is closed. */
  async stopFetching(): Promise<void> {
    this.#ask({ type: 'stop-fetching' });
    await this.#stopped;
  }

  /** Readers get nothing more. */
  async stop(): Promise<void> {
    this.#board.end();
    await this.#worker.terminate();
  }

  #ask(request: ImageRequest): void {
    this.#worker.postMessage(request);
  }

  #heard(reply: ImageReply): void {
    if (reply.type === 'serving') this.#serves();
    else if (reply.type === 'stopped-fetching') this.#hasStopped();
    else if (reply.type === 'progress') {
      this.progress = { done: reply.done, total: reply.total };
      this.failure = undefined;
    } else if (reply.type === 'done') this.isDone = true;
    else this.failure = reply.message;
  }

  /** Nobody is to wait for a thread that is gone. */
  #ended(cause: unknown): void {
    this.#board.end();
    this.#servesNot(
      new SpinneyError('ERR_IO', `Cannot fetch images of blobs: ${reasonOf(cause)}`, { cause }),
    );
    this.#hasStopped();
  }
}
