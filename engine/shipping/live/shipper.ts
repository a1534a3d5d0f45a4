/**
 * Keeps a remote up to date with a live tree: its records, its checkpoints, and the contents of files that it tells of. Runs beside it, in
 * a thread with an event loop; nothing of it is on the way of a read or a write.
 *
 * docs/decisions/shipping.md tells the order in which things get there, and why.
 */
import { SpinneyError } from '../../errors.js';
import {
  LOAD_RECORDS,
  LOADED_SHIP_INTERVAL_MS,
  MAX_UNSHIPPED_BYTES,
  SHIP_INTERVAL_MS,
} from '../../limits.js';
import type { RemoteWriter } from '../../remote/remote-writer.js';
import type { Site } from '../../remote/site.js';
import { hasCode } from '../../store/object/errors.js';
import type { Tree } from '../../tree/tree.js';
import {
  type ContentId,
  type ContentPlaces,
  ContentShipper,
  LANES,
  type Lane,
} from '../contents/content-shipper.js';
import { ContentSurvey } from '../contents/content-survey.js';
import { Bell } from './bell.js';
import { CheckpointShipper, type ShippedCheckpoint } from './checkpoint-shipper.js';
import { Lag } from './lag.js';
import { LeaseWatch } from './lease-watch.js';
import { RecordShipper } from './record-shipper.js';
import type { ShippedState } from './shipped-state.js';
import { FULL, LOST, ShippingBoard, WELCOME } from './shipping-board.js';
import { unlessAborted } from './unless-aborted.js';

/** Later than this it is behind. */
const BEHIND_MS = 5_000;
/** After a failure that is not the object store's, at most. */
const PAUSE_MS = 2_000;
/** Refused changes are welcome again when so much of the bound is free. */
const WELCOME_AT = 7 / 8;

/** `ok`: seconds behind at most; `behind`: more; `away`: the object store does not answer, or refuses; `lost`: it has ended. */
export type ShippingState = 'ok' | 'behind' | 'away' | 'lost';

export type ShippingEvent =
  | { type: 'state'; from: ShippingState; to: ShippingState; error: string | undefined }
  | ({ type: 'checkpoint' } & ShippedCheckpoint)
  | { type: 'collected'; objects: number };

export interface ShipperOptions {
  site: Site;
  writer: RemoteWriter;
  /** What the remote has; the shipper's from here on. */
  shipped: ShippedState;
  /** Open for writing, in a directory. Another thread's, or this one's. */
  tree: Tree;
  /** Of the store. */
  directory: string;
  /** Contents of files, where the tree has any. */
  contents?: ContentPlaces;
  /** Of makeShippingBoard, for other threads. */
  board?: SharedArrayBuffer;
  /** Past so many bytes that the remote has not, changes are refused. Default: MAX_UNSHIPPED_BYTES. */
  maxUnshippedBytes?: number;
  /** As Math.random. */
  random?: () => number;
  onEvent?: (event: ShippingEvent) => void;
}

export interface ShippingLag {
  /** The tree's last record, and the last that the remote has. */
  lsn: number;
  shippedLsn: number;
  records: number;
  bytes: number;
  /** Since the oldest record that the remote has not; 0 where it has all. */
  seconds: number;
  contents: number;
  contentBytes: number;
}

export interface ShippingStats {
  state: ShippingState;
  epoch: number;
  /** Bytes of records and contents, and images of blobs, that went there since it began. */
  recordBytes: number;
  contentBytes: number;
  images: number;
  /** Objects of the journal that whoever takes over has to replay. */
  journalObjects: number;
  /** Of the last checkpoint, in milliseconds since 1970. */
  checkpointAt: number | undefined;
  checkpointLsn: number | undefined;
  /** What keeps it from going on, at the moment. */
  failure: string | undefined;
}

export class Shipper {
  readonly #options: ShipperOptions;
  readonly #records: RecordShipper;
  readonly #contents: ContentShipper | undefined;
  readonly #survey: ContentSurvey | undefined;
  readonly #checkpoints: CheckpointShipper;
  readonly #board: ShippingBoard | undefined;
  readonly #lag = new Lag();
  readonly #leaseWatch: LeaseWatch;
  readonly #recordsBell: Bell;
  readonly #checkpointsBell: Bell;
  readonly #contentBells: Record<Lane, Bell>;
  readonly #waiters = new Set<{ lsn: number; done: () => void; failed: (error: unknown) => void }>();
  /** Who waits for a checkpoint that begins after they asked. */
  #checkpointWaiters: { done: () => void; failed: (error: unknown) => void }[] = [];
  #state: ShippingState = 'ok';
  #end: SpinneyError | undefined;
  /** Failures that are not the object store's, by what they keep from going on. */
  readonly #failures = new Map<string, string>();
  /** Somebody waits who does not tell for what. */
  #isAsked = false;

