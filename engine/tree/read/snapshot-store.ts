import { SpinneyError, UnreadableBlobError } from '../../errors.js';
import type { BlobId, BlobRow, BlobStore, CheckpointMark, Pin, Pins } from '../../store/blob-store.js';
import { snapshotDeleted } from '../state/pins.js';
import type { TreeState } from '../state/state.js';

/** What a snapshot's pin keeps, as a store that is only read. */
export class SnapshotStore implements BlobStore {
  readonly #pin: Pin;
  readonly #pins: Pins;
  readonly #tree: Pick<TreeState, 'place' | 'noteImage'>;
  /** The list of pins that has the pin for certain. */
  #seen: readonly Pin[] | undefined;

  /** `tree`: the one that it is of, which is told of images that cannot be read. */
  constructor(pin: Pin, pins: Pins, tree: Pick<TreeState, 'place' | 'noteImage'>) {
    this.#pin = pin;
    this.#pins = pins;
    this.#tree = tree;
  }

  /** @throws ERR_SNAPSHOT_DELETED, ERR_CLOSED */
  check(): void {
    const pins = this.#pins.list();
    if (pins === this.#seen) return;
    if (!pins.some(({ id }) => id === this.#pin.id)) throw snapshotDeleted(this.#pin.name, this.#tree.place);
    this.#seen = pins;
  }

  readBlob(id: BlobId, into: Uint8Array): void {
    try {
      this.#pins.readBlob(this.#pin.id, id, into);
    } catch (error) {
      if (error instanceof SpinneyError && error.code === 'ERR_NOT_FOUND')
        throw snapshotDeleted(this.#pin.name, this.#tree.place);
      if (UnreadableBlobError.of(id, error) instanceof UnreadableBlobError)
        this.#tree.noteImage(id, this.#pin.id, false);
      throw error;
    }
    this.#tree.noteImage(id, this.#pin.id, true);
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
    const what = `Cannot write to snapshot ${JSON.stringify(this.#pin.name)} of ${this.#tree.place}`;
    throw new SpinneyError('ERR_READ_ONLY', `${what}: it is as it was`);
  }
}
