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
 *   with (`#unpublished`) is free at once.
 * - After a failed fdatasync of blobs.dat the kernel may have dropped what was written while still showing it:
 *   the images that it covered are written again before the next one.
 */
import { randomBytes } from 'node:crypto';
import type { MeasureName } from '../../art/measure.js';
import type { Disk } from '../../disk/disk.js';
import { diskError, readFully, writeFully } from '../../disk/io.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import type { BlobId, BlobRow, BlobStore, CheckpointMark } from '../blob-store.js';
import { assertBlobId, assertImageSize, assertPendingDeletes, copyMark } from '../checks.js';
import { compareImage, imageCrc, imageRow, verifyIdentity } from '../image.js';
import { examineDirectory, prepareDirectory } from './directory.js';
import { openLocked, writePid } from './lock.js';
import { LOG_RECORDS_AT, type ManifestState, readManifest } from './manifest-reader.js';
import { createLog, type Delta, ManifestWriter } from './manifest-writer.js';
import { DATA_FILE, MANIFEST_FILE } from './names.js';
import { UUID_BYTES } from './record.js';
import { MAX_SLOTS, SlotMap, type StoredRow } from './slot-map.js';
import { Slots } from './slots.js';

/** Images that are written before a sync comes between. */
const MOST_UNSYNCED = 32;

export interface FileBlobStoreOptions {
  dir: string;
  disk: Disk;
  /** Takes a shared lock and writes nothing. Default false. */
  readOnly?: boolean;
  /** Makes the store where there is none. Default false. */
  create?: boolean;
}

/** What another thread of the process needs to attach; can be posted to it. */
export interface FileBlobStoreHandle {
  directory: string;
  fd: number;
  map: SharedArrayBuffer;
}

/** What only the writer has. */
interface Writer {
  slots: Slots;
  manifest: ManifestWriter;
}

export class FileBlobStore implements BlobStore {
  readonly directory: string;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #fd: number;
  readonly #map: SlotMap;
  readonly #owner: boolean;
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
  /** Slots written to since the last fdatasync of the data file that succeeded. */
  readonly #unsynced = new Set<number>();
  #syncFailed = false;
  #flushFailed = false;

  private constructor(disk: Disk, directory: string, fd: number, map: SlotMap, owner: boolean) {
    this.#disk = disk;
    this.directory = directory;
    this.#path = `${directory}/${DATA_FILE}`;
    this.#fd = fd;
    this.#map = map;
    this.#owner = owner;
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
    const { dir, disk, readOnly = false, create = false } = options;
    const make = create && !readOnly;
    prepareDirectory(disk, dir, { make });
    const hasManifest = disk.exists(`${dir}/${MANIFEST_FILE}`);
    const fd = openLocked(disk, dir, { write: !readOnly, create: make && !hasManifest });
    if (fd === undefined) {
      if (!hasManifest) throw new SpinneyError('ERR_NO_STORE', `Cannot open ${dir}: it holds no store`);
      throw new SpinneyError('ERR_MANIFEST_CORRUPT', `Cannot open ${dir}/${DATA_FILE}: the file is missing`);
    }
    const store = new FileBlobStore(disk, dir, fd, new SlotMap(), true);
    try {
      disk.expectRandomReads(fd);
      store.#load(make, readOnly);
      return store;
    } catch (error) {
      store.close();
      throw diskError(`open the store ${dir}`, error);
    }
  }

  /**
   * Opens, in another thread, a store that this process has open. A writer takes over from one that has called
   * `handOver`. The opener's `close` ends the handle's use.
   * @throws ERR_INVALID_ARGUMENT if there is a writer already.
   */
  static attach(handle: FileBlobStoreHandle, disk: Disk, role: 'reader' | 'writer'): FileBlobStore {
    const store = new FileBlobStore(disk, handle.directory, handle.fd, new SlotMap(handle.map), false);
    if (role === 'writer') store.#becomeWriter(readManifest(disk, handle.directory));
    return store;
  }