  /** REQUIRES that `shipped` is what the remote has, and that `writer` has HEAD. */
  constructor(options: ShipperOptions) {
    const { site, writer, tree, shipped, directory, contents, board } = options;
    this.#options = options;
    if (contents !== undefined) {
      this.#contents = new ContentShipper({
        ...contents,
        tree,
        writer,
        clock: site.clock,
        names: shipped.contents,
      });
      this.#contents.onWork = (lane) => this.#contentBells[lane].ring();
      this.#survey = new ContentSurvey(
        tree,
        contents,
        this.#contents,
        shipped.isRestored ? shipped.lsn : undefined,
      );
    }
    const shipper = this.#contents;
    this.#records = new RecordShipper({
      tree,
      writer,
      state: shipped,
      contents: contents && shipper && { ...contents, shipper },
    });
    this.#checkpoints = new CheckpointShipper({
      site,
      tree,
      writer,
      state: shipped,
      directory,
      contents: shipper,
    });
    this.#board = board && new ShippingBoard(board);
    this.#leaseWatch = new LeaseWatch(site.clock, writer.held);
    this.#board?.progressed(shipped.lsn);
    this.#recordsBell = new Bell(site.clock);
    this.#checkpointsBell = new Bell(site.clock);
    this.#contentBells = {
      urgent: new Bell(site.clock),
      large: new Bell(site.clock),
      background: new Bell(site.clock),
    };
  }

  /** Begins; returns at once. To be called once. */
  start(): void {
    void this.#repeat('records', () => this.#shipRecords());
    void this.#repeat('checkpoints', () => this.#shipCheckpoints());
    void this.#repeat('look', () => this.#look());
    if (this.#contents !== undefined) {
      for (const lane of LANES) void this.#repeat(lane, () => this.#shipContents(lane));
      void this.#repeat('survey', () => this.#surveyContents());
    }
    void this.#board?.listen(() => {
      this.#isAsked = true;
      this.#recordsBell.ring();
      return this.#end === undefined;
    });
  }

  /** Why it has ended, and serves nobody any more; undefined while it goes on. */
  get ended(): SpinneyError | undefined {
    return this.#end;
  }

  /**
   * Resolves when the remote has all records up to `lsn`, and these contents as their files are now; these must have been synced. Of several
   * calls all go there together.
   * @throws ERR_REMOTE_TAKEN, ERR_CLOSED: it may have them or not; ERR_IO where a content's file cannot be read; the signal's reason
   */
  async waitUntilShipped(
    lsn: number,
    contents: readonly ContentId[] = [],
    signal?: AbortSignal,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (this.#end !== undefined) throw this.#end;
    let last = lsn;
    if (contents.length > 0 && this.#contents !== undefined) {
      await unlessAborted(Promise.all(contents.map((id) => this.#contents!.shipped(id, true))), signal);
      last = Math.max(lsn, this.#options.tree.lastLsn());
    }
    await unlessAborted(this.#whenShipped(last), signal);
  }

  /** Ships a content that was synced, as its file is by then. Nobody waits for it; the lag tells of it. */
  shipSoon(content: ContentId): void {
    if (this.#end === undefined) this.#contents?.add(content);
  }

  /** Resolves when a checkpoint that begins now, or later, is HEAD's. @throws ERR_REMOTE_TAKEN, ERR_CLOSED */
  checkpoint(): Promise<void> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    return new Promise((done, failed) => {
      this.#checkpointWaiters.push({ done, failed });
      this.#checkpointsBell.ring();
    });
  }

  lag(): ShippingLag {
    const { shipped, tree } = this.#options;
    const { records, bytes } = this.#records.waiting;
    const { contents, bytes: contentBytes } = this.#contents?.waiting ?? { contents: 0, bytes: 0 };
    const seconds = this.#lookAtLag() / 1000;
    return { lsn: tree.lastLsn(), shippedLsn: shipped.lsn, records, bytes, seconds, contents, contentBytes };
  }

  stats(): ShippingStats {
    const { shipped, writer } = this.#options;
    return {
      state: this.#state,
      epoch: writer.epoch,
      recordBytes: this.#records.shippedBytes,
      contentBytes: this.#contents?.shippedBytes ?? 0,
      images: this.#checkpoints.shippedImages,
      journalObjects: shipped.objects.length,
      checkpointAt: this.#checkpoints.shippedAt,
      checkpointLsn: shipped.catalog?.mark.lsn,
      failure: this.#failure,
    };
  }

  /**
   * Ships all that there is, then a checkpoint, and lets others take over at once. REQUIRES that nobody changes the tree any more.
   * @throws ERR_REMOTE_TAKEN, ERR_CLOSED, the signal's reason: then it goes on as before
   */
  async finish(onProgress: (lag: ShippingLag) => void = () => {}, signal?: AbortSignal): Promise<void> {
    const { tree, site } = this.#options;
    this.#contents?.settle();
    this.#contents?.hurry();
    // Records that are read may tell of contents that were not waiting before, and their rows are records again.
    while (!this.#hasEverything) {
      if (this.#end !== undefined) throw this.#end;
      onProgress(this.lag());
      this.#recordsBell.ring();
      await unlessAborted(site.clock.sleep(SHIP_INTERVAL_MS / 2), signal);
    }
    this.#surveyed();
    await this.waitUntilShipped(tree.lastLsn(), [], signal);
    if (!this.#checkpoints.isWhole) await unlessAborted(this.checkpoint(), signal);
    onProgress(this.lag());
    await this.#options.writer.release();
    await this.#endWith(new SpinneyError('ERR_CLOSED', 'Cannot ship: it has ended'));
  }

  get #hasEverything(): boolean {
    const last = this.#options.tree.lastLsn();
    const hasContents = this.#contents === undefined || (this.#survey!.isDone && this.#contents.isIdle);
    return hasContents && this.#records.settledLsn >= last;
  }

  /** Ends at once: HEAD stays this store's, for who goes on with it. Resolves when nothing uses the tree any more. Never throws. */
  async stop(): Promise<void> {
    const end = new SpinneyError('ERR_CLOSED', 'Cannot ship: it was stopped');
    await this.#endWith(this.#options.writer.held.endWith(end));
  }

  #whenShipped(lsn: number): Promise<void> {
    if (this.#options.shipped.lsn >= lsn) return Promise.resolve();
    return new Promise((done, failed) => {
      this.#waiters.add({ lsn, done, failed });
      this.#recordsBell.ring();
    });
  }

  /** Does it until all has ended. What fails is tried again. */
  async #repeat(what: string, work: () => Promise<void>): Promise<void> {
    const { site, random = Math.random } = this.#options;
    while (this.#end === undefined) {
      try {
        await work();
        this.#failures.delete(what);
      } catch (error) {
        if (this.#end !== undefined) return;
        const { end } = this.#options.writer.held;
        if (end !== undefined || hasCode(error, 'ERR_CLOSED')) {
          void this.#endWith(end ?? (error as SpinneyError));
          return;
        }
        this.#failures.set(what, error instanceof Error ? error.message : String(error));
        await site.clock.sleep(PAUSE_MS * (0.5 + random() / 2));
      }
    }
  }

  get #isAwaited(): boolean {
    return this.#waiters.size > 0 || this.#isAsked;
  }

  async #shipRecords(): Promise<void> {
    if (!this.#isAwaited) {
      const isLoad = this.#records.lastCount >= LOAD_RECORDS;
      await this.#recordsBell.wait(isLoad ? LOADED_SHIP_INTERVAL_MS : SHIP_INTERVAL_MS);
    }
    this.#assertOn();
    const isAwaited = this.#isAwaited;
    this.#isAsked = false;
    const hasShipped = await this.#records.shipSome({ isAwaited });
    this.#assertOn();
    this.#progressed();
    if (hasShipped) return;
    // Whoever waits, waits for a checkpoint.
    if (this.#records.isCut) this.#checkpointsBell.ring();
    if (isAwaited) await this.#recordsBell.wait(SHIP_INTERVAL_MS);
  }

  async #shipCheckpoints(): Promise<void> {
    const { onEvent } = this.#options;
    const isWanted = this.#checkpointWaiters.length > 0 || this.#records.isCut;
    if (!isWanted && !this.#checkpoints.isDue) {
      await this.#checkpointsBell.wait(SHIP_INTERVAL_MS);
      return;
    }
    const waiters = this.#checkpointWaiters;
    this.#checkpointWaiters = [];
    try {
      const shipped = await this.#checkpoints.ship();
      this.#assertOn();
      for (const { done } of waiters) done();
      onEvent?.({ type: 'checkpoint', ...shipped });
    } catch (error) {
      this.#checkpointWaiters.push(...waiters);
      throw error;
    }
    if (this.#records.goOn()) this.#survey?.begin();
    this.#progressed();
    const objects = await this.#checkpoints.collect();
    if (objects > 0) onEvent?.({ type: 'collected', objects });
  }

  async #shipContents(lane: Lane): Promise<void> {
    if (!(await this.#contents!.shipSome(lane))) await this.#contentBells[lane].wait();
    this.#assertOn();
  }

  async #surveyContents(): Promise<void> {
    const { clock } = this.#options.site;
    if (!this.#survey!.isDone) await this.#survey!.run(() => this.#assertOn());
    await clock.sleep(PAUSE_MS);
    this.#assertOn();
    if (this.#contents!.failure !== undefined) this.#contents!.retry();
    this.#contents!.settle();
    this.#surveyed();
  }

  /** What is known to be shipped need not be looked at after the next start. */
  #surveyed(): void {
    if (this.#contents?.waiting.contents === 0) this.#survey!.record(this.#records.settledLsn);
  }

  /** How things are: for who asks, and for who must not go on. */
  async #look(): Promise<void> {
    const { writer, site, maxUnshippedBytes = MAX_UNSHIPPED_BYTES } = this.#options;
    const { end } = writer.held;
    if (end !== undefined) throw end;
    const lagMs = this.#lookAtLag();
    this.#records.tendHold();
    const { bytes, contentBytes } = this.lag();
    const isAway = writer.held.failure !== undefined || !writer.held.isServing();
    this.#become(isAway ? 'away' : lagMs > BEHIND_MS ? 'behind' : 'ok');
    if (this.#board !== undefined) {
      const isFull = this.#board.refusal === FULL;
      const bound = isFull ? maxUnshippedBytes * WELCOME_AT : maxUnshippedBytes;
      this.#board.refusal = bytes + contentBytes > bound ? FULL : WELCOME;
      this.#board.looked(this.#leaseWatch.servesForMs());
    }
    await site.clock.sleep(SHIP_INTERVAL_MS);
  }

  /** Milliseconds since the oldest record that the remote has not, at most. */
  #lookAtLag(): number {
    const { site, tree } = this.#options;
    return this.#lag.look(tree.lastLsn(), this.#records.settledLsn, site.clock.now());
  }

  get #failure(): string | undefined {
    const { failure } = this.#options.writer.held;
    if (this.#end !== undefined) return this.#end.message;
    if (failure !== undefined) return failure instanceof Error ? failure.message : String(failure);
    return [...this.#failures.values()][0] ?? this.#contents?.failure?.message;
  }

  #become(state: ShippingState): void {
    const from = this.#state;
    if (from === state) return;
    this.#state = state;
    this.#options.onEvent?.({ type: 'state', from, to: state, error: this.#failure });
  }

  /** Nothing may be done with the tree any more once it has ended. */
  #assertOn(): void {
    const end = this.#end ?? this.#options.writer.held.end;
    if (end !== undefined) throw end;
  }

  #progressed(): void {
    const { lsn } = this.#options.shipped;
    for (const waiter of this.#waiters) {
      if (waiter.lsn > lsn) continue;
      this.#waiters.delete(waiter);
      waiter.done();
    }
    if (this.#board !== undefined && this.#board.shippedLsn !== lsn) this.#board.progressed(lsn);
  }

  async #endWith(end: SpinneyError): Promise<void> {
    if (this.#end === undefined) {
      this.#end = end;
      const isLost = hasCode(end, 'ERR_REMOTE_TAKEN');
      for (const { failed } of [...this.#waiters, ...this.#checkpointWaiters]) failed(end);
      this.#waiters.clear();
      this.#checkpointWaiters = [];
      this.#contents?.end(end);
      if (this.#board !== undefined) {
        if (isLost) this.#board.refusal = LOST;
        this.#board.end();
      }
      if (isLost) this.#become('lost');
      for (const bell of [this.#recordsBell, this.#checkpointsBell, ...Object.values(this.#contentBells)])
        bell.ring();
      this.#records.close({ isLost });
    }
  }
}
