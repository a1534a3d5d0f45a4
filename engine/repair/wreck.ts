/**
 * The blobs of a store that may be damaged, which is only read: those that the manifest names, or, where the manifest is lost,
 * the newest sound image of each blob that is anywhere in blobs.dat.
 *
 * An image counts only with the right CRC and a sound structure. The lock is shared, so nobody writes meanwhile.
 */
import { Frame } from '../art/frame.js';
import { H_BLOB_ID, H_MAGIC, IMAGE_MAGIC } from '../art/layout.js';
import { diskError, readFully } from '../disk/io.js';
import { NodeDisk } from '../disk/node-disk.js';
import { SpinneyError } from '../errors.js';
import { BLOB_SIZE } from '../limits.js';
import type { WorkProgress } from '../progress.js';
import type { BlobId, CheckpointMark } from '../store/blob-store.js';
import { prepareDirectory } from '../store/file/directory.js';
import { openLocked } from '../store/file/lock.js';
import { type ManifestState, readManifest } from '../store/file/manifest/manifest-reader.js';
import { DATA_FILE } from '../store/file/names.js';
import { compareImage, imageCrc, imageRow, verifyImage } from '../store/image.js';
import { verifyBlob } from '../tree/verify/verify-blob.js';
import { walkImage } from './image-walk.js';

/**
 * What is left of a blob. `current`: the image that the tree is of. `older`: one of an earlier checkpoint. `damaged`: neither,
 * and a damaged one is there. `missing`: nothing.
 */
export type Remains = 'current' | 'older' | 'damaged' | 'missing';

interface Image {
  slot: number;
  generation: number;
  crc: number;
}

interface Found {
  remains: Remains;
  slot: number;
  generation: number;
  /** What is wrong with the image that should be there. */
  reason: string;
  /** Why it may not be the image that the tree is of, though it is sound. */
  doubt?: string;
}