  share(): FileBlobStoreHandle {
    this.#assertOpen();
    return { directory: this.directory, fd: this.#fd, map: this.#map.buffer };
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
    const slot = this.#map.pin(id);
    if (slot === -1) {
      throw new SpinneyError('ERR_BLOB_MISSING', `Cannot read blob ${id}: it is not in ${this.directory}`);
    }
    try {
      this.#readSlot(this.#map.rowAt(slot, id), into);
    } finally {
      this.#map.unpin(slot);
    }
  }

  /** See BlobStore. A slot may be given to another blob meanwhile: then the hint was of no use, and nothing worse. */
  readAhead(ids: readonly BlobId[]): void {
    this.#assertOpen();
    for (const id of ids) {
      const slot = this.#map.pin(id);
      if (slot === -1) continue;
      this.#map.unpin(slot);
      this.#disk.readAhead(this.#fd, slot * BLOB_SIZE, BLOB_SIZE);
    }
  }

  /** @param image sealed for `id` (see sealImage). */
  writeBlob(id: BlobId, image: Uint8Array): void {
    const { slots } = this.#asWriter();
    assertBlobId(id);
    assertImageSize(image);
    const difference = verifyIdentity(image, id);
    if (difference !== undefined) {
      throw new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot write blob ${id}: ${difference}`);
    }
    const slot = slots.take();
    try {
      writeFully(this.#disk, this.#fd, image, slot * BLOB_SIZE);
    } catch (error) {
      slots.release(slot);
      throw diskError(`write blob ${id} to slot ${slot} of ${this.#path}`, error);
    }
    this.#unpublished.add(slot);
    this.#unsynced.add(slot);
    this.#stagedWrites.add(id);
    this.#stagedDeletes.delete(id);
    this.#giveUp(this.#map.set({ ...imageRow(image), id, slot, crc: imageCrc(image) }));
    // What is left to the flush would hold up those who keep step with the writing.
    if (this.#unsynced.size >= MOST_UNSYNCED && !this.#syncFailed) this.#syncImages();
  }

  deleteBlob(id: BlobId): void {
    this.#asWriter();
    const slot = this.#map.remove(id);
    if (slot === -1) return;
    this.#stagedWrites.delete(id);
    this.#stagedDeletes.add(id);
    this.#giveUp(slot);
  }

  listBlobs(): BlobId[] {
    this.#assertOpen();
    return this.#map.list();
  }

  hasBlob(id: BlobId): boolean {
    this.#assertOpen();
    return this.#map.has(id);
  }

  /** A mark whose flush failed stays staged, as everything else does. */
  flush(mark?: CheckpointMark): void {
    const { slots, manifest } = this.#asWriter();
    if (mark !== undefined) {
      assertPendingDeletes(mark, MAX_SLOTS);
      this.#stagedMark = copyMark(mark);
    }
    if (!this.needsFlush()) return;
    this.#flushFailed = true;
    this.#syncImages();
    const newMark = this.#stagedMark;
    if (newMark !== undefined) manifest.measure = newMark.measure;
    const delta: Delta = {
      rows: this.#rows(this.#stagedWrites),
      deletes: [...this.#stagedDeletes],
      mark: newMark,
    };
    const whole = () => ({ rows: this.#rows(this.#map.list()), mark: newMark ?? this.#map.mark() });
    try {
      manifest.publish(delta, whole, this.#map.blobCount);
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
    const slot = this.#map.pin(id);
    if (slot === -1) return undefined;
    const { slot: _slot, crc: _crc, ...row } = this.#map.rowAt(slot, id);
    this.#map.unpin(slot);
    return row;
  }

  readySlots(): number {
    return this.#asWriter().slots.ready;
  }

  reserveSlots(count: number): number {
    const { slots, manifest } = this.#asWriter();
    return slots.reserve(count, manifest.reserve(slots.end + count));
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
      if (this.#owner) this.#disk.close(this.#fd);
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
    manifest.writeSnapshot({ rows: this.#rows(this.#map.list()), mark: this.#map.mark() });
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
    if (state.mark !== undefined) this.#map.setMark(state.mark);
    if (readOnly) return;
    const { slots, manifest } = this.#becomeWriter(state);
    // Deltas of an earlier process may be seen without being durable, so the new one starts from a snapshot.
    if (isNew || state.sequence > state.base) {
      manifest.writeSnapshot({ rows: [...state.rows.values()], mark: state.mark });
    }
    // An empty file is what an interrupted creation leaves. A hole takes no space.
    if (slots.end === 0) this.#disk.truncate(this.#fd, BLOB_SIZE);
  }

  #createFiles(): ManifestState {
    const uuid = randomBytes(UUID_BYTES);
    const logSize = createLog(this.#disk, this.directory, uuid);
    this.#disk.syncDirectory(this.directory);
    return {
      uuid,
      base: 0,
      sequence: 0,
      logEnd: LOG_RECORDS_AT,
      logSize,
      rows: new Map(),
      mark: undefined,
      hasRun: false,
      measure: undefined,
    };
  }

  #becomeWriter(state: ManifestState): Writer {
    if (!this.#map.claimWriter()) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot write to ${this.directory}: it has a writer already`,
      );
    }
    try {
      const slots = new Slots(this.#disk, this.#fd, this.#path, this.#map);
      this.#writer = { slots, manifest: new ManifestWriter(this.#disk, this.directory, state) };
      return this.#writer;
    } catch (error) {
      this.#map.releaseWriter();
      throw error;
    }
  }

  /** Reads a slot that nobody writes to and checks that it holds the image that `row` tells of. */
  #readSlot(row: StoredRow, into: Uint8Array): void {
    const { id, slot } = row;
    const where = `blob ${id} in slot ${slot} of ${this.#path}`;
    let count: number;
    try {
      count = readFully(this.#disk, this.#fd, into, 0, BLOB_SIZE, slot * BLOB_SIZE);
    } catch (error) {
      throw diskError(`read ${where}`, error);
    }
    const difference =
      count < BLOB_SIZE ? `the file ends after ${count} bytes of it` : compareImage(into, row);
    if (difference !== undefined) {
      throw new SpinneyError('ERR_BLOB_CORRUPT', `Cannot read ${where}: ${difference}`);
    }
  }

  /** Makes the staged images durable. */
  #syncImages(): void {
    if (this.#unsynced.size === 0) return;
    try {
      if (this.#syncFailed) this.#rewriteUnsynced();
      this.#disk.fdatasync(this.#fd);
    } catch (error) {
      this.#syncFailed = true;
      throw diskError(`make ${this.#path} durable`, error);
    }
    this.#unsynced.clear();
    this.#syncFailed = false;
  }

  #rewriteUnsynced(): void {
    const image = new Uint8Array(BLOB_SIZE);
    for (const slot of this.#unsynced) {
      this.#readSlot(this.#map.rowAt(slot, this.#map.idAt(slot)), image);
      writeFully(this.#disk, this.#fd, image, slot * BLOB_SIZE);
    }
  }

  /** Rows of blobs that the store has, for the manifest. */
  #rows(ids: Iterable<BlobId>): StoredRow[] {
    return Array.from(ids, (id) => {
      const slot = this.#map.slotOf(id);
      if (slot === -1)
        throw new SpinneyError('ERR_BLOB_MISSING', `Cannot publish blob ${id}: it has no slot`);
      return this.#map.rowAt(slot, id);
    });
  }

  /** Frees a slot that was just unmapped, now or after the next publish; -1 is none. */
  #giveUp(slot: number): void {
    if (slot === -1) return;
    const { slots } = this.#asWriter();
    this.#unsynced.delete(slot);
    if (this.#unpublished.delete(slot)) slots.release(slot);
    else slots.retire(slot);
  }
}
