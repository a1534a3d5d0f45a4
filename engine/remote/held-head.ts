/**
 * HEAD in the hands of the writer that has it: replaced in turn, each time in place of exactly what was there, and renewed in time.
 *
 * What must hold:
 * - A HEAD that was sent is sent until its outcome is known, always the same bytes; the next is made only then. So HEAD is at
 *   any time what is known here, or the one that is under way, or another writer's.
 * - `isServing` is false from when the lease ends by one's own clock, whatever is under way. Only a HEAD that was replaced begins
 *   a new one, counted from when it was sent.
 * - Once another has HEAD, or it is given up, it is never held again.
 */
import { SpinneyError } from '../errors.js';
import { hasCode } from '../store/object/errors.js';
import type { ETag } from '../store/object/object-store.js';
import { encodeHead, type Head } from './objects/head.js';
import { RENEWALS } from './objects/lease.js';
import { HEAD } from './objects/names.js';
import { readHead, type Site, taken } from './site.js';

/** Between two tries of what fails for longer than the store's own patience. */
const PAUSE_MS = 1_000;
const RELEASE_MS = 5_000;

export class HeldHead {
  readonly #site: Site;
  #head: Head;
  #etag: ETag;
  #leaseEnd: number;
  #turn: Promise<unknown> = Promise.resolve();
  #end: SpinneyError | undefined;
  #failure: unknown;
  #failedSince = 0;
  #isReleased = false;

  /** REQUIRES that `head` was put just now, with this tag, and was sent at `sentAt` by the site's clock. */
  constructor(site: Site, head: Head, etag: ETag, sentAt: number) {
    this.#site = site;
    this.#head = head;
    this.#etag = etag;
    this.#leaseEnd = sentAt + head.leaseMs;
    void this.#keep();
  }

  get head(): Head {
    return this.#head;
  }

  /** Why it is held no more; undefined while it is. */
  get end(): SpinneyError | undefined {
    return this.#end;
  }

  /** What keeps a request from being answered at the moment; undefined while all are. */
  get failure(): unknown {
    return this.#failure;
  }

  /** By the site's clock; of the HEAD that was replaced last. */
  get leaseEnd(): number {
    return this.#leaseEnd;
  }

  /** When the last request that failed was sent, by the site's clock; undefined while all are answered. */
  get failedSince(): number | undefined {
    return this.#failure === undefined ? undefined : this.#failedSince;
  }

  /** Whether no other writer can have begun: what is answered now was so. */
  isServing(): boolean {
    return this.#end === undefined && !this.#isReleased && this.#site.clock.now() < this.#leaseEnd;
  }

  /** Resolves once this is HEAD, however long the store is away. @throws ERR_REMOTE_TAKEN, ERR_CLOSED: then it is held no more */
  replace(change: Partial<Pick<Head, 'manifest' | 'journal'>>): Promise<void> {
    return this.inTurn(() => this.#put({ ...this.#head, ...change }));
  }

  /** Does the work while HEAD is as it is known here. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Waits for the lease, if it is not there. @throws as `replace` */
  async lease(): Promise<void> {
    while (!this.isServing()) {
      if (this.#isReleased) throw this.#end ?? closed();
      if (this.#end !== undefined) throw this.#end;
      // Whoever was before in turn may have brought it.
      await this.inTurn(async () => {
        if (!this.isServing()) await this.#put(this.#head);
      });
    }
  }

  /** Does the request until it is answered, also by ERR_CONDITION_FAILED or ERR_NOT_FOUND. @throws these, and as `replace` */
  async answered<T>(request: () => Promise<T>): Promise<T> {
    for (;;) {
      if (this.#end !== undefined) throw this.#end;
      const sentAt = this.#site.clock.now();
      try {
        const answer = await request();
        this.#failure = undefined;
        return answer;
      } catch (error) {
        if (hasCode(error, 'ERR_CONDITION_FAILED') || hasCode(error, 'ERR_NOT_FOUND')) throw error;
        if (hasCode(error, 'ERR_CLOSED')) throw this.endWith(error as SpinneyError);
        // Refused, too: credentials run out and are renewed. Nobody but its owner gives up what he holds.
        this.#failure = error;
        this.#failedSince = sentAt;
      }
      await this.#site.clock.sleep(PAUSE_MS);
    }
  }

  /** Serves nobody any more, at once, and lets others take over without waiting, if the store answers within RELEASE_MS. Never throws. */
  async release(): Promise<void> {
    this.#isReleased = true;
    // Another may have it already.
    const given = this.inTurn(() => this.#put({ ...this.#head, leaseMs: 0 })).catch(() => {});
    await Promise.race([given, this.#site.clock.sleep(RELEASE_MS)]);
    this.endWith(closed());
  }

  /** Holds it no more. HEAD stays as it is: others wait for the lease. Returns why it has ended. */
  endWith(error: SpinneyError): SpinneyError {
    this.#end ??= error;
    return this.#end;
  }

  async #put(wanted: Head): Promise<void> {
    const head = { ...wanted, nonce: this.#site.newId() };
    const bytes = encodeHead(head);
    const firstSentAt = this.#site.clock.now();
    for (;;) {
      const sentAt = this.#site.clock.now();
      try {
        const etag = await this.answered(() => this.#site.store.put(HEAD, bytes, { ifMatch: this.#etag }));
        this.#adopt(head, etag, sentAt);
        return;
      } catch (error) {
        if (this.#end !== undefined) throw this.#end;
        if (!hasCode(error, 'ERR_CONDITION_FAILED') && !hasCode(error, 'ERR_NOT_FOUND')) throw error;
      }
      const found = await this.answered(() => readHead(this.#site));
      // An attempt whose answer was lost has done it.
      if (found?.head.nonce === head.nonce) {
        this.#adopt(head, found.etag, firstSentAt);
        return;
      }
      if (found?.etag !== this.#etag) {
        throw this.endWith(
          taken(
            found === undefined
              ? 'its HEAD is gone'
              : `store ${found.head.holder} has it, in epoch ${found.head.epoch}`,
          ),
        );
      }
    }
  }

  #adopt(head: Head, etag: ETag, sentAt: number): void {
    this.#head = head;
    this.#etag = etag;
    this.#leaseEnd = sentAt + head.leaseMs;
  }

  /** Renews it in time, until it is held no more. */
  async #keep(): Promise<void> {
    const { clock } = this.#site;
    while (this.#end === undefined && !this.#isReleased) {
      await clock.sleep(this.#head.leaseMs / RENEWALS);
      try {
        await this.replace({});
      } catch {
        // It is held no more, and `end` says why; whatever else it is, the next time comes.
      }
    }
  }
}

function closed(): SpinneyError {
  return new SpinneyError('ERR_CLOSED', 'Cannot write to the remote: it is closed');
}
