/**
 * After a start, finds the contents that the remote may not have: those of records that were changed since it was known to have all. What
 * is changed from the start on is told by the records that are shipped.
 */
import type { TreeOperations } from '../../api.js';
import type { ContentPlaces, ContentShipper } from './content-shipper.js';
import { SHIPPED_CONTENTS_LSN_KEY } from './rows.js';

/** Records that are looked at between two breaths. */
const RECORDS_AT_ONCE = 1000;

export class ContentSurvey {
  readonly #tree: Pick<TreeOperations, 'get' | 'put' | 'range'>;
  readonly #places: ContentPlaces;
  readonly #contents: ContentShipper;
  /** Contents of records up to here are known to be shipped. */
  #since: number;
  isDone = false;
  #runs = 0;

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
    this.#since = lsnOf(tree.get(SHIPPED_CONTENTS_LSN_KEY));
    if (restoredAt === undefined) return;
    this.isDone = true;
    if (restoredAt > this.#since) this.#put(restoredAt);
  }

  /** Has them shipped some time. `check` is called after each breath, and throws where it is to end. @throws as the tree */
  async run(check: () => void): Promise<void> {
    const run = this.#runs;
    let count = 0;
    for (const entry of this.#tree.range()) {
      if (entry.type === 'key' && entry.version > this.#since) {
        const content = this.#places.contentOf(entry.key, entry.value);
        if (content !== undefined && !content.isLive) this.#contents.add(content);
      }
      if (++count % RECORDS_AT_ONCE !== 0) continue;
      await new Promise((resolve) => setImmediate(resolve));
      check();
    }
    this.isDone = run === this.#runs;
  }

  /** Records have come that nobody has read: it is to run again. */
  begin(): void {
    this.#runs++;
    this.isDone = false;
  }

  /** To be called when nothing waits, and contents of all records up to `lsn` did: so the next start has less to look at. */
  record(lsn: number): void {
    // Its own record, and what else is little, is not worth another.
    if (!this.isDone || lsn - this.#since < RECORDS_AT_ONCE) return;
    this.#put(lsn);
  }

  #put(lsn: number): void {
    const value = Buffer.alloc(8);
    value.writeDoubleLE(lsn);
    this.#tree.put(SHIPPED_CONTENTS_LSN_KEY, value);
    this.#since = lsn;
  }
}

function lsnOf(value: Uint8Array | undefined): number {
  return value?.length === 8 ? Buffer.from(value.buffer, value.byteOffset, 8).readDoubleLE(0) : 0;
}
