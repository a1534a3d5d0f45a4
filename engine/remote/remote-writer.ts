/**
 * The writer of a remote: brings what is to be acknowledged into the journal, and checkpoints into HEAD.
 *
 * What must hold:
 * - Objects of the journal are created one after another, each where nothing was. What was sent to a place is the only thing that
 *   is ever sent there. So where the fence of a later writer is, nothing more gets in, and what got in is before it.
 * - An append is acknowledged when its object is there and the lease holds after that: then nobody had begun after this writer.
 * - Once it has ended, nothing is acknowledged any more. What was not, may be in the journal all the same.
 */
import { SpinneyError } from '../errors.js';
import { MAX_JOURNAL_OBJECT_BYTES } from '../limits.js';
import { hasCode } from '../store/object/errors.js';
import type { HeldHead } from './held-head.js';
import { encodeRecords, HEADER_BYTES, readJournal } from './objects/journal-object.js';
import { encodeManifest, type Manifest } from './objects/manifest.js';
import { journalName, type Kind, objectName, type Position } from './objects/names.js';
import { type Site, taken } from './site.js';

const MAX_BODY_BYTES = MAX_JOURNAL_OBJECT_BYTES - HEADER_BYTES;

interface Append {
  bytes: Uint8Array;
  done: (place: Position) => void;
  failed: (error: unknown) => void;
}

export class RemoteWriter {
  readonly #site: Site;
  readonly #held: HeldHead;
  readonly #id: string;
  readonly #waiting: Append[] = [];
  #isAppending = false;
  #sequence = 1;
  #lastNumber = 0;
  /** Objects of this epoch with lesser numbers, that its last checkpoint does not refer to, are no use. 0: there was none yet. */
  #checkpointed = 0;

  /** REQUIRES a HEAD that was just taken over, with all epochs before it fenced. */
  constructor(site: Site, held: HeldHead) {
    this.#site = site;
    this.#held = held;
    this.#id = site.newId();
  }

  get epoch(): number {
    return this.#held.head.epoch;
  }

  get held(): HeldHead {
    return this.#held;
  }

  get checkpointed(): number {
    return this.#checkpointed;
  }

  /** Where the next object of the journal will be. */
  get end(): Position {
    return { epoch: this.epoch, sequence: this.#sequence };
  }

  /**
   * Resolves when the bytes are in the journal, to be found by whoever takes over, with their place. Those of several calls go into one
   * object where they wait for one another, in order.
   * @throws ERR_REMOTE_TAKEN, ERR_CLOSED: it may be there or not; ERR_BATCH_TOO_LARGE, at once
   */
  append(bytes: Uint8Array): Promise<Position> {
    if (bytes.length === 0 || bytes.length > MAX_BODY_BYTES) {
      const why = `it has ${bytes.length} bytes, and may have 1 to ${MAX_BODY_BYTES}`;
      return Promise.reject(new SpinneyError('ERR_BATCH_TOO_LARGE', `Cannot append to the journal: ${why}`));
    }
    return new Promise((done, failed) => {
      this.#waiting.push({ bytes, done, failed });
      if (!this.#isAppending) void this.#appendAll();
    });
  }

  /** A name for an object that a checkpoint to come may refer to; nobody had it, and nobody will. */
  newName(kind: Kind): string {
    return objectName(kind, this.epoch, ++this.#lastNumber);
  }

  /** Puts an object under a name of `newName`, however long the store is away. @throws ERR_REMOTE_TAKEN, ERR_CLOSED */
  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#held.answered(() => this.#site.store.put(name, bytes));
  }

  /** To be taken when a checkpoint is captured: names that were given before, and that it does not refer to, are no use then. */
  mark(): number {
    return this.#lastNumber + 1;
  }

  /**
   * Publishes a checkpoint, whose objects are there already, and which has all of the journal before `journal`. `mark` is from its capture.
   * @throws ERR_REMOTE_TAKEN, ERR_CLOSED
   */
  async publish(manifest: Manifest, journal: Position, mark: number): Promise<void> {
    const name = this.newName('manifest');
    const bytes = encodeManifest(manifest);
    await this.put(name, bytes);
    await this.#held.replace({ manifest: name, journal });
    this.#checkpointed = mark;
  }

  /** Ends it, and lets others take over at once. What is not acknowledged yet fails. */
  release(): Promise<void> {
    return this.#held.release();
  }

  async #appendAll(): Promise<void> {
    this.#isAppending = true;
    while (this.#waiting.length > 0) {
      const together = this.#takeTogether();
      try {
        const place = this.end;
        await this.#putRecords(place, Buffer.concat(together.map(({ bytes }) => bytes)));
        this.#sequence++;
        await this.#held.lease();
        for (const { done } of together) done(place);
      } catch (error) {
        for (const { failed } of together) failed(error);
      }
    }
    this.#isAppending = false;
  }

  #takeTogether(): Append[] {
    let count = 0;
    let bytes = 0;
    while (count < this.#waiting.length) {
      bytes += this.#waiting[count]!.bytes.length;
      if (bytes > MAX_BODY_BYTES) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Resolves when it is there. Fails only when all is over: then nothing else can be sent to this place. */
  async #putRecords(place: Position, body: Uint8Array): Promise<void> {
    const bytes = encodeRecords(place, this.#id, body);
    for (;;) {
      try {
        await this.#held.answered(() =>
          this.#site.store.put(journalName(place), bytes, { ifNoneMatch: '*' }),
        );
        return;
      } catch (error) {
        if (!hasCode(error, 'ERR_CONDITION_FAILED')) throw this.#end(error);
      }
      const there = await this.#held.answered(() => readJournal(this.#site.store, place));
      // An attempt whose answer was lost has done it.
      if (there !== undefined && !there.isFence && there.writer === this.#id) return;
      // A fence; or it was there, and the next writer needs it no more.
      throw this.#end(taken('another writer has ended its epoch'));
    }
  }

  #end(error: unknown): unknown {
    if (error instanceof SpinneyError) this.#held.endWith(error);
    return this.#held.end ?? error;
  }
}
