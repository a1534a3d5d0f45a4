/**
 * A BlobStore in a directory: `blobs.dat` with the images, `manifest` and `manifest.log` with the map from blobs to
 * slots and the checkpoint's mark. engine/FORMAT.md tells the bytes.
 *
 * Threads: the slot map lies in shared memory and the data file's descriptor belongs to the process, so every
 * thread can read (`share`, `attach`). One thread at a time is the writer: the opener, until it hands over.
 *
 * Invariants
 * - writeBlob writes only to slots that no durable manifest refers to (shadow writes); the map is changed after the
 *   write, so a failed write leaves the earlier version in place.
 * - flush makes the images durable before the record that refers to them is written.
 * - A superseded slot is free after the next publish that is without doubt; one whose image no publish has been tried
 *   with (`#unpublished`) is free at once; one whose image a pin keeps when the publish that removes the last such pin is
 *   without doubt.
 */
import { randomBytes } from 'node:crypto';
import type { MeasureName } from '../../art/measure.js';
import type { Disk } from '../../disk/disk.js';
import { diskError } from '../../disk/io.js';
import { NodeDisk } from '../../disk/node-disk.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import { type AbsentImages, ImageBoard } from '../absent-images.js';
import type {
  BlobId,
  BlobRow,
  BlobStore,
  CheckpointMark,
  ImagePages,
  PinChanges,
  Pins,
} from '../blob-store.js';
import {
  assertBlobId,
  assertImageSize,
  assertPendingDeletes,
  assertPinChanges,
  copyMark,
} from '../checks.js';
import { imageCrc, imageRow, verifyIdentity } from '../image.js';
import { DataFile } from './data/data-file.js';
import { PageFile, type PageFileHandle } from './data/page-file.js';
import { examineDirectory, prepareDirectory } from './directory.js';
import { openLocked, writePid } from './lock.js';
import { manifestDamage } from './manifest/manifest-check.js';
import { type ManifestState, newState, readManifest } from './manifest/manifest-reader.js';
import { createLog, type Delta, ManifestWriter, type Snapshot } from './manifest/manifest-writer.js';
import { UUID_BYTES } from './manifest/record.js';
import { DATA_FILE, MANIFEST_FILE } from './names.js';
import { PinTable } from './pins/pin-table.js';
import { PinnedImages } from './pins/pinned-images.js';
import { MAX_SLOTS, SlotMap } from './slot-map.js';
import { Slots } from './slots.js';

export interface FileBlobStoreOptions {
  dir: string;
  /** What the directory is on. Default: the machine's disk. */
  disk?: Disk;
  /** Takes a shared lock and writes nothing. Default false. */
  readOnly?: boolean;
  /** Makes the store where there is none. Default false. */
  create?: boolean;
  /** Of makeImageBoard: where images are asked for that are not in the store. */
  images?: SharedArrayBuffer;
}

/** What another thread of the process needs to attach; can be posted to it. */
export interface FileBlobStoreHandle {
  directory: string;
  fd: number;
  pages: PageFileHandle | undefined;
  map: SharedArrayBuffer;
  pins: SharedArrayBuffer;
  images: SharedArrayBuffer | undefined;
}

/** What a store has of others. */
interface Sharing {
  shared?: FileBlobStoreHandle;
  images: SharedArrayBuffer | undefined;
  absent?: AbsentImages | undefined;
}

/** What only the writer has. */
interface Writer {
  slots: Slots;
  manifest: ManifestWriter;
}

export class FileBlobStore implements BlobStore {
  readonly directory: string;
  readonly pins: Pins;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #fd: number;
  readonly #map: SlotMap;
  readonly #pins: PinTable;
  readonly #data: DataFile;
  readonly #owner: boolean;
  readonly #images: SharedArrayBuffer | undefined;
  /** The store's own, 16 bytes; known to the opener only. */
  #uuid: Uint8Array | undefined;
  #hasRun = false;
  /** The measure that the last published mark tells of; known to the opener and the writer only. */
  #measure: MeasureName | undefined;
  #writer: Writer | undefined;
  #closed = false;

