/** A store on a simulated disk, names and contents, with what snapshots of it show; and kills and power cuts of it. */
import type { Finding, SnapshotReads } from '../../../engine/index.js';
import { Tree } from '../../../engine/index.js';
import { MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { checkNamespace } from '../../../mount/check/index.js';
import { newAttributes, newChange } from '../../../mount/filesystem/arguments.js';
import { ContentFiles } from '../../../mount/filesystem/contents/content.js';
import { CopyInProgress, placeCopy } from '../../../mount/filesystem/contents/content-copy.js';
import { ContentAwaited } from '../../../mount/filesystem/errno.js';
import { FileSystem } from '../../../mount/filesystem/file-system.js';
import { entryKey, inodeKey, KEPT_PREFIX, SPLITS_PREFIX } from '../../../mount/filesystem/records/keys.js';
import * as record from '../../../mount/filesystem/records/record.js';
import type {
  AttributeChange,
  Attributes,
  ContentName,
  ContentWorker,
} from '../../../mount/filesystem/types.js';
import { FaultContents } from '../../support/disk/fault-contents.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import {
  bytes,
  CALLER,
  newResult,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  REGULAR,
  StepClock,
  split,
} from '../fixture.js';

const STORE = '/store';
const CONTENT = `${STORE}/content`;
const O_TRUNC = 0o1000;
/** Mapped memory of a simulated disk is looked at with every change of it. */
const SIZES = {
  ringBytes: 32_768,
  maxBodyBytes: 16_384,
  segmentBytes: 49_152,
  reserveBytes: 16_384,
  firstBytes: 8192,
};

export interface StoreOptions {
  /** Whether files can share blocks. */
  clones?: boolean;
  /** Whether the kernel tells when inodes are forgotten, and files get their names late. */
  isKernel?: boolean;
  /** Copies are made by a worker, when `goOn` is called. */
  hasWorker?: boolean;
}

export class SnapshotStore {
  disk!: FaultDisk;
  contents!: FaultContents;
  tree!: Tree;
  fs!: FileSystem;
  readonly logged: string[] = [];
  readonly #options: StoreOptions;
  readonly #removals: ContentName[] = [];
  #tasks: (() => boolean)[] = [];

  constructor(options: StoreOptions = {}) {
    this.#options = options;
    this.#start(new MemoryDisk({ clock: new StepClock() }));
  }

  #start(memory: MemoryDisk, readOnly = false): void {
    const { clones = false, isKernel = true, hasWorker = false } = this.#options;
    const clock = new StepClock();
    memory.volume.clock = clock;
    this.disk = new FaultDisk(memory);
    this.contents = new FaultContents(this.disk);
    this.contents.inner.clones = clones;
    this.tree = Tree.open(
      { dir: STORE, cacheBytes: MIN_CACHE_BYTES, durability: 'written', checkpoint: { enabled: false } },
      { disk: this.disk, journalSizes: SIZES },
    );
    this.#removals.length = 0;
    this.#tasks = [];
    const worker = this.#worker();
    this.fs = new FileSystem(this.tree, {
      contentDirectory: CONTENT,
      disk: this.contents,
      readOnly,
      keepsNodes: isKernel,
      rests: isKernel,
      reclaimer: { schedule: (ino, born) => this.#removals.push({ ino, born }) },
      clock,
      log: (_level, message) => this.logged.push(message),
      ...(hasWorker && { worker }),
    });
    this.fs.start();
  }