export class Wreck {
  readonly dir: string;
  readonly disk = new NodeDisk();
  /** Undefined: lost, and `manifestLoss` says why. */
  readonly manifest: ManifestState | undefined;
  readonly manifestLoss: string | undefined;
  readonly #fd: number;
  readonly #slots: number;
  readonly #progress: WorkProgress;
  readonly #bytes = new Uint8Array(BLOB_SIZE);
  readonly #found = new Map<BlobId, Found>();
  /** By blob: its sound images, newest first, and slots whose header names it and which are damaged. */
  #sound: Map<BlobId, Image[]> | undefined;
  readonly #damaged = new Map<BlobId, Image[]>();
  /** The image read last. */
  readonly frame = new Frame(this.#bytes.buffer, 0);

  /** @throws ERR_NO_STORE, ERR_STORE_LOCKED, ERR_FORMAT_VERSION, ERR_MANIFEST_CORRUPT (no blobs.dat), ERR_IO */
  constructor(dir: string, progress: WorkProgress) {
    this.dir = dir;
    this.#progress = progress;
    prepareDirectory(this.disk, dir, { make: false });
    const fd = openLocked(this.disk, dir, { write: false, create: false });
    if (fd === undefined) {
      throw new SpinneyError('ERR_NO_STORE', `Cannot repair ${dir}: it has no ${DATA_FILE}`);
    }
    this.#fd = fd;
    try {
      this.#slots = Math.ceil(this.disk.size(fd) / BLOB_SIZE);
      try {
        this.manifest = readManifest(this.disk, dir);
      } catch (error) {
        if (!(error instanceof SpinneyError) || error.code !== 'ERR_MANIFEST_CORRUPT') throw error;
        this.manifestLoss = error.message;
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.disk.close(this.#fd);
  }

  get mark(): CheckpointMark | undefined {
    return this.manifest?.mark;
  }

  /** Blobs that belong to the tree, as far as the manifest tells; without one, all of which there is an image. */
  ids(): BlobId[] {
    if (this.manifest === undefined) return [...this.#images().keys()];
    const pending = new Set(this.mark?.pendingDeletes ?? []);
    return [...this.manifest.rows.keys()].filter((id) => !pending.has(id));
  }

  /** What is left of the blob; looked for in all of the file where it is not where it should be. */
  look(id: BlobId): Found {
    let found = this.#found.get(id);
    if (found === undefined) {
      found = this.#lookFor(id);
      this.#found.set(id, found);
    }
    return found;
  }

  /**
   * Reads what `look` found into `frame`, which holds it until the next call; false where that is nothing, or cannot be read
   * any more.
   */
  read(id: BlobId): boolean {
    const { remains, slot } = this.look(id);
    if (remains === 'missing') return false;
    return this.#readSlot(slot) === undefined;
  }

  #lookFor(id: BlobId): Found {
    const row = this.manifest?.rows.get(id);
    let reason = 'the store has no sound image of it';
    if (row !== undefined) {
      const problem = this.#readSlot(row.slot) ?? compareImage(this.#bytes, row) ?? this.#structure(id);
      if (problem === undefined) {
        return { remains: 'current', slot: row.slot, generation: row.generation, reason: '' };
      }
      reason = problem;
    }
    const [newest, ...others] = this.#images().get(id) ?? [];
    const [wreck] = this.#damaged.get(id) ?? [];
    if (newest !== undefined) {
      // Without a manifest the newest counts, unless a damaged one tells that it is newer.
      const isCurrent =
        this.manifest === undefined && !(wreck !== undefined && wreck.generation > newest.generation);
      if (!isCurrent && row === undefined && wreck !== undefined)
        reason = `its image in slot ${wreck.slot} is damaged`;
      const rivals = others.filter(
        (image) => image.generation === newest.generation && image.crc !== newest.crc,
      );
      if (isCurrent && rivals.length > 0) return { ...this.#likeliest([newest, ...rivals]), reason };
      return { remains: isCurrent ? 'current' : 'older', ...newest, reason };
    }
    if (row !== undefined) return { remains: 'damaged', slot: row.slot, generation: row.generation, reason };
    return wreck === undefined
      ? { remains: 'missing', slot: -1, generation: 0, reason }
      : { remains: 'damaged', ...wreck, reason };
  }

  /**
   * A checkpoint that a crash cut short leaves images of a number that the first one after it takes again, and without the
   * manifest nothing tells which of the two counts. Most likely the one with the newer records.
   */
  #likeliest(rivals: readonly Image[]): Omit<Found, 'reason'> {
    let likeliest: Image | undefined;
    let newest = -1;
    for (const image of rivals) {
      if (this.#readSlot(image.slot) !== undefined) continue;
      let version = 0;
      walkImage(this.frame, {
        record: (_rest, _value, own) => {
          version = Math.max(version, own);
        },
      });
      if (version <= newest) continue;
      newest = version;
      likeliest = image;
    }
    const { slot, generation } = likeliest ?? rivals[0]!;
    const doubt = `checkpoint ${generation} left several images of it, and nothing tells which one counts: that with the newest record is taken`;
    return { remains: 'current', slot, generation, doubt };
  }

  /** Sound images of all slots, read once. */
  #images(): Map<BlobId, Image[]> {
    if (this.#sound !== undefined) return this.#sound;
    const sound = new Map<BlobId, Image[]>();
    this.#progress.begin('looking for images', this.#slots);
    for (let slot = 0; slot < this.#slots; slot++) {
      this.#progress.step();
      if (this.#readSlot(slot) !== undefined) continue;
      const view = new DataView(this.#bytes.buffer);
      if (view.getUint32(H_MAGIC, true) !== IMAGE_MAGIC) continue;
      const id = view.getUint32(H_BLOB_ID, true);
      if (id === 0) continue;
      const { generation } = imageRow(this.#bytes);
      const isSound = verifyImage(this.#bytes, id) === undefined && this.#structure(id) === undefined;
      const images = isSound ? sound : this.#damaged;
      const known = images.get(id) ?? [];
      known.push({ slot, generation, crc: imageCrc(this.#bytes) });
      known.sort((a, b) => b.generation - a.generation);
      images.set(id, known);
    }
    this.#sound = sound;
    return sound;
  }

  #structure(id: BlobId): string | undefined {
    const facts = verifyBlob(this.frame, id);
    return typeof facts === 'string' ? facts : undefined;
  }

  /** What kept the slot from being read; the disk's own errors are damage, too. */
  #readSlot(slot: number): string | undefined {
    try {
      const count = readFully(this.disk, this.#fd, this.#bytes, 0, BLOB_SIZE, slot * BLOB_SIZE);
      return count < BLOB_SIZE ? `the file ends after ${count} bytes of it` : undefined;
    } catch (error) {
      return (diskError(`read slot ${slot} of ${DATA_FILE}`, error) as Error).message;
    }
  }
}
