import type { BlobId, BlobStore, CheckpointMark } from '../../../engine/store/blob-store.js';

export type Call = 'write' | 'delete' | 'flush';
export type LoggedCall =
  | { call: 'write' | 'delete'; id: BlobId }
  | { call: 'flush'; mark: CheckpointMark | undefined };

/**
 * Passes calls on to another store, counts and logs those that change it, and can be armed to fail the Nth of
 * a kind, once. A failed flush leaves needsFlush() true, as a store must.
 */
export class FailpointBlobStore implements BlobStore {
  readonly inner: BlobStore;
  readonly log: LoggedCall[] = [];
  readonly counts: Record<Call, number> = { write: 0, delete: 0, flush: 0 };
  /** Asked before each call; true makes it fail. */
  fails: (call: Call, count: number) => boolean = () => false;
  readonly #armed: Record<Call, number> = { write: 0, delete: 0, flush: 0 };
  #mustFlush = false;

  constructor(inner: BlobStore) {
    this.inner = inner;
  }

  /** The `nth` call of the kind from now on fails, once. */
  arm(call: Call, nth = 1): void {
    this.#armed[call] = this.counts[call] + nth;
  }

  #count(call: Call): void {
    const count = ++this.counts[call];
    if (this.#armed[call] !== count && !this.fails(call, count)) return;
    if (this.#armed[call] === count) this.#armed[call] = 0;
    if (call === 'flush') this.#mustFlush = true;
    throw new Error(`failpoint: ${call}`);
  }

  readBlob(id: BlobId, into: Uint8Array): void {
    this.inner.readBlob(id, into);
  }
  writeBlob(id: BlobId, image: Uint8Array): void {
    this.log.push({ call: 'write', id });
    this.#count('write');
    this.inner.writeBlob(id, image);
  }
  deleteBlob(id: BlobId): void {
    this.log.push({ call: 'delete', id });
    this.#count('delete');
    this.inner.deleteBlob(id);
  }
  listBlobs(): BlobId[] {
    return this.inner.listBlobs();
  }
  hasBlob(id: BlobId): boolean {
    return this.inner.hasBlob(id);
  }
  flush(mark?: CheckpointMark): void {
    this.log.push({ call: 'flush', mark });
    this.#count('flush');
    this.inner.flush(mark);
    this.#mustFlush = false;
  }
  readMark(): CheckpointMark | undefined {
    return this.inner.readMark();
  }
  needsFlush(): boolean {
    return this.#mustFlush || this.inner.needsFlush();
  }
}
