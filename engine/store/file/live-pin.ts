/**
 * What a pin keeps, read beside the process that writes to the store: without its lock, and without asking it.
 *
 * A slot that a pin keeps is not written over as long as the pin is there, so the rows that the manifest tells once stay
 * true. Whoever reads asks `isThere` at the end: a pin that is there then was there all the time, as ids are never used again.
 */
import type { Disk } from '../../disk/disk.js';
import { SpinneyError } from '../../errors.js';
import { type BlobId, type BlobRow, type CheckpointMark, isSnapshot, type Pin } from '../blob-store.js';
import { DataFile } from './data/data-file.js';
import { type ManifestState, readManifest } from './manifest/manifest-reader.js';
import { DATA_FILE } from './names.js';
import { keeps } from './pins/pin-set.js';
import { SlotMap, type StoredRow } from './slot-map.js';

/** A manifest that is written meanwhile may look damaged: so often it is read again. */
const MOST_READS = 50;

/** The snapshots of a store, and which store it is. */
export interface LivePins {
  uuid: Uint8Array;
  /** By ascending id. */
  pins: readonly Pin[];
  /** The greatest id that a pin ever had. */
  lastPin: number;
}

export class LivePin {
  readonly pin: Pin;
  /** The 16 bytes of the store. */
  readonly uuid: Uint8Array;
  /** What a store that holds these images is to publish with them. */
  readonly mark: CheckpointMark;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #fd: number;
  readonly #data: DataFile;
  readonly #rows = new Map<BlobId, StoredRow>();

  /** @throws ERR_NOT_FOUND, ERR_MANIFEST_CORRUPT, ERR_FORMAT_VERSION, ERR_IO */
  constructor(disk: Disk, directory: string, pinId: number) {
    const state = readLiveManifest(disk, directory);
    const pin = state.pins.pins.find(({ id }) => id === pinId);
    if (pin === undefined)
      throw new SpinneyError('ERR_NOT_FOUND', `Cannot read pin ${pinId}: it is not in ${directory}`);
    this.pin = pin;
    this.uuid = state.uuid;
    for (const row of state.rows.values()) if (row.generation <= pin.generation) this.#rows.set(row.id, row);
    for (const row of state.pins.kept.values())
      if (keeps(pin, row.generation, row.lastPin)) this.#rows.set(row.id, row);
    const { lsn, generation } = pin;
    // Blobs that were made since have ids below the next one, too.
    const { mark, measure } = state;
    this.mark = { nextBlobId: 1, ...mark, lsn, generation, pendingDeletes: [], ...(measure && { measure }) };
    this.#disk = disk;
    this.#directory = directory;
    const path = `${directory}/${DATA_FILE}`;
    this.#fd = disk.open(path, { write: false });
    this.#data = new DataFile(disk, this.#fd, path, new SlotMap());
  }

  /** Of a store that another process may be writing to. */
  static list(disk: Disk, directory: string): LivePins {
    const { uuid, pins } = readLiveManifest(disk, directory);
    return { uuid, pins: pins.pins.filter(isSnapshot), lastPin: pins.lastPin };
  }

  /** Whether all that was read is what the pin keeps. */
  isThere(): boolean {
    const { uuid, pins } = LivePin.list(this.#disk, this.#directory);
    return Buffer.compare(uuid, this.uuid) === 0 && pins.some(({ id }) => id === this.pin.id);
  }

  listBlobs(): BlobId[] {
    return [...this.#rows.keys()].sort((a, b) => a - b);
  }

  hasBlob(id: BlobId): boolean {
    return this.#rows.has(id);
  }

  blobRow(id: BlobId): BlobRow | undefined {
    return this.#rows.get(id);
  }

  /** @throws ERR_BLOB_MISSING, ERR_BLOB_CORRUPT, ERR_IO */
  readBlob(id: BlobId, into: Uint8Array): void {
    const row = this.#rows.get(id);
    if (row === undefined) {
      const what = `Cannot read blob ${id}: pin ${this.pin.id} of ${this.#directory} does not keep it`;
      throw new SpinneyError('ERR_BLOB_MISSING', what);
    }
    this.#data.read(row, into);
  }

  close(): void {
    this.#disk.close(this.#fd);
  }
}

/** The manifest beside the process that writes it. @throws ERR_MANIFEST_CORRUPT, ERR_FORMAT_VERSION, ERR_IO */
export function readLiveManifest(disk: Disk, directory: string): ManifestState {
  for (let reads = 1; ; reads++) {
    try {
      return readManifest(disk, directory);
    } catch (error) {
      const isTorn = error instanceof SpinneyError && error.code === 'ERR_MANIFEST_CORRUPT';
      if (!isTorn || reads === MOST_READS) throw error;
    }
  }
}
