/**
 * Brings contents of files into a backup: by reflink where the filesystem can, else with holes kept.
 *
 * What has its name there is whole and durable: copies are made under `content/copies`, many are made durable at once, and
 * only then get their names. So a run that was cut short, by a power cut too, goes on where it was.
 */
import { fstatSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { reasonOf, SpinneyError } from '../../engine/errors.js';
import { contentPath } from '../filesystem/contents/content.js';
import { copiesDirectory, copyPath } from '../filesystem/contents/content-copy.js';
import { newFileStatus, writeFully } from '../filesystem/contents/disk/content-disk.js';
import { copyData } from '../filesystem/contents/disk/sparse-copy.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { BackingError, EDQUOT, ENOENT, ENOSPC } from '../filesystem/errno.js';
import type { RemoteContents } from './remote-contents.js';

/** What may have to be copied again after a kill. */
const MOST_UNSYNCED_FILES = 4_096;
const MOST_UNSYNCED_BYTES = 1024 * 1024 * 1024;
const LOOK_AGAIN_MS = 20;
const LONGEST_WAIT_MS = 10 * 60_000;

export interface ContentCounts {
  files: number;
  /** Of them, by reflink. */
  reflinked: number;
  /** As files show them: holes count. */
  bytes: number;
  skipped: number;
  /** Of the files, those that came from the store's remote. */
  fetched: number;
}

export interface WantedContent {
  ino: number;
  born: number;
  /** How people call the file. */
  where: string;
  /** A content that is missing is one of no bytes. */
  mayBeMissing: boolean;
}

export interface ContentPlaces {
  /** Directories of contents. */
  from: string;
  to: string;
  /** Contents of files that are not born later are in the backup already. */
  baseSnapshot: number;
  /** The id that the newest snapshot has, or had. A file that is written may be content of a later snapshot, too, while it is copied. */
  lastSnapshot: () => number;
  /** Of a store whose contents may be there alone. */
  remote: RemoteContents | undefined;
}

export class ContentCopies {
  readonly counts: ContentCounts = { files: 0, reflinked: 0, bytes: 0, skipped: 0, fetched: 0 };
  readonly #disk = new SystemDisk();
  readonly #status = newFileStatus();
  readonly #there = newFileStatus();
  readonly #places: ContentPlaces;
  readonly #copied: (bytes: number) => void;
  #unsynced: { from: string; to: string }[] = [];
  #unsyncedBytes = 0;
  #canClone = true;

  /** `copied` is told of bytes as they are copied. */
  constructor(places: ContentPlaces, copied: (bytes: number) => void) {
    this.#places = places;
    this.#copied = copied;
    const copies = copiesDirectory(places.to);
    this.#disk.removeDirectory(copies);
    this.#disk.makeDirectory(copies);
  }

  /** @throws ERR_NO_SPACE, ERR_IO, ERR_NOT_FOUND where the content is missing */
  async bring(wanted: WantedContent): Promise<void> {
    const { ino, born, where } = wanted;
    const from = contentPath(this.#places.from, ino, born);
    const to = contentPath(this.#places.to, ino, born);
    if (this.#isThere(wanted, from, to)) {
      this.counts.skipped++;
      return;
    }
    const copy = copyPath(this.#places.to, { ino, born, next: born });
    try {
      for (const until = Date.now() + LONGEST_WAIT_MS; ; ) {
        if ((await this.#fetch(wanted, from, copy)) || this.#copy(wanted, from, copy)) break;
        if (Date.now() > until)
          throw new Error(
            "a program writes to it, and its copy for the snapshot has not been made; see the daemon's log",
          );
        await pause(LOOK_AGAIN_MS);
      }
    } catch (error) {
      this.#disk.remove(copy);
      throw failureOf(where, from, copy, error);
    }
    this.counts.files++;
    this.#unsynced.push({ from: copy, to });
    const isMuch = this.#unsynced.length >= MOST_UNSYNCED_FILES || this.#unsyncedBytes >= MOST_UNSYNCED_BYTES;
    if (isMuch) this.settle();
  }

  /** What was brought is durable, and has its names. @throws ERR_NO_SPACE, ERR_IO */
  settle(): void {
    try {
      this.#sync();
      for (const { from, to } of this.#unsynced) {
        this.#disk.makeDirectory(dirname(to));
        this.#disk.rename(from, to);
      }
      this.#unsynced = [];
      this.#unsyncedBytes = 0;
    } catch (error) {
      throw failureOf('contents', this.#places.from, this.#places.to, error);
    }
  }

  /** All that was brought is durable with its names, and nothing else is there. */
  finish(): void {
    this.settle();
    this.#disk.removeDirectory(copiesDirectory(this.#places.to));
    this.#sync();
  }

  #sync(): void {
    const fd = this.#disk.openDirectory(this.#places.to);
    try {
      this.#disk.syncFilesystem(fd);
    } finally {
      this.#disk.close(fd);
    }
  }

  /**
   * A later born: an earlier try has brought it. An earlier one: the backup has it, and nobody can have written to it
   * since; were it not so, size or time would tell.
   */
  #isThere({ ino, born }: WantedContent, from: string, to: string): boolean {
    const { baseSnapshot } = this.#places;
    if (!this.#disk.statusAt(to, this.#there)) return false;
    if (born >= baseSnapshot) return true;
    const there = this.#there;
    if (!this.#disk.statusAt(from, this.#status)) {
      const shipped = this.#places.remote?.stateAtMoment(ino, born);
      const { seconds, nanos } = shipped?.mtime ?? {};
      return shipped?.size === there.size && seconds === there.mtimeSeconds && nanos === there.mtimeNanos;
    }
    const { size, mtimeSeconds, mtimeNanos } = this.#status;
    return size === there.size && mtimeSeconds === there.mtimeSeconds && mtimeNanos === there.mtimeNanos;
  }

  /** False: the content has a file, or the remote does not know it. */
  async #fetch({ ino, born }: WantedContent, from: string, copy: string): Promise<boolean> {
    const { remote } = this.#places;
    if (remote === undefined || this.#disk.statusAt(from, this.#status)) return false;
    const content = await remote.find(ino, born);
    // It may have come meanwhile.
    if (content === undefined || this.#disk.statusAt(from, this.#status)) return false;
    const target = this.#disk.open(copy, 'create');
    try {
      this.#disk.truncate(target, content.size);
      await remote.bring(content, (bytes, position) => {
        writeFully(this.#disk, target, bytes, position);
        this.#copied(bytes.length);
      });
      this.#disk.setModificationTime(target, content.mtime.seconds, content.mtime.nanos);
    } finally {
      this.#disk.close(target);
    }
    this.counts.fetched++;
    this.counts.bytes += content.size;
    this.#unsyncedBytes += content.size;
    return true;
  }

  /** False: it may be written to right now, or became so; it is to be tried again. */
  #copy(wanted: WantedContent, from: string, copy: string): boolean {
    const source = this.#disk.open(from, 'read');
    if (source < 0 && !wanted.mayBeMissing) {
      throw new BackingError(ENOENT, 'it is missing');
    }
    const target = this.#disk.open(copy, 'create');
    try {
      if (source < 0) return true;
      if (this.#isShared(wanted, source)) return false;
      this.#copyBytes(source, target);
      // Whoever writes to it from here on writes to another: what was read is what the snapshot has.
      this.#disk.status(source, this.#status);
      const identity = this.#disk.lastIdentity();
      const isSame = this.#disk.statusAt(from, this.#there) && this.#disk.lastWas(identity);
      if (!isSame || this.#isShared(wanted, source)) return false;
      this.#disk.setModificationTime(target, this.#status.mtimeSeconds, this.#status.mtimeNanos);
      this.counts.bytes += this.#status.size;
      this.#unsyncedBytes += this.#status.size;
      return true;
    } finally {
      this.#disk.close(target);
      if (source >= 0) this.#disk.close(source);
    }
  }

  #copyBytes(source: number, target: number): void {
    if (this.#canClone) {
      if (this.#disk.clone(source, target) === 0) {
        this.counts.reflinked++;
        this.#disk.status(source, this.#status);
        this.#copied(this.#status.size);
        return;
      }
      // The filesystem cannot, or it is another; or its disk is full, which the next write tells.
      this.#canClone = false;
    }
    copyData(source, target, this.#copied);
  }

  /** Whether the file, which `fd` has open, is that of a later content, too (open-files/renewal.ts). */
  #isShared({ ino, born }: WantedContent, fd: number): boolean {
    if (fstatSync(fd).nlink === 1) return false;
    this.#disk.status(fd, this.#status);
    const identity = this.#disk.lastIdentity();
    const last = this.#places.lastSnapshot();
    for (let next = born + 1; next <= last; next++) {
      const path = contentPath(this.#places.from, ino, next);
      if (this.#disk.statusAt(path, this.#there) && this.#disk.lastWas(identity)) return true;
    }
    return false;
  }
}

function failureOf(where: string, from: string, to: string, error: unknown): unknown {
  if (error instanceof SpinneyError) return error;
  const { errno } = error as NodeJS.ErrnoException;
  if (errno === -ENOSPC || errno === -EDQUOT) {
    return new SpinneyError(
      'ERR_NO_SPACE',
      `Cannot copy ${where} to ${to}: no space left there; the backup is what it was before: make room, and run it again`,
    );
  }
  const missing = errno === -ENOENT;
  return new SpinneyError(
    missing ? 'ERR_NOT_FOUND' : 'ERR_IO',
    `Cannot back up ${where}, whose content is ${from}: ${missing ? 'it is missing' : reasonOf(error)}; the backup is what it was before: bring that content back or remove the file, and run it again`,
    { cause: error },
  );
}
