import { SpinneyError } from '../../../errors.js';
import type { BlobId, BlobRow, KeptImage, Pin, Pins } from '../../blob-store.js';
import { assertImageSize, noSuchPin } from '../../checks.js';
import type { DataFile } from '../data/data-file.js';
import type { SlotMap } from '../slot-map.js';
import type { PinTable } from './pin-table.js';

/** The pins of a file store, for any thread: the images that they keep, in whatever slots these are. */
export class PinnedImages implements Pins {
  readonly #place: string;
  readonly #map: SlotMap;
  readonly #table: PinTable;
  readonly #data: DataFile;
  readonly #assertOpen: () => void;

  constructor(place: string, map: SlotMap, table: PinTable, data: DataFile, assertOpen: () => void) {
    this.#place = place;
    this.#map = map;
    this.#table = table;
    this.#data = data;
    this.#assertOpen = assertOpen;
  }

  list(): readonly Pin[] {
    this.#assertOpen();
    return this.#table.pins();
  }

  lastId(): number {
    return this.#table.lastPin;
  }

  readBlob(pinId: number, id: BlobId, into: Uint8Array): void {
    assertImageSize(into);
    const pin = this.#find(pinId);
    if (pin === undefined) throw noSuchPin(pinId, this.#place);
    const slot = this.#table.holdBlob(pin, id);
    if (slot !== -1) {
      this.#data.readHeld(slot, id, into);
      return;
    }
    // It has all its blobs for as long as it is there.
    if (this.#find(pinId) === undefined) throw noSuchPin(pinId, this.#place);
    const what = `Cannot read blob ${id}: pin ${pinId} of ${this.#place} does not keep it`;
    throw new SpinneyError('ERR_BLOB_MISSING', what);
  }

  blobRow(pinId: number, id: BlobId): BlobRow | undefined {
    const pin = this.#find(pinId);
    return pin && this.#map.heldRow(this.#table.holdBlob(pin, id), id);
  }

  listBlobs(pinId: number): BlobId[] {
    const pin = this.#find(pinId);
    return pin === undefined ? [] : this.#table.listBlobs(pin);
  }

  countKept(): { images: number; own: ReadonlyMap<number, number> } {
    this.#assertOpen();
    return { images: this.#table.keptCount, own: this.#table.countOwn() };
  }

  listKept(): KeptImage[] {
    this.#assertOpen();
    return this.#table.listKept();
  }

  #find(id: number): Pin | undefined {
    return this.list().find((pin) => pin.id === id);
  }
}
