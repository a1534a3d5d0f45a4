/**
 * After a start, finds the contents that the remote may not have: those of records that were changed since it was known to have all. What
 * is changed from the start on is told by the records that are shipped.
 */
import type { RangeEntry, TreeOperations } from '../../api.js';
import { UnreadableBlobError } from '../../errors.js';
import type { ContentPlaces, ContentShipper } from './content-shipper.js';
import { SHIPPED_CONTENTS_LSN_KEY } from './rows.js';

/** Records that are looked at between two breaths. */
const RECORDS_AT_ONCE = 1000;

export class ContentSurvey {
  readonly #tree: Pick<TreeOperations, 'get' | 'put' | 'range'>;
  readonly #places: ContentPlaces;
  readonly #contents: ContentShipper;
  readonly #restoredAt: number | undefined;
  /** Contents of records up to here are known to be shipped; undefined: not read yet. */
  #since: number | undefined;
  isDone = false;
  #runs = 0;
  /** Records could not be read: the next start looks at them again. */
  #hasDamage = false;

  /** `restoredAt`: where the store was just made of the remote, its last record; it has no contents of its own, so there is nothing to find. */
  constructor(
    tree: Pick<TreeOperations, 'get' | 'put' | 'range'>,
    places: ContentPlaces,
    contents: ContentShipper,
    restoredAt: number | undefined,
  ) {
    this.#tree = tree;
    this.#places = places;
    this.#contents = contents;
    this.#restoredAt = restoredAt;
  }

  /** Has them shipped some time. `check` is called after each breath, and throws where it is to end. @throws as the tree */
  async run(check: () => void): Promise<void> {
    const run = this.#runs;
    const since = this.#begun();
    if (run > 0 || this.#restoredAt === undefined) await this.#lookAll(since, check);
    this.isDone = run === this.#runs;
  }

  async #lookAll(since: number, check: () => void): Promise<void> {
    let count = 0;
    const entries = this.#tree.range();
    for (let entry = this.#next(entries); entry !== undefined; entry = this.#next(entries)) {
      if (entry.type === 'key' && entry.version > since) {
        const content = this.#places.contentOf(entry.key, entry.value);
        if (content !== undefined && !content.isLive) this.#contents.add(content);
      }
      if (++count % RECORDS_AT_ONCE !== 0) continue;
      await new Promise((resolve) => setImmediate(resolve));
      check();
    }
  }

  /** The records of a damaged blob are passed over, which the tree tells of: those behind it are not lost for that. */
  #next(entries: IterableIterator<RangeEntry>): RangeEntry | undefined {
    for (;;) {
      try {
        const { done, value } = entries.next();
        return done === true ? undefined : value;
      } catch (error) {
        if (!(error instanceof UnreadableBlobError) || error.prefix === undefined) throw error;
        this.#hasDamage = true;
      }
    }
  }

  #begun(): number {
    if (this.#since === undefined) {
      const since = lsnOf(this.#tree.get(SHIPPED_CONTENTS_LSN_KEY));
      if (this.#restoredAt !== undefined && this.#restoredAt > since) this.#put(this.#restoredAt);
      this.#since = Math.max(since, this.#restoredAt ?? 0);
    }
    return this.#since;
  }

  /** Records have come that nobody has read: it is to run again. */
  begin(): void {
    this.#runs++;
    this.isDone = false;
  }

  /** To be called when nothing waits, and contents of all records up to `lsn` did: so the next start has less to look at. */
  record(lsn: number): void {
    // Its own record, and what else is little, is not worth another.
    if (!this.isDone || this.#hasDamage || lsn - this.#begun() < RECORDS_AT_ONCE) return;
    this.#put(lsn);
    this.#since = lsn;
  }

  #put(lsn: number): void {
    const value = Buffer.alloc(8);
    value.writeDoubleLE(lsn);
    this.#tree.put(SHIPPED_CONTENTS_LSN_KEY, value);
  }
}

function lsnOf(value: Uint8Array | undefined): number {
  return value?.length === 8 ? Buffer.from(value.buffer, value.byteOffset, 8).readDoubleLE(0) : 0;
}