  #worker(): ContentWorker {
    const files = new ContentFiles(this.contents, CONTENT, true);
    const task = (step: () => boolean, answer: (result: number) => void) => {
      this.#tasks.push(() => {
        try {
          if (!step()) return false;
        } catch (error) {
          const { errno } = error as NodeJS.ErrnoException;
          if (errno === undefined) throw error;
          answer(errno);
          return true;
        }
        answer(0);
        return true;
      });
    };
    return {
      copy: (copy) => {
        let copying: CopyInProgress | undefined;
        const step = () => {
          copying ??= new CopyInProgress(files, copy);
          return copying.step();
        };
        task(step, (result) => this.fs.snapshots.copied(copy, result));
      },
      place: (copy) =>
        task(
          () => {
            placeCopy(files, copy);
            return true;
          },
          (result) => this.fs.snapshots.placed(copy, result),
        ),
      syncContents: () =>
        task(
          () => true,
          (result) => this.fs.snapshots.contentsSynced(result),
        ),
    };
  }

  /** The worker does what it was asked for, at most so many steps. */
  goOn(steps = Number.POSITIVE_INFINITY): void {
    for (let left = steps; left > 0 && this.#tasks.length > 0; left--) {
      if (this.#tasks[0]!()) this.#tasks.shift();
    }
  }

  /** Runs it until it need not wait for the worker. */
  patiently<T>(run: () => T): T {
    for (;;) {
      try {
        return run();
      } catch (error) {
        if (!(error instanceof ContentAwaited) || this.disk.crashed) throw error;
        this.goOn();
      }
    }
  }

  get tasks(): number {
    return this.#tasks.length;
  }

  /** What is to be removed is removed, and what no snapshot needs. */
  reclaim(): void {
    for (;;) {
      this.goOn();
      this.tree.sync();
      const removals = this.#removals.splice(0);
      const files = new ContentFiles(this.contents, CONTENT, false);
      for (const { ino, born } of removals) files.remove(ino, born);
      if (removals.length > 0) this.fs.reclaimed(removals);
      if (!this.fs.snapshots.work() && removals.length === 0 && this.#tasks.length === 0) return;
    }
  }

  /** The next process, after a kill, or the next boot, after a power cut that left this. */
  restart(how: 'kill' | 'drop' | 'keep' | (() => number) = 'kill', { readOnly = false } = {}): void {
    const { inner } = this.disk;
    const left = how === 'kill' ? inner.afterKill() : inner.afterPowerCut(how);
    this.#abandon();
    this.#start(left, readOnly);
  }

  end(): void {
    if (!this.disk.crashed) this.fs.close();
    this.#abandon();
  }

  #abandon(): void {
    this.disk.heal();
    try {
      this.tree.close();
    } catch {
      // Its process has died.
    }
  }

  // Files.

  create(path: string): number {
    const { parent, name } = split(path);
    const handle = this.fs.create(CALLER, parent, name, REGULAR | 0o644, O_RDWR, false, newAttributes());
    return handle < 0 ? handle : this.fs.release(handle);
  }

  /** Makes the file where it is missing and puts `text` at `position`. */
  write(path: string, text: string, position = 0, flags = O_WRONLY): number {
    if (this.fs.getattr(bytes(path), newAttributes()) !== 0) this.create(path);
    const handle = this.fs.open(CALLER, bytes(path), flags);
    if (handle < 0) return handle;
    const written = this.put(handle, text, position);
    const released = this.fs.release(handle);
    return written < 0 ? written : released;
  }

  /** Writes through a handle. */
  put(handle: number, text: string, position = 0): number {
    const data = Buffer.from(text, 'latin1');
    return this.fs.write(handle, data, 0, data.length, position);
  }

  replace(path: string, text: string): number {
    return this.write(path, text, 0, O_WRONLY | O_TRUNC);
  }

  /** As a client of the kernel does that writes past the daemon: its handle, and a descriptor of the file. */
  createPassed(path: string, flags = O_RDWR): { handle: number; fd: number } {
    const { parent, name } = split(path);
    const handle = this.fs.create(CALLER, parent, name, REGULAR | 0o644, flags, true, newAttributes());
    return { handle, fd: handle < 0 ? -1 : this.contents.inner.duplicate(this.fs.backing(handle)) };
  }

  /** Writes past the daemon. */
  poke(fd: number, text: string, position = 0): void {
    const data = Buffer.from(text, 'latin1');
    this.contents.inner.write(fd, data, 0, data.length, position);
  }

  open(path: string, flags = O_RDWR): number {
    return this.fs.open(CALLER, bytes(path), flags);
  }

  read(path: string): string {
    const handle = this.fs.open(CALLER, bytes(path), O_RDONLY);
    if (handle < 0) throw new Error(`open ${path}: ${handle}`);
    const text = this.readHandle(handle);
    this.fs.release(handle);
    return text;
  }

  readHandle(handle: number): string {
    const into = Buffer.alloc(1 << 16);
    const length = this.fs.read(handle, into, 0, into.length, 0);
    if (length < 0) throw new Error(`read: ${length}`);
    return into.toString('latin1', 0, length);
  }

  truncate(path: string, size: number): number {
    return this.setattr(path, { valid: 8, size });
  }

  setattr(path: string, change: Partial<AttributeChange>): number {
    return this.fs.setattr(CALLER, bytes(path), { ...newChange(), ...change }, newAttributes());
  }

  stat(path: string): Attributes {
    const out = newAttributes();
    const result = this.fs.getattr(bytes(path), out);
    if (result !== 0) throw new Error(`stat ${path}: ${result}`);
    return out;
  }

  mkdir(path: string): number {
    const { parent, name } = split(path);
    return this.fs.mkdir(CALLER, parent, name, 0o755, newAttributes());
  }

  link(from: string, to: string): number {
    const { parent, name } = split(to);
    return this.fs.link(CALLER, bytes(from), parent, name, newAttributes());
  }

  unlink(path: string): number {
    const { parent, name } = split(path);
    const removal = newResult();
    const result = this.fs.unlink(CALLER, parent, name, removal);
    if (removal.removedLinks === 0 && removal.removedIno !== 0) this.fs.forget(removal.removedIno);
    return result;
  }

  rmdir(path: string): number {
    const { parent, name } = split(path);
    const removal = newResult();
    const result = this.fs.rmdir(CALLER, parent, name, removal);
    if (removal.removedIno !== 0) this.fs.forget(removal.removedIno);
    return result;
  }

  rename(from: string, to: string): number {
    const a = split(from);
    const b = split(to);
    const removal = newResult();
    const result = this.fs.rename(CALLER, a.parent, a.name, b.parent, b.name, 0, removal);
    if (removal.removedLinks === 0 && removal.removedIno !== 0) this.fs.forget(removal.removedIno);
    return result;
  }

  // What there is.

  /** What the snapshot has at the path. */
  readAt(snapshot: string, path: string): string {
    const reads = this.tree.at(snapshot);
    try {
      return this.#contentOf(reads, path);
    } finally {
      reads.close();
    }
  }

  /** All files of a snapshot with their contents, and directories; `quiet` leaves contents out that were being written. */
  shown(snapshot: string): Record<string, string> {
    const reads = this.tree.at(snapshot);
    try {
      const found: Record<string, string> = {};
      for (const item of reads.range({ prefix: 'd' })) {
        if (item.type !== 'key') continue;
        const path = Buffer.from(item.key.subarray(1)).toString('latin1');
        const isFile = record.typeOf(item.value) === record.REGULAR;
        found[path] = isFile ? this.#contentOf(reads, path) : 'directory';
      }
      return found;
    } finally {
      reads.close();
    }
  }

  #contentOf(reads: SnapshotReads, path: string): string {
    let inode = reads.get(entryKey(bytes(path)));
    if (inode === undefined) throw new Error(`${path} is not in the snapshot`);
    if (record.isLink(inode)) inode = reads.get(inodeKey(record.inoOf(inode)))!;
    const out = newAttributes();
    this.fs.snapshots.attributesOf(inode, out);
    const fd = this.fs.snapshots.contentOf(inode);
    if (fd < 0) {
      if (out.size > 0) throw new Error(`${path}: ${fd}, though it has ${out.size} bytes`);
      return '';
    }
    const into = Buffer.alloc(1 << 16);
    const length = this.contents.inner.read(fd, into, 0, into.length, 0);
    this.fs.snapshots.closeContent(fd);
    if (length !== out.size) throw new Error(`${path}: ${length} bytes of ${out.size}`);
    return into.toString('latin1', 0, length);
  }

  /** Content files by their names. */
  files(): string[] {
    const { inner } = this.contents;
    if (inner.nodeAt(CONTENT) === undefined) return [];
    return inner
      .list(CONTENT)
      .filter(({ name }) => name !== 'spares')
      .flatMap(({ name }) => inner.list(`${CONTENT}/${name}`))
      .map(({ name }) => name)
      .sort();
  }

  /** Records of kept contents and of shared ones. */
  keptRecords(): number {
    return this.tree.countPrefix(KEPT_PREFIX) + this.tree.countPrefix(SPLITS_PREFIX);
  }

  findings(): string[] {
    const found: Finding[] = [];
    checkNamespace(this.tree, CONTENT, (finding) => found.push(finding), undefined, this.contents);
    return found.map(({ kind, message }) => `${kind}: ${message}`);
  }

  damage(): string[] {
    return this.findings().filter((finding) => finding.startsWith('damage'));
  }
}