  // What the writer has staged.
  readonly #stagedWrites = new Set<BlobId>();
  readonly #stagedDeletes = new Set<BlobId>();
  #stagedMark: CheckpointMark | undefined;
  /** Slots whose image no publish has been tried with. */
  readonly #unpublished = new Set<number>();
  #flushFailed = false;

  private constructor(
    disk: Disk,
    directory: string,
    fd: number,
    { shared, images, absent = images && new ImageBoard(images) }: Sharing,
  ) {
    this.#disk = disk;
    this.#images = images;
    this.directory = directory;
    this.#path = `${directory}/${DATA_FILE}`;
    this.#fd = fd;
    this.#map = new SlotMap(shared?.map);
    this.#pins = new PinTable(this.#map, shared?.pins);
    this.#data = new DataFile(disk, fd, this.#path, this.#map, absent);
    if (shared?.pages !== undefined) this.#data.pages = new PageFile(disk, shared.pages);
    this.#owner = shared === undefined;
    this.pins = new PinnedImages(directory, this.#map, this.#pins, this.#data, () => this.#assertOpen());
  }

  /** Whether the directory holds a store, whole or damaged. */
  static exists(dir: string, disk: Disk): boolean {
    return examineDirectory(disk, dir).state === 'store';
  }

  /**
   * Opens the store in a directory and takes its lock.
   * @throws ERR_NO_STORE (there is none, or something else is there: nothing was changed), ERR_UNSAFE, ERR_STORE_LOCKED,
   *   ERR_FORMAT_VERSION, ERR_MANIFEST_CORRUPT, ERR_NO_SPACE, ERR_IO
   */
  static open(options: FileBlobStoreOptions): FileBlobStore {
    const { dir, disk = new NodeDisk(), readOnly = false, create = false, images } = options;
    const make = create && !readOnly;
    prepareDirectory(disk, dir, { make });
    const hasManifest = disk.exists(`${dir}/${MANIFEST_FILE}`);
    const fd = openLocked(disk, dir, { write: !readOnly, create: make && !hasManifest });
    if (fd === undefined) {
      if (!hasManifest) throw new SpinneyError('ERR_NO_STORE', `Cannot open ${dir}: it holds no store`);
      throw new SpinneyError('ERR_MANIFEST_CORRUPT', `Cannot open ${dir}/${DATA_FILE}: the file is missing`);
    }
    const store = new FileBlobStore(disk, dir, fd, { images });
    try {
      disk.expectRandomReads(fd);
      store.#load(make, readOnly);
      // Not before, as it is the data file by which an interrupted creation is told.
      store.#data.pages = PageFile.open(disk, dir, !readOnly);
      return store;
    } catch (error) {
      store.close();
      throw diskError(`open the store ${dir}`, error);
    }
  }

  /**
   * Opens, in another thread, a store that this process has open. A writer takes over from one that has called
   * `handOver`. The opener's `close` ends the handle's use.
   * `absent`: where this thread has images that are not in the store; default: where the opener's are asked for.
   * @throws ERR_INVALID_ARGUMENT if there is a writer already.
   */
  static attach(
    handle: FileBlobStoreHandle,
    disk: Disk,
    role: 'reader' | 'writer',
    absent?: AbsentImages,
  ): FileBlobStore {
    const { directory, fd, images } = handle;
    const store = new FileBlobStore(disk, directory, fd, { shared: handle, images, absent });
    if (role === 'writer') store.#becomeWriter(readManifest(disk, handle.directory));
    return store;
  }

  share(): FileBlobStoreHandle {
    this.#assertOpen();
    const { directory } = this;
    return {
      directory,
      fd: this.#fd,
      pages: this.#data.pages?.handle,
      map: this.#map.buffer,
      pins: this.#pins.buffer,
      images: this.#images,
    };
  }

  /**
   * Stops being the writer, so that another thread can be; reading goes on.
   * @throws ERR_INVALID_ARGUMENT if something is staged; what flush throws, if an earlier flush was in doubt.
   */
  handOver(): void {
    const writer = this.#asWriter();
    if (this.#stagedWrites.size > 0 || this.#stagedDeletes.size > 0) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot hand over ${this.directory}: something is staged`,
      );
    }
    if (this.needsFlush()) this.flush();
    writer.manifest.close();
    this.#writer = undefined;
    this.#map.releaseWriter();
  }

