/**
 * A mounted store's remote, in the thread that speaks with it: ships what changes, brings contents that are wanted, and has those given up that were not
 * used for longest. The mount's threads ask by ports (kernel/workers/remote-link.ts).
 */
import { constants } from 'node:os';
import type { Tree } from '../../engine/index.js';
import {
  hasCode,
  type RemoteStore,
  Shipper,
  type ShippingEvent,
  type Site,
} from '../../engine/remote-store.js';
import { FULL, ShippingBoard } from '../../engine/shipped-contents.js';
import { shippedRows } from '../filesystem/contents/away/shipped-rows.js';
import {
  type FromRemote,
  MountState,
  SharedQueue,
  SyncAnswers,
  type ToRemote,
} from '../kernel/remote-end.js';
import type { MountLog, RemoteEnd, RemoteStats, WarmProgress } from '../types.js';
import { contentPlaces } from './content-places.js';
import { ContentStock } from './content-stock.js';
import type { FinishProgress } from './messages.js';

const { EIO } = constants.errno;

export interface RemoteServiceOptions {
  site: Site;
  store: RemoteStore;
  tree: Tree;
  directory: string;
  contentDirectory: string;
  contentCacheBytes: number;
  end: RemoteEnd;
  board: SharedArrayBuffer;
  log: MountLog;
}

export class RemoteService {
  readonly #options: RemoteServiceOptions;
  readonly #shipper: Shipper;
  readonly #board: ShippingBoard;
  readonly #stock: ContentStock;
  readonly #state: MountState;
  readonly #tasks: SharedQueue;
  readonly #answers: SyncAnswers;
  /** Of syncs whose turn to be answered has not come, by position. */
  readonly #results = new Map<number, number>();
  #isEnding = false;

  constructor(options: RemoteServiceOptions) {
    const { board, contentCacheBytes, contentDirectory, directory, end, log, site, store, tree } = options;
    this.#options = options;
    this.#board = new ShippingBoard(board);
    this.#state = new MountState({ ...end.state, isTiming: false, requestLog: undefined });
    this.#tasks = new SharedQueue(end.tasks);
    this.#answers = new SyncAnswers(end.words);
    this.#shipper = new Shipper({
      site,
      ...store,
      tree,
      directory,
      contents: contentPlaces(contentDirectory),
      board,
      onEvent: (event) => this.#told(event),
    });
    const { isShipped } = shippedRows(tree);
    this.#stock = new ContentStock({
      site,
      tree,
      contentDirectory,
      bound: contentCacheBytes,
      isShipped,
      tellSession: (message) => this.#tellSession(message),
      log,
    });
    for (const port of [end.session, end.io]) port.on('message', (message: ToRemote) => this.#hear(message));
    this.#shipper.start();
  }

  stats(): RemoteStats {
    const lag = this.#shipper.lag();
    const { state, epoch, recordBytes, contentBytes, images, journalObjects, checkpointAt, failure } =
      this.#shipper.stats();
    return {
      epoch,
      state: state === 'lost' ? 'taken' : state,
      lagSeconds: lag.seconds,
      lagRecords: lag.records,
      lagBytes: lag.bytes,
      contentsWaiting: lag.contents,
      contentBytesWaiting: lag.contentBytes,
      shippedRecordBytes: recordBytes,
      shippedContentBytes: contentBytes,
      shippedImages: images,
      journalObjects,
      ...(checkpointAt !== undefined && { checkpointAt: new Date(checkpointAt).toISOString() }),
      ...(failure !== undefined && { failure }),
      isFull: this.#board.refusal === FULL,
      cache: this.#stock.figures,
    };
  }

  /** Brings all contents at or below a path here. @throws ERR_NOT_FOUND, the signal's reason */
  warm(
    path: Uint8Array,
    onProgress: (progress: WarmProgress) => void,
    signal: AbortSignal,
  ): Promise<WarmProgress> {
    return this.#stock.warm(path, onProgress, signal);
  }

  /** Ships all that is left and lets others take over; the mount is gone. @throws ERR_REMOTE_TAKEN, the signal's reason */
  async finish(onProgress: (progress: FinishProgress) => void, signal: AbortSignal): Promise<void> {
    this.#end();
    const tell = () => {
      const { records, bytes, contents, contentBytes } = this.#shipper.lag();
      onProgress({ records, contents, bytes: bytes + contentBytes });
    };
    await this.#shipper.finish(tell, signal);
  }

  /** Ends at once; the remote stays this store's. */
  async stop(): Promise<void> {
    this.#end();
    await this.#shipper.stop();
  }

  #end(): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#options.end.session.close();
    this.#options.end.io.close();
    this.#stock.end();
  }

  #hear(message: ToRemote): void {
    if (this.#stock.hear(message)) return;
    if (message.kind === 'synced') this.#shipper.shipSoon(message);
    else if (message.kind === 'sync')
      void this.#ship(message.position, message.lsn, message.ino, message.born);
  }

  /** Answers syncs in the order in which they were asked for. */
  async #ship(position: number, lsn: number, ino: number, born: number): Promise<void> {
    let result = 0;
    try {
      await this.#shipper.waitUntilShipped(lsn, ino === 0 ? [] : [{ ino, born }]);
    } catch (error) {
      result = -EIO;
      // Ended on purpose: the next daemon is asked again.
      if (hasCode(error, 'ERR_CLOSED')) return;
      this.#options.log('error', `A sync did not get to the remote: ${(error as Error).message}`);
    }
    this.#results.set(position, result);
    for (let next = this.#results.get(this.#answers.answered); next !== undefined; ) {
      this.#results.delete(this.#answers.answered);
      this.#answers.answer(next);
      next = this.#results.get(this.#answers.answered);
    }
    this.#wakeAll();
  }

  #wakeAll(): void {
    if (this.#isEnding) return;
    this.#tasks.wake();
    // It does the I/O worker's work when that is dead.
    this.#state.wakeSession();
  }

  #tellSession(message: FromRemote): void {
    if (this.#isEnding) return;
    this.#options.end.session.postMessage(message);
    this.#state.wakeSession();
  }

  #told(event: ShippingEvent): void {
    const { log } = this.#options;
    // Whoever has ended it tells how it went.
    if (this.#isEnding) return;
    if (event.type === 'state') {
      const { from, to, error } = event;
      if (to === 'lost') {
        log(
          'error',
          `Another machine has taken the remote over: all is refused with EIO from now on: ${error}`,
        );
        this.#wakeAll();
      } else if (to === 'ok') log('info', 'The remote is up to date', { from });
      else log('warn', `The remote is ${to === 'away' ? 'not to be reached' : 'behind'}`, { from, error });
    } else log('debug', `shipping: ${event.type}`, { ...event });
  }
}
