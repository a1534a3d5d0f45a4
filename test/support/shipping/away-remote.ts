/** A remote of contents for the filesystem layer: rows in the tree, contents in memory, and a fetcher that does what was asked when it is told to. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Batch, TreeOperations } from '../../../engine/api.js';
import { awayPath, type ContentFetcher, evictedPath } from '../../../mount/filesystem/contents/away/away.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import { type FileStatus, newFileStatus } from '../../../mount/filesystem/contents/disk/content-disk.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import type { RemoteContent, RemoteRows } from '../../../mount/filesystem/contents/remote-content.js';
import type { AwayAnswers } from '../../../mount/filesystem/types.js';

const ROW_BYTES = 24;
const EIO = 5;

type Asked = { kind: 'part' | 'whole' | 'drop'; ino: number; born: number; attempt: number; part: number };

export class AwayRemote implements RemoteRows, ContentFetcher {
  readonly objects = new Map<string, Buffer>();
  readonly #tree: TreeOperations;
  readonly #directory: string;
  readonly #disk = new SystemDisk();
  readonly #status: FileStatus = newFileStatus();
  readonly asked: Asked[] = [];
  /** Parts that are in files in `away`. */
  readonly #here = new Map<string, Set<number>>();
  /** The object store does not have what it should. */
  isBroken = false;
  fetchedParts = 0;

  constructor(
    tree: TreeOperations,
    contentDirectory: string,
    readonly partBytes = 8,
  ) {
    this.#tree = tree;
    this.#directory = contentDirectory;
  }

  find(ino: number, born: number): RemoteContent | undefined {
    const row = this.#tree.get(rowKey(ino, born));
    if (row === undefined) return undefined;
    const bytes = Buffer.from(row);
    return {
      size: bytes.readDoubleLE(0),
      mtimeSeconds: bytes.readDoubleLE(8),
      mtimeNanos: bytes.readUInt32LE(16),
      partBytes: this.partBytes,
    };
  }

  /** As the rows' times tell, which are not fine enough for a test that writes so fast. */
  isShipped(ino: number, born: number, path: string): boolean {
    const object = this.objects.get(`${ino}.${born}`);
    return object !== undefined && existsSync(path) && readFileSync(path).equals(object);
  }

  noteFetched(): void {}

  remove(batch: Batch, ino: number, born: number): void {
    batch.delete(rowKey(ino, born));
    this.objects.delete(`${ino}.${born}`);
  }

  /** Brings the content's file, which nobody writes, to the remote. False: there is none. */
  ship(ino: number, born: number): boolean {
    const path = contentPath(this.#directory, ino, born);
    if (!this.#disk.statusAt(path, this.#status)) return false;
    const row = Buffer.alloc(ROW_BYTES);
    row.writeDoubleLE(this.#status.size, 0);
    row.writeDoubleLE(this.#status.mtimeSeconds, 8);
    row.writeUInt32LE(this.#status.mtimeNanos, 16);
    this.objects.set(`${ino}.${born}`, readFileSync(path));
    this.#tree.put(rowKey(ino, born), row);
    return true;
  }

  /** Another machine has brought another content there. */
  replace(ino: number, born: number, text: string): void {
    const row = Buffer.from(this.#tree.get(rowKey(ino, born))!);
    row.writeDoubleLE(text.length, 0);
    this.objects.set(`${ino}.${born}`, Buffer.from(text));
    this.#tree.put(rowKey(ino, born), row);
  }

  fetchPart(ino: number, born: number, attempt: number, part: number): void {
    this.asked.push({ kind: 'part', ino, born, attempt, part });
  }

  fetch(ino: number, born: number, attempt: number): void {
    this.asked.push({ kind: 'whole', ino, born, attempt, part: 0 });
  }

  drop(ino: number, born: number, attempt: number): void {
    this.asked.push({ kind: 'drop', ino, born, attempt, part: 0 });
  }

  used(): void {}

  /** A kill: what was asked is forgotten. */
  forget(): void {
    this.asked.length = 0;
    this.#here.clear();
  }

  /** Does the first thing that was asked, and tells of it; false: nothing was. */
  serve(answers: AwayAnswers): boolean {
    const asked = this.asked.shift();
    if (asked === undefined) return false;
    const { kind, ino, born, attempt, part } = asked;
    const key = `${ino}.${born}.${attempt}`;
    if (kind === 'drop') {
      this.#here.delete(key);
      rmSync(awayPath(this.#directory, ino, born, attempt), { force: true });
    } else if (kind === 'part') {
      answers.partArrived(ino, born, attempt, part, this.#bring(ino, born, attempt, part) ? 0 : -EIO);
    } else {
      const row = this.find(ino, born);
      const parts = row === undefined ? 0 : Math.ceil(row.size / this.partBytes);
      let isWhole = row !== undefined && this.#makeFile(ino, born, attempt, row.size);
      for (let i = 0; i < parts; i++) isWhole &&= this.#bring(ino, born, attempt, i);
      if (isWhole) {
        const path = awayPath(this.#directory, ino, born, attempt);
        const fd = this.#disk.open(path, 'write');
        this.#disk.setModificationTime(fd, row!.mtimeSeconds, row!.mtimeNanos % 1_000_000_000);
        this.#disk.close(fd);
        this.#here.delete(key);
      }
      answers.arrived(ino, born, attempt, isWhole ? 0 : -EIO);
    }
    return true;
  }

  /** As a cache that is full. */
  evict(answers: AwayAnswers, ino: number, born: number): boolean {
    if (!answers.evict(ino, born)) return false;
    rmSync(evictedPath(this.#directory, ino, born), { force: true });
    return true;
  }

  #makeFile(ino: number, born: number, attempt: number, size: number): boolean {
    const path = awayPath(this.#directory, ino, born, attempt);
    mkdirSync(dirname(path), { recursive: true });
    if (!existsSync(path)) writeFileSync(path, '');
    if (statSync(path).size !== size) writeFileSync(path, Buffer.alloc(size));
    utimesSync(path, 1, 1);
    return true;
  }

  #bring(ino: number, born: number, attempt: number, part: number): boolean {
    const bytes = this.objects.get(`${ino}.${born}`);
    if (this.isBroken || bytes === undefined) return false;
    const key = `${ino}.${born}.${attempt}`;
    const here = this.#here.get(key) ?? new Set();
    this.#here.set(key, here);
    if (here.has(part)) return true;
    this.#makeFile(ino, born, attempt, bytes.length);
    const path = awayPath(this.#directory, ino, born, attempt);
    const file = readFileSync(path);
    bytes.copy(file, part * this.partBytes, part * this.partBytes, (part + 1) * this.partBytes);
    const fd = this.#disk.open(path, 'write');
    this.#disk.write(fd, file, 0, file.length, 0);
    this.#disk.close(fd);
    here.add(part);
    this.fetchedParts++;
    return true;
  }
}

function rowKey(ino: number, born: number): Uint8Array {
  const key = Buffer.alloc(13);
  key[0] = 0x72;
  key.writeUInt32BE(Math.floor(ino / 2 ** 32), 1);
  key.writeUInt32BE(ino % 2 ** 32, 5);
  key.writeUInt32BE(born, 9);
  return key;
}
