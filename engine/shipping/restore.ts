/**
 * Makes a store in an empty directory of what a remote has. Until it is whole the directory says so, and the next attempt begins anew; what
 * was made is made durable before.
 */
import { readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { diskError, writeFully } from '../disk/io.js';
import { NodeDisk } from '../disk/node-disk.js';
import { SpinneyError } from '../errors.js';
import { RestoredSegments } from '../journal/segments/restored-segments.js';
import { FileBlobStore } from '../store/file/file-blob-store.js';
import { countedNames, isOwnName, UNFINISHED_FILE } from '../store/file/names.js';
import type { ObjectStore } from '../store/object/object-store.js';
import type { Catalog } from './checkpoints/catalog.js';
import {
  type FetchProgress,
  fetchCheckpoint,
  keepOnly,
  restoreCheckpoint,
} from './checkpoints/fetch-images.js';
import { noteAbsent } from './images/absent-note.js';
import { recordsOf } from './records.js';

const COMMAND = 'mount --remote';
/** What belongs to the attempt, and not to who makes it. */
const MADE =
  /^(blobs\.dat|manifest(\.log|\.spare|\.old)?|journal[.-][0-9a-z.]+|remote-images|shipped-packs)$/;

export class RestoredStore {
  readonly #directory: string;
  readonly #disk: Disk = new NodeDisk();
  #store: FileBlobStore | undefined;
  #segments: RestoredSegments | undefined;
  /** Descriptor of the mark, which is locked; -1 once it is not. */
  #mark = -1;
  /** The last record that the store has. */
  lastLsn = 0;

  /**
   * @throws ERR_EXISTS where something is there, ERR_STORE_LOCKED where another process makes a store there, ERR_IO, ERR_NO_SPACE
   */
  constructor(directory: string) {
    this.#directory = directory;
    this.#disk.mkdir(directory);
    this.#assertMine(this.#names());
    this.#mark = this.#lockMark();
    try {
      // Another may have been here before it was locked.
      const names = this.#names();
      this.#assertMine(names);
      const advice = 'spinney mount --remote has not finished this store: run it again';
      const mark = Buffer.from(`${advice}\n${JSON.stringify({ command: COMMAND })}\n`);
      writeFully(this.#disk, this.#mark, mark, 0);
      this.#disk.fsync(this.#mark);
      for (const name of names) if (MADE.test(name)) rmSync(`${directory}/${name}`, { recursive: true });
      this.#disk.syncDirectory(directory);
      this.#disk.syncDirectory(dirname(directory));
    } catch (error) {
      this.close();
      throw diskError(`take over the remote in ${directory}`, error);
    }
  }

  /**
   * `isLazy`: images come when they are asked for; where they are is noted beside the store.
   * @throws as the object store, and as a store that is made
   */
  async restore(
    store: ObjectStore,
    manifest: { name: string; bytes: Uint8Array; catalog: Catalog } | undefined,
    isLazy: boolean,
    onProgress?: FetchProgress,
  ): Promise<void> {
    this.#store = FileBlobStore.open({ dir: this.#directory, disk: this.#disk, create: true });
    this.#segments = new RestoredSegments(this.#disk, this.#directory, this.#store.uuid);
    if (manifest === undefined) return;
    const { catalog } = manifest;
    const blobs = this.#store;
    if (isLazy) {
      noteAbsent(this.#directory, manifest);
      await restoreCheckpoint(catalog, blobs, async (images) => {
        const missing = keepOnly(images, blobs);
        blobs.reserveSlots(missing.length - blobs.readySlots());
        for (const image of missing) blobs.adoptBlob(image);
      });
    } else await fetchCheckpoint(store, catalog, blobs, onProgress);
    this.lastLsn = catalog.mark.lsn;
  }

  /** Adds what an object of the journal has. @throws ERR_REMOTE_CORRUPT, ERR_IO, ERR_NO_SPACE */
  replay(body: Uint8Array): void {
    const records = [...recordsOf(body)].filter(({ lsn }) => lsn > this.lastLsn);
    const first = records[0];
    if (first === undefined) return;
    if (first.lsn !== this.lastLsn + 1) throw missing(this.lastLsn + 1, first.lsn);
    this.#segments!.add(records);
    this.lastLsn = records.at(-1)!.lsn;
  }

  /** From here on it is a store. */
  finish(): void {
    this.#segments!.end();
    this.#store!.close();
    this.#store = undefined;
    this.#disk.unlink(`${this.#directory}/${UNFINISHED_FILE}`);
    this.#disk.syncDirectory(this.#directory);
    this.close();
  }

  /** Leaves what there is to the next attempt. */
  close(): void {
    this.#store?.close();
    this.#store = undefined;
    if (this.#mark >= 0) this.#disk.close(this.#mark);
    this.#mark = -1;
  }

  #names(): string[] {
    return countedNames(this.#disk.list(this.#directory));
  }

  /** What is there is nothing, or what an attempt before has left. */
  #assertMine(names: readonly string[]): void {
    const isBegun = names.includes(UNFINISHED_FILE) && commandOf(this.#directory) === COMMAND;
    const isMine =
      names.every(isOwnName) &&
      (isBegun || !names.some((name) => MADE.test(name) || name === UNFINISHED_FILE));
    if (!isMine) throw taken(this.#directory);
  }

  #lockMark(): number {
    const path = `${this.#directory}/${UNFINISHED_FILE}`;
    const fd = this.#disk.open(path, { write: true, create: true });
    if (this.#disk.lock(fd, 'exclusive') && this.#disk.isSameFile(fd, path)) return fd;
    this.#disk.close(fd);
    throw new SpinneyError(
      'ERR_STORE_LOCKED',
      `Cannot take over the remote in ${this.#directory}: another process makes a store there`,
    );
  }
}

function commandOf(directory: string): unknown {
  try {
    const line = readFileSync(`${directory}/${UNFINISHED_FILE}`, 'utf8').split('\n')[1]!;
    return (JSON.parse(line) as { command?: unknown }).command;
  } catch {
    // Nothing is written in a file that was just made: by an attempt that died there.
    return COMMAND;
  }
}

function taken(directory: string): SpinneyError {
  return new SpinneyError(
    'ERR_EXISTS',
    `Cannot take over the remote in ${directory}: something is there; give an empty directory, or one that does not exist`,
  );
}

export function missing(expected: number, found: number): SpinneyError {
  return new SpinneyError(
    'ERR_REMOTE_CORRUPT',
    `Cannot read the remote's journal: after record ${expected - 1} comes ${found}; what is between is missing`,
  );
}