  readBlob(id: BlobId, into: Uint8Array): void {
    this.#assertOpen();
    assertImageSize(into);
    const slot = this.#map.holdBlob(id);
    if (slot === -1) {
      throw new SpinneyError('ERR_BLOB_MISSING', `Cannot read blob ${id}: it is not in ${this.directory}`);
    }
    this.#data.readHeld(slot, id, into);
  }

  /** See BlobStore. */
  verifyIndex(): string | undefined {
    this.#assertOpen();
    return manifestDamage(this.#disk, this.directory);
  }

  /** See BlobStore. */
  readAhead(ids: readonly BlobId[]): void {
    this.#assertOpen();
    for (const id of ids) {
      const slot = this.#map.holdBlob(id);
      if (slot === -1) continue;
      try {
        this.#data.readAhead(slot, id);
      } finally {
        this.#map.letGo(slot);
      }
    }
  }

  /** @param image sealed for `id` (see sealImage). */
  writeBlob(id: BlobId, image: Uint8Array): void {
    this.#asWriter();
    assertBlobId(id);
    assertImageSize(image);
    const difference = verifyIdentity(image, id);
    if (difference !== undefined) {
      throw new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot write blob ${id}: ${difference}`);
    }
    this.#stage({ ...imageRow(image), id, crc: imageCrc(image) }, image);
  }

  /** As `writeBlob`, of an image that is not there yet: until it is, whoever reads it is given it by `images`. The slot has its disk space. */
  adoptBlob(row: BlobRow & { crc: number }): void {
    assertBlobId(row.id);
    this.#stage(row, undefined);
  }

  #stage(row: BlobRow & { crc: number }, image: Uint8Array | undefined): void {
    const { slots } = this.#asWriter();
    const { id } = row;
    const newest = this.#pins.pins().at(-1);
    if (newest !== undefined && row.generation <= newest.generation) {
      const what = `its generation ${row.generation} is not above that of pin ${newest.id}`;
      throw new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot write blob ${id}: ${what}`);
    }
    const slot = slots.take();
    try {
      if (image !== undefined) this.#data.write(id, slot, image);
    } catch (error) {
      slots.release(slot);
      throw error;
    }
    this.#unpublished.add(slot);
    this.#stagedWrites.add(id);
    this.#stagedDeletes.delete(id);
    this.#leave(id, () => this.#map.set({ ...row, slot }));
    this.#data.syncNowAndThen();
  }

