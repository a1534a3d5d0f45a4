/**
 * Brings contents of files into a remote: what of them it does not have yet, in parts; then, and only then, a row into the tree.
 *
 * What must hold:
 * - A row's parts are in the remote before it is put. Names are never given twice, so parts never change.
 * - The row has the file's state from before it was read: one that is written meanwhile is not taken for shipped.
 * - A row is put in place of exactly what was there before the file was read; else the content is looked at anew. So one that went for good
 *   meanwhile gets no other, and one whose file was given up meanwhile keeps it.
 * - A content that goes for good before it had any leaves none: its file is removed before its row, and looked for after the first row was put.
 * - Whoever waits for a content gets what its file had when he asked, or later.
 */
import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { TreeOperations } from '../../api.js';
import type { SpinneyError } from '../../errors.js';
import {
  CONTENT_PART_BYTES,
  MAX_CONTENT_IN_ROW_BYTES,
  MAX_CONTENT_ROWS,
  PARTS_AT_ONCE,
  PARTS_PER_ROW,
} from '../../limits.js';
import type { RemoteWriter } from '../../remote/remote-writer.js';
import type { Clock } from '../../store/object/clock.js';
import { hasCode } from '../../store/object/errors.js';
import { ContentFile, isSame, isTelling } from './content-file.js';
import { isThere, isZero, tooLarge } from './looks.js';
import { Rests } from './rests.js';
import {
  type ContentPart,
  DIGEST_BYTES,
  fitsRows,
  IN_ROW,
  partsOf,
  putShippedContent,
  type RecordedContent,
  removeShippedContent,
  type ShippedContent,
  shippedContent,
} from './rows.js';

/** A content by its inode's number and its born. */
export interface ContentId {
  ino: number;
  born: number;
}

/** Which contents of files a tree has, and where they are. */
export interface ContentPlaces {
  pathOf: (ino: number, born: number) => string;
  /** Whether anybody has the content open for writing, or mapped so, at the moment. Default: nobody has. */
  hasWriters?: (ino: number, born: number) => boolean;
  /** The content that a record tells of; undefined where it tells of none. `isLive`: it is being written. */
  contentOf: (key: Uint8Array, value: Uint8Array) => (ContentId & { isLive: boolean }) | undefined;
}

export interface ContentShipperOptions extends Pick<ContentPlaces, 'pathOf' | 'hasWriters'> {
  tree: Pick<TreeOperations, 'get' | 'getRecord' | 'atomic' | 'deletePrefix'>;
  writer: Pick<RemoteWriter, 'newName' | 'put'>;
  clock: Clock;
  /** The objects that a checkpoint has to keep. */
  names: Set<string>;
}

interface Job extends ContentId {
  /** In bytes, as far as is known. */
  size: number;
  /** Somebody waits for nothing but it: it may go with its row, if it is small. */
  mayStayInRow: boolean;
  waiters: { done: () => void; failed: (error: unknown) => void }[];
}

/** What is to be recorded of a content once its parts are there. */
interface Shipment {
  job: Job;
  content: ShippedContent;
  before: RecordedContent | undefined;
}

/** Contents that are recorded together, and the parts that share one object. */
interface Load {
  shipments: Shipment[];
  shared: { bytes: Uint8Array; part: ContentPart }[];
  sharedBytes: number;
}

/**
 * `urgent`: small ones that somebody waits for; `large`: others that somebody waits for; `background`: the rest. One of each is under way
 * at a time.
 */
export const LANES = ['urgent', 'large', 'background'] as const;
export type Lane = (typeof LANES)[number];

/** What is of one content alone. */
const DAMAGE = ['ERR_IO', 'ERR_BLOB_CORRUPT', 'ERR_BLOB_MISSING', 'ERR_REMOTE_CORRUPT'] as const;

