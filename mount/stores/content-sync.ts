/**
 * Makes contents durable as a whole now and then, and at the end, and notes in the tree up to where they are
 * (filesystem/contents/content-mark.ts): so that after a power cut few files have to be looked at, and none after a clean end.
 * It runs on the main thread, and waits for the disk on none that anybody waits for.
 */
import type { TreeOperations } from '../../engine/api.js';
import { isAllDurable, NO_BOOT, readMark, writeMark } from '../filesystem/contents/content-mark.js';
import type { ContentDisk } from '../filesystem/contents/disk/content-disk.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import * as libc from '../libc/libc.js';
import type { MountLog } from '../types.js';

/** The kernel writes by itself what is older than half a minute, so little is written earlier than it would be. */
const INTERVAL_MS = 5 * 60_000;
/** How long the end waits. Without its mark the next start after another boot looks at what came since the last one. */
const END_MS = 3_000;

export class ContentSync {
  readonly #tree: Pick<TreeOperations, 'get' | 'getVersion' | 'put' | 'lastLsn'>;
  readonly #directory: string;
  readonly #log: MountLog;
  readonly #disk: ContentDisk;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  /** Nobody waits any more: the tree may be closed. */
  #isOver = false;

  /** `directory`: `<store>/content`. */
  constructor(
    tree: Pick<TreeOperations, 'get' | 'getVersion' | 'put' | 'lastLsn'>,
    directory: string,
    log: MountLog,
    disk: ContentDisk = new SystemDisk(),
  ) {
    this.#tree = tree;
    this.#directory = directory;
    this.#log = log;
    this.#disk = disk;
  }

  /** To be called once the mount answers. */
  start(): void {
    this.#timer = setInterval(() => void this.run(), INTERVAL_MS).unref();
  }

  /** Makes contents durable; never rejects. One at a time. */
  run(): Promise<void> {
    this.#running ??= this.#sync().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** As `run`, when nothing changes any more, and not for longer than a few seconds. */
  async end(): Promise<void> {
    clearInterval(this.#timer);
    let deadline: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      deadline = setTimeout(resolve, END_MS);
    });
    // What is under way may have begun before the last change.
    await Promise.race([late, (this.#running ?? Promise.resolve()).then(() => this.run())]);
    clearTimeout(deadline);
    this.#isOver = true;
  }

  async #sync(): Promise<void> {
    try {
      const lsn = this.#tree.lastLsn();
      if (isAllDurable(this.#tree, readMark(this.#tree))) return;
      const seconds = Math.floor(Date.now() / 1000);
      await this.#syncDisk();
      if (this.#isOver) return;
      const mark = readMark(this.#tree);
      if (mark !== undefined && mark.boot !== NO_BOOT) {
        writeMark(this.#tree, { ...mark, durableLsn: lsn, durableSeconds: seconds });
      }
    } catch (error) {
      this.#log('error', `Cannot make the contents in ${this.#directory} durable: ${error}`);
    }
  }

  async #syncDisk(): Promise<void> {
    const fd = this.#disk.openDirectory(this.#directory);
    try {
      const errno = await this.#disk.syncFilesystemAsync(fd);
      if (errno !== 0) throw new Error(libc.errnoName(errno));
    } finally {
      this.#disk.close(fd);
    }
  }
}