  deleteBlob(id: BlobId): void {
    this.#asWriter();
    if (!this.#map.has(id)) return;
    this.#stagedWrites.delete(id);
    this.#stagedDeletes.add(id);
    this.#leave(id, () => this.#map.remove(id));
  }

  listBlobs(): BlobId[] {
    this.#assertOpen();
    return this.#map.list();
  }

  hasBlob(id: BlobId): boolean {
    this.#assertOpen();
    return this.#map.has(id);
  }

  /** A mark whose flush failed stays staged, as everything else does but changes of pins. */
  flush(mark?: CheckpointMark, changes: PinChanges = {}): void {
    const { slots, manifest } = this.#asWriter();
    const { add, remove = [] } = changes;
    assertPinChanges(changes, this.pins);
    if (mark !== undefined) {
      assertPendingDeletes(mark, MAX_SLOTS);
      this.#stagedMark = copyMark(mark);
    }
    const changesPins = add !== undefined || remove.length > 0;
    if (!this.needsFlush() && !changesPins) return;
    if (add !== undefined && !manifest.reserve(slots.end, this.#pins.reservedBytes(slots.end, add)))
      throw new SpinneyError('ERR_NO_SPACE', `Cannot pin in ${this.directory}: no space left on the disk`);
    this.#flushFailed = true;
    this.#data.sync();
    const newMark = this.#stagedMark;
    if (newMark !== undefined) manifest.measure = newMark.measure;
    const delta: Delta = {
      rows: this.#map.rows(this.#stagedWrites),
      deletes: [...this.#stagedDeletes],
      mark: newMark,
      pins: changesPins
        ? { lastPin: add?.id ?? this.#pins.lastPin, pins: add ? [add] : [], removed: remove, kept: [] }
        : undefined,
    };
    const whole = () => this.#whole(newMark, changes);
    try {
      manifest.publish(delta, whole, this.#map.blobCount, this.#pins.snapshotBytes);
    } catch (error) {
      // It may have been published all the same: then a manifest on disk refers to the staged slots.
      if (manifest.inDoubt) this.#unpublished.clear();
      throw error;
    }
    this.#unpublished.clear();
    if (newMark !== undefined) {
      this.#map.setMark(newMark);
      this.#measure = newMark.measure;
    }
    this.#stagedWrites.clear();
    this.#stagedDeletes.clear();
    this.#stagedMark = undefined;
    this.#flushFailed = false;
    if (remove.length > 0) for (const slot of this.#pins.remove(remove)) slots.release(slot);
    if (add !== undefined) this.#pins.add({ ...add });
    slots.published();
  }

  readMark(): CheckpointMark | undefined {
    this.#assertOpen();
    const mark = this.#map.mark();
    return mark === undefined || this.#measure === undefined ? mark : { ...mark, measure: this.#measure };
  }

  needsFlush(): boolean {
    return (
      this.#stagedWrites.size > 0 ||
      this.#stagedDeletes.size > 0 ||
      this.#stagedMark !== undefined ||
      this.#flushFailed
    );
  }

  blobRow(id: BlobId): BlobRow | undefined {
    this.#assertOpen();
    return this.#map.heldRow(this.#map.holdBlob(id), id);
  }

  imagePages(keptBytes: number): ImagePages | undefined {
    this.#assertOpen();
    return this.#data.imagePages(keptBytes);
  }

  readySlots(): number {
    return this.#asWriter().slots.ready;
  }

  reserveSlots(count: number): number {
    const { slots, manifest } = this.#asWriter();
    const end = slots.end + count;
    return slots.reserve(count, manifest.reserve(end, this.#pins.reservedBytes(end)));
  }

  trimSlots(keep: number): void {
    this.#writer?.slots.trim(keep);
  }

  freeBytes(): number {
    return this.#disk.freeBytes(this.directory);
  }

  /** Bytes of the data file, holes included. */
  diskBytes(): number {
    this.#assertOpen();
    return this.#disk.size(this.#fd);
  }

  /** Drops what is staged. The opener's close also gives the lock back; threads attached must be done by then. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    try {
      if (this.#writer !== undefined) {
        this.#map.releaseWriter();
        this.#writer.manifest.close();
      }
    } finally {
      this.#writer = undefined;
      if (this.#owner) {
        this.#data.pages?.close();
        this.#disk.close(this.#fd);
      }
    }
  }

  /** The 16 bytes that tell this store from all others, and that bind its journal to it. REQUIRES the opener. */
  get uuid(): Uint8Array {
    if (this.#uuid !== undefined) return this.#uuid;
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot tell the uuid of ${this.directory}: ask its opener`,
    );
  }

  /** Whether the manifest says that there is a record of the store's last run. REQUIRES the opener. */
  get hasRun(): boolean {
    return this.#hasRun;
  }

  /** Has the manifest say so, durably; the record must be durable. Throws ERR_NO_SPACE, ERR_IO. */
  noteRun(): void {
    const { manifest } = this.#asWriter();
    if (this.#hasRun) return;
    manifest.setHasRun();
    manifest.writeSnapshot(this.#whole(undefined));
    this.#hasRun = true;
  }

  #assertOpen(): void {
    if (this.#closed)
      throw new SpinneyError('ERR_CLOSED', `Cannot use the store ${this.directory}: it is closed`);
  }

  #asWriter(): Writer {
    this.#assertOpen();
    if (this.#writer !== undefined) return this.#writer;
    throw new SpinneyError(
      'ERR_READ_ONLY',
      `Cannot change the store ${this.directory}: this open of it only reads`,
    );
  }

  /** Fills the map from the files; makes them first if there are none. The lock is held. */
  #load(make: boolean, readOnly: boolean): void {
    const isNew = !this.#disk.exists(`${this.directory}/${MANIFEST_FILE}`);
    if (isNew) {
      if (this.#disk.size(this.#fd) > 0) {
        const what = `Cannot open ${this.directory}/${MANIFEST_FILE}: it is missing beside a filled ${DATA_FILE}`;
        throw new SpinneyError('ERR_MANIFEST_CORRUPT', what);
      }
      if (!make) throw new SpinneyError('ERR_NO_STORE', `Cannot open ${this.directory}: it holds no store`);
    }
    // For a new store this makes the data file durable before any other file, by which an interrupted creation is
    // told from a foreign directory. For an old one it makes the newest manifest durable before anything builds on it.
    if (!readOnly) {
      this.#disk.syncDirectory(this.directory);
      writePid(this.#disk, this.directory);
    }
    const state = isNew ? this.#createFiles() : readManifest(this.#disk, this.directory);
    this.#uuid = state.uuid;
    this.#hasRun = state.hasRun;
    this.#measure = state.measure;
    for (const row of state.rows.values()) this.#map.set(row);
    this.#pins.load(state.pins);
    if (state.mark !== undefined) this.#map.setMark(state.mark);
    if (readOnly) return;
    const { slots, manifest } = this.#becomeWriter(state);
    // Deltas of an earlier process may be seen without being durable, so the new one starts from a snapshot.
    if (isNew || state.sequence > state.base) {
      manifest.writeSnapshot(this.#whole(undefined));
    }
    // An empty file is what an interrupted creation leaves. A hole takes no space.
    if (slots.end === 0) this.#disk.truncate(this.#fd, BLOB_SIZE);
  }

  #createFiles(): ManifestState {
    const uuid = randomBytes(UUID_BYTES);
    const logSize = createLog(this.#disk, this.directory, uuid);
    this.#disk.syncDirectory(this.directory);
    return newState(uuid, logSize);
  }

  #becomeWriter(state: ManifestState): Writer {
    if (!this.#map.claimWriter()) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot write to ${this.directory}: it has a writer already`,
      );
    }
    try {
      const slots = new Slots(this.#disk, this.#fd, this.#path, this.#map, this.#pins);
      this.#writer = { slots, manifest: new ManifestWriter(this.#disk, this.directory, state) };
      return this.#writer;
    } catch (error) {
      this.#map.releaseWriter();
      throw error;
    }
  }

  /** All that holds once this mark and these changes do. */
  #whole(newMark: CheckpointMark | undefined, changes: PinChanges = {}): Snapshot {
    return {
      rows: this.#map.rows(this.#map.list()),
      mark: newMark ?? this.#map.mark(),
      pins: this.#pins.snapshot(changes),
    };
  }

  /** Has the blob leave the slot that it is in, if any, which is free then, or after the next publish, or is kept. */
  #leave(id: BlobId, unmap: () => void): void {
    const { slots } = this.#asWriter();
    const slot = this.#map.slotOf(id);
    const isKept = slot !== -1 && this.#pins.keep(slot, id);
    unmap();
    if (slot === -1 || isKept) return;
    this.#data.forget(slot);
    if (this.#unpublished.delete(slot)) slots.release(slot);
    else slots.retire(slot);
  }
}