export class ContentShipper {
  readonly #options: ContentShipperOptions;
  readonly #queues: Record<Lane, Map<string, Job>> = {
    urgent: new Map(),
    large: new Map(),
    background: new Map(),
  };
  readonly #underWay = new Map<string, Job>();
  /** Those whose file, or whose row, could not be read. */
  readonly #unreadable = new Map<string, Job>();
  /** Those whose rows are to be put once more: they have the bytes themselves, or do not tell whether the file is what they are of. */
  readonly #unsettled = new Map<string, ContentId & { isInRow: boolean }>();
  readonly #rests: Rests;
  /** What is about to be recorded. */
  readonly #shipments = new Set<Shipment>();
  /** Objects that rows which are about to be put name, or that were put since `watch`. */
  #fresh: Set<string> | undefined;
  /** Called when there is something to do in a lane. */
  onWork: (lane: Lane) => void = () => {};
  shippedBytes = 0;
  /** Why contents could not be read; undefined where all could. */
  failure: SpinneyError | undefined;

  constructor(options: ContentShipperOptions) {
    this.#options = options;
    this.#rests = new Rests(options.clock);
    this.#rests.onOver = () => this.onWork('background');
  }

  /** Contents that wait, and their bytes as far as they are known. */
  get waiting(): { contents: number; bytes: number } {
    let contents = 0;
    let bytes = 0;
    for (const jobs of [...Object.values(this.#queues), this.#underWay, this.#unreadable]) {
      contents += jobs.size;
      for (const { size } of jobs.values()) bytes += size;
    }
    return { contents, bytes };
  }

  /** Nothing waits but what cannot be read. */
  get isIdle(): boolean {
    return this.waiting.contents === this.#unreadable.size;
  }

  /** Ships it some time. */
  add({ ino, born }: ContentId): void {
    const key = keyOf({ ino, born });
    if (this.#queues.urgent.has(key) || this.#queues.large.has(key)) return;
    this.#enqueue('background', key, {
      ino,
      born,
      size: this.sizeOf({ ino, born }) ?? 0,
      mayStayInRow: false,
      waiters: [],
    });
  }

  /**
   * Resolves when the remote has the content as it is now; its row is in the tree then. `mayStayInRow`: a small one is in the row itself, until
   * `settle`.
   * @throws ERR_IO where its file cannot be read, as the tree where its row is in a damaged blob, what keeps its row from being put (a full disk), and what `end` was told: then it is
   *   shipped some time
   */
  shipped({ ino, born }: ContentId, mayStayInRow = false): Promise<void> {
    const key = keyOf({ ino, born });
    const size = this.sizeOf({ ino, born }) ?? 0;
    const lane = size <= CONTENT_PART_BYTES ? 'urgent' : 'large';
    const job = this.#queues[lane].get(key) ?? { ino, born, size, mayStayInRow, waiters: [] };
    job.mayStayInRow ||= mayStayInRow;
    this.#queues.background.delete(key);
    const done = new Promise<void>((resolve, failed) => job.waiters.push({ done: resolve, failed }));
    this.#enqueue(lane, key, job);
    return done;
  }

  /** Whoever waits is told the error. */
  end(error: unknown): void {
    for (const jobs of [...Object.values(this.#queues), this.#underWay]) {
      for (const { waiters } of jobs.values()) for (const { failed } of waiters) failed(error);
      jobs.clear();
    }
  }

  /**
   * What went with its row gets into objects: trees with many contents in them would be large. And what could not be told from what comes
   * later gets a row by which it can, once nobody writes to it.
   */
  settle(): void {
    for (const [key, job] of [...this.#unsettled]) {
      if (!job.isInRow && this.#hasWriters(job)) continue;
      this.#unsettled.delete(key);
      this.add(job);
    }
  }

  /** It comes to its end: large contents do not rest any more. */
  hurry(): void {
    this.#rests.hurry();
  }

  /** Tries those again that could not be read. */
  retry(): void {
    const jobs = [...this.#unreadable.values()];
    this.#unreadable.clear();
    this.failure = undefined;
    for (const job of jobs) this.add(job);
  }

  /**
   * Ships some of what waits in the lane; false where nothing does.
   * @throws ERR_REMOTE_TAKEN, ERR_CLOSED, and as the tree: then what it had waits again, and who waits for it is told
   */
  async shipSome(lane: Lane): Promise<boolean> {
    const load: Load = { shipments: [], shared: [], sharedBytes: 0 };
    const jobs: Job[] = [];
    try {
      while (load.sharedBytes < CONTENT_PART_BYTES && load.shipments.length < PARTS_PER_ROW) {
        const job = this.#next(lane);
        if (job === undefined) break;
        jobs.push(job);
        await this.#prepare(job, load, lane);
      }
      if (jobs.length === 0) return false;
      await this.#putShared(load);
      const overtaken = this.#record(load);
      this.#finish(jobs, load);
      for (const job of jobs) {
        if (overtaken.has(job)) this.#again(lane, job);
        else for (const { done } of job.waiters) done();
      }
      return true;
    } catch (error) {
      this.#finish(jobs, load);
      for (const job of jobs) {
        for (const { failed } of job.waiters) failed(error);
        this.add(job);
      }
      throw error;
    }
  }

  /** From now on notes the objects that rows come to name. */
  watch(): void {
    this.#fresh = new Set();
    for (const { content } of this.#shipments) for (const part of content.parts) this.#note(part?.name);
  }

  /** What was noted since. */
  watched(): ReadonlySet<string> {
    const fresh = this.#fresh ?? new Set<string>();
    this.#fresh = undefined;
    return fresh;
  }

  #note(name: string | undefined): void {
    if (name !== undefined) this.#fresh?.add(name);
  }

  /** In bytes; undefined where its file is not there. 0 where that cannot be told: whoever reads it tells why. */
  sizeOf({ ino, born }: ContentId): number | undefined {
    try {
      return statSync(this.#options.pathOf(ino, born), { throwIfNoEntry: false })?.size;
    } catch {
      return 0;
    }
  }

  #hasWriters({ ino, born }: ContentId): boolean {
    return this.#options.hasWriters?.(ino, born) ?? false;
  }

  /** Its row became another while it was shipped. */
  #again(lane: Lane, job: Job): void {
    const key = keyOf(job);
    const later = this.#queues[lane].get(key);
    if (later === undefined) this.#enqueue(lane, key, job);
    else later.waiters.push(...job.waiters);
  }

  #enqueue(lane: Lane, key: string, job: Job): void {
    this.#queues[lane].set(key, job);
    this.onWork(lane);
  }

  /** Never one that is under way in another lane; none that rests, unless somebody waits for it. */
  #next(lane: Lane): Job | undefined {
    for (const [key, job] of this.#queues[lane]) {
      if (this.#underWay.has(key) || (lane === 'background' && this.#rests.has(key))) continue;
      this.#queues[lane].delete(key);
      this.#underWay.set(key, job);
      return job;
    }
    return undefined;
  }

  #finish(jobs: readonly Job[], { shipments }: Load): void {
    for (const shipment of shipments) this.#shipments.delete(shipment);
    for (const job of jobs) this.#underWay.delete(keyOf(job));
    // One of these may have waited for another lane.
    for (const lane of LANES) if (this.#queues[lane].size > 0) this.onWork(lane);
  }

  async #prepare(job: Job, load: Load, lane: Lane): Promise<void> {
    try {
      await this.#putParts(job, load, lane);
    } catch (error) {
      this.#passOver(job, error);
    }
  }

  /** What is damaged holds up no other: it is told, and tried again later. @throws the error, where it is not of this content alone */
  #passOver(job: Job, error: unknown): void {
    if (!DAMAGE.some((code) => hasCode(error, code))) throw error;
    this.failure = error as SpinneyError;
    this.#unreadable.set(keyOf(job), job);
    for (const { failed } of job.waiters.splice(0)) failed(error);
  }

  /** Puts the large parts of a content that the remote has not; small ones go to the load. */
  async #putParts(job: Job, load: Load, lane: Lane): Promise<void> {
    const { clock, tree, pathOf } = this.#options;
    const { ino, born } = job;
    const path = pathOf(ino, born);
    const file = ContentFile.open(path);
    if (file === undefined) return;
    try {
      const hasWriters = () => this.#hasWriters(job);
      const state = await file.state({ isPatient: lane === 'background', hasWriters });
      job.size = state.size;
      const before = shippedContent(tree, ino, born);
      const isToMove = !job.mayStayInRow && before?.parts[0]?.inRow !== undefined;
      if (before !== undefined && isSame(before, state) && !isToMove) return;
      if (!fitsRows(state.size)) throw tooLarge(path, state.size);
      const began = clock.now();
      const parts: ContentPart[] = new Array(partsOf(state.size));
      const shipment = { job, content: { ...state, parts }, before };
      this.#shipments.add(shipment);
      const next = parts.keys();
      const readAll = async () => {
        for (const index of next) parts[index] = await this.#part(file, shipment, index, load);
      };
      await Promise.all(Array.from({ length: Math.min(PARTS_AT_ONCE, parts.length) }, readAll));
      if (state.size > CONTENT_PART_BYTES) this.#rests.begin(keyOf(job), began);
      if (lane !== 'background' && before !== undefined && isThere(before, shipment.content)) {
        // Whoever waits need not wait for a row that only tells this better.
        this.#shipments.delete(shipment);
        const key = keyOf(job);
        if (!this.#unsettled.has(key)) this.#unsettled.set(key, { ino, born, isInRow: false });
      } else load.shipments.push(shipment);
    } finally {
      file.close();
    }
  }

  async #part(file: ContentFile, shipment: Shipment, index: number, load: Load): Promise<ContentPart> {
    const { job, before } = shipment;
    const { size } = shipment.content;
    const offset = index * CONTENT_PART_BYTES;
    const length = Math.min(CONTENT_PART_BYTES, size - offset);
    const bytes = new Uint8Array(length);
    // Where the file has become shorter meanwhile, zeros stand for what is gone: it is shipped again, as it is in the record by then.
    await file.read(offset, bytes);
    const digest = createHash('sha256').update(bytes).digest().subarray(0, DIGEST_BYTES);
    const old = before?.parts[index];
    const mayStay = old?.inRow === undefined || job.mayStayInRow;
    if (old !== undefined && mayStay && old.bytes === length && Buffer.compare(old.digest, digest) === 0) {
      this.#note(old.name);
      return old;
    }
    if (isZero(bytes)) return { name: undefined, offset: 0, bytes: length, crc: 0, digest };
    const part: ContentPart = { name: undefined, offset: 0, bytes: length, crc: crc32(bytes), digest };
    if (job.mayStayInRow && size <= MAX_CONTENT_IN_ROW_BYTES) return { ...part, name: IN_ROW, inRow: bytes };
    if (load.sharedBytes + length <= CONTENT_PART_BYTES && length < CONTENT_PART_BYTES) {
      part.offset = load.sharedBytes;
      load.sharedBytes += length;
      load.shared.push({ bytes, part });
    } else {
      part.name = await this.put(bytes);
    }
    return part;
  }

  async #putShared({ shared }: Load): Promise<void> {
    if (shared.length === 0) return;
    const name = await this.put(Buffer.concat(shared.map(({ bytes }) => bytes)));
    for (const { part } of shared) part.name = name;
  }

  /** Puts an object for rows to come; its name. @throws ERR_REMOTE_TAKEN, ERR_CLOSED */
  async put(bytes: Uint8Array): Promise<string> {
    const { writer, names } = this.#options;
    const name = writer.newName('content');
    // Before it is there: a checkpoint that is published meanwhile must not let it be collected.
    names.add(name);
    this.#note(name);
    await writer.put(name, bytes);
    this.shippedBytes += bytes.length;
    return name;
  }

  /** One batch for all, as far as they fit: a record less for each. Those whose rows are others by now. */
  #record({ shipments }: Load): ReadonlySet<Job> {
    const overtaken = new Set<Job>();
    let rows = 0;
    let batch: Shipment[] = [];
    const put = () => {
      const isPut = batch.length > 1 && this.#putRows(batch);
      for (const shipment of isPut ? [] : batch) if (!this.#putRows([shipment])) overtaken.add(shipment.job);
      batch = [];
      rows = 0;
    };
    for (const shipment of shipments) {
      const more = Math.ceil(shipment.content.parts.length / PARTS_PER_ROW) + 1;
      if (rows + more > MAX_CONTENT_ROWS) put();
      batch.push(shipment);
      rows += more;
    }
    put();
    for (const shipment of shipments) if (!overtaken.has(shipment.job)) this.#recorded(shipment);
    return overtaken;
  }

  /** False: none was put; one of these became another meanwhile, or is in a damaged blob. */
  #putRows(shipments: readonly Shipment[]): boolean {
    try {
      return this.#options.tree.atomic((batch) => {
        for (const { job, content, before } of shipments)
          putShippedContent(batch, job.ino, job.born, content, before);
      });
    } catch (error) {
      if (DAMAGE.some((code) => hasCode(error, code))) return false;
      throw error;
    }
  }

  #recorded({ job, content, before }: Shipment): void {
    const { tree, pathOf } = this.#options;
    const { ino, born } = job;
    // Where there was one before, whoever removes the content removes this one.
    if (before === undefined && !existsSync(pathOf(ino, born))) {
      removeShippedContent(tree, ino, born);
      return;
    }
    const isInRow = content.parts[0]?.inRow !== undefined;
    if (isInRow || !isTelling(content)) this.#unsettled.set(keyOf(job), { ino, born, isInRow });
    else this.#unsettled.delete(keyOf(job));
  }
}

function keyOf({ ino, born }: ContentId): string {
  return `${ino}.${born}`;
}
