import { SpinneyError } from '../../errors.js';
import type { BlobId, BlobRow, BlobStore, CheckpointMark, Pin, Pins } from '../../store/blob-store.js';
import { snapshotDeleted } from '../state/pins.js';

/** What a snapshot's pin keeps, as a store that is only read. */
export class SnapshotStore implements BlobStore {
  readonly #pin: Pin;
  readonly #pins: Pins;
  readonly #place: string;
  /** The list of pins that has the pin for certain. */
  #seen: readonly Pin[] | undefined;

  /** `place`: of the tree, for messages. */
  constructor(pin: Pin, pins: Pins, place: string) {
    this.#pin = pin;
    this.#pins = pins;
    this.#place = place;
  }

  /** @throws ERR_SNAPSHOT_DELETED, ERR_CLOSED */
  check(): void {
    const pins = this.#pins.list();
    if (pins === this.#seen) return;
    if (!pins.some(({ id }) => id === this.#pin.id)) throw snapshotDeleted(this.#pin.name, this.#place);
    this.#seen = pins;
  }

  readBlob(id: BlobId, into: Uint8Array): void {
    try {
      this.#pins.readBlob(this.#pin.id, id, into);
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_NOT_FOUND') throw error;
      throw snapshotDeleted(this.#pin.name, this.#place);
    }
  }

  blobRow(id: BlobId): BlobRow | undefined {
    return this.#pins.blobRow(this.#pin.id, id);
  }

  listBlobs(): BlobId[] {
    return this.#pins.listBlobs(this.#pin.id);
  }

  hasBlob(id: BlobId): boolean {
    return this.blobRow(id) !== undefined;
  }

  readMark(): CheckpointMark {
    const { lsn, generation } = this.#pin;
    return { lsn, generation, nextBlobId: 0, pendingDeletes: [] };
  }

  needsFlush(): boolean {
    return false;
  }

  writeBlob(): void {
    this.#refuse();
  }

  deleteBlob(): void {
    this.#refuse();
  }

  flush(): void {
    this.#refuse();
  }

  #refuse(): never {
    const what = `Cannot write to snapshot ${JSON.stringify(this.#pin.name)} of ${this.#place}`;
    throw new SpinneyError('ERR_READ_ONLY', `${what}: it is as it was`);
  }
}
