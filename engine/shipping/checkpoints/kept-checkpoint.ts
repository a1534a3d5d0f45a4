/** What a tree keeps for whoever ships it, as a store of its own: the blobs of one checkpoint, and the snapshots that there are. */
import {
  type BlobId,
  type BlobRow,
  type BlobStore,
  isSnapshot,
  type Pin,
  type Pins,
} from '../../store/blob-store.js';
import type { ShippedStore } from './ship-checkpoint.js';

/** The blobs of a pin, by their ids. */
type Rows = ReadonlyMap<BlobId, BlobRow>;

export class KeptCheckpoint implements ShippedStore {
  readonly pins: NonNullable<ShippedStore['pins']>;
  readonly #pin: Pin;
  readonly #kept: Pins;
  readonly #rows: Rows;

  /**
   * REQUIRES a store with pins, and that `pin` stays. A snapshot that is deleted later makes reading its images fail.
   * @throws ERR_NOT_FOUND where the pin is not there
   */
  constructor(store: BlobStore, pin: Pin) {
    const kept = store.pins!;
    this.#pin = pin;
    this.#kept = kept;
    const rows = new Map<number, Rows>();
    for (;;) {
      const snapshots = kept.list().filter((other) => isSnapshot(other) && other.id < pin.id);
      rows.clear();
      for (const { id } of [...snapshots, pin]) rows.set(id, rowsOf(kept, id));
      const after = kept.list();
      // One that is there now was there all the time, as ids are never used again.
      if (snapshots.every(({ id }) => after.some((other) => other.id === id))) {
        this.pins = {
          list: () => snapshots,
          lastId: () => kept.lastId(),
          listBlobs: (id) => [...rows.get(id)!.keys()],
          blobRow: (id, blob) => rows.get(id)!.get(blob),
          readBlob: (id, blob, into) => kept.readBlob(id, blob, into),
        };
        break;
      }
    }
    this.#rows = rows.get(pin.id)!;
  }

  listBlobs(): BlobId[] {
    return [...this.#rows.keys()];
  }

  blobRow(id: BlobId): BlobRow | undefined {
    return this.#rows.get(id);
  }

  readBlob(id: BlobId, into: Uint8Array): void {
    this.#kept.readBlob(this.#pin.id, id, into);
  }
}

function rowsOf(pins: Pins, pin: number): Rows {
  const rows = new Map<BlobId, BlobRow>();
  for (const id of pins.listBlobs(pin)) {
    const row = pins.blobRow(pin, id);
    if (row !== undefined) rows.set(id, row);
  }
  return rows;
}
