/**
 * A mount that is made to crash again and again under a mixed load, and is looked at each time it has come back: what was
 * acknowledged is there, what was in flight is there or not, nothing else has changed, and the store is sound.
 */
import { join } from 'node:path';
import type { Durability } from '../../../engine/api.js';
import { Site } from '../../e2e/site.js';
import { Clients, type Moment } from './clients.js';
import { compare } from './comparison.js';
import { allEnded, Daemon } from './daemon.js';
import { readFound } from './found.js';
import type { Call } from './log.js';
import type { Inode } from './model.js';

const LOOK = join(import.meta.dirname, 'look.py');
const LOOK_DEADLINE_SECONDS = 60;
const CLIENTS = 4;
/**
 * A spare that was lent to a file which was closed empty, in the moment before a kill, gets that file's place (see `rest` in
 * spare-files.ts). It holds nothing, and stays when the file is removed.
 */
const EMPTY_CONTENT = ': no file has this content (0 bytes)';
/** Exit code of a daemon that a signal ended. */
const KILLED = 128;

export interface CrashOptions {
  readonly seed: number;
  readonly durability: Durability;
  /** The store is where the kernel passes no contents through: they go through the daemon, as do mappings. */
  readonly isStacked: boolean;
  /** MiB of memory for the tree; default: the daemon's. */
  readonly cacheSize?: number;
}

export class CrashingMount {
  readonly site: Site;
  readonly clients: Clients;
  readonly counts = { acknowledged: 0, comparisons: 0, checks: 0, emptyLeft: 0 };
  readonly #options: string[];
  #daemon: Daemon | undefined;
  #guards: number[] = [];
  #histories: Call[][] = [];
  #base: Inode | undefined;
  readonly #known = new Set<number>();

  private constructor(site: Site, { seed, durability, cacheSize }: CrashOptions) {
    this.site = site;
    this.clients = new Clients(site, seed, CLIENTS);
    // Each crash is to be looked at; what goes on is line 22's.
    this.#options = ['--no-restart', '--durability', durability];
    if (cacheSize !== undefined) this.#options.push('--cache-size', String(cacheSize));
  }

  /** Does `work` with a mountpoint and a store that is still to be made, and cleans up whatever became of it. */
  static async use(options: CrashOptions, work: (mount: CrashingMount) => Promise<void>): Promise<void> {
    let cleanUp: (() => Promise<void>) | undefined;
    const site = new Site((atEnd) => {
      cleanUp = atEnd;
    });
    site.rehearses = true;
    const mount = new CrashingMount(site, options);
    try {
      if (options.isStacked) await site.stackStore();
      await work(mount);
    } finally {
      mount.#daemon?.abort();
      await cleanUp?.();
    }
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error('no daemon was started');
    return this.#daemon;
  }

  /** Whether something is at the mountpoint, dead or alive. */
  get isMounted(): boolean {
    return this.site.mountinfo().includes(` ${this.site.mountpoint} `);
  }

  /** Of the daemon that serves the mount. */
  get guards(): readonly number[] {
    return this.#guards;
  }

  /** Starts a daemon, and does not wait for it. */
  launch(): Daemon {
    this.#guards = [];
    this.#daemon = new Daemon(this.site, this.#options);
    return this.#daemon;
  }

  /** Starts a daemon, and compares what it shows with what clients were told. */
  async start(): Promise<void> {
    await this.launch().mounted();
    this.#guards = this.site.guards();
    if (this.#guards.length !== 1) throw new Error(`${this.#guards.length} guards watch over the mount`);
    if (this.#base === undefined) await this.clients.prepare();
    const found = readFound(await this.site.sh(`python3 ${LOOK} $MNT`, LOOK_DEADLINE_SECONDS));
    if (this.#base !== undefined) {
      this.counts.acknowledged += compare(this.#base, this.#histories, found, this.#known);
      this.counts.comparisons++;
    }
    this.#base = found;
    this.#histories = [];
  }

  /** Lets clients work, until the daemon is gone or they were told to stop. */
  async load(moments: readonly Moment[]): Promise<void> {
    const { daemon } = this;
    this.#histories = await this.clients.run(moments, () => daemon.abort());
  }

  /**
   * Waits for the daemon's end. Returns whether it was killed; false: it came to its end by itself. The mount has gone then,
   * unless its guard was killed too.
   */
  async ended(withGuard = false): Promise<boolean> {
    const code = await this.daemon.exited();
    const errors = this.daemon.errors();
    if (code !== KILLED && code !== 0) throw new Error(`the daemon ended with ${code}: ${errors.join('\n')}`);
    if (errors.length > 0) throw new Error(`the daemon logged ${errors.join('\n')}`);
    // One that was killed while it started may have made a guard that nobody noted.
    await allEnded([...this.#guards, ...this.site.guards()]);
    if (!withGuard && this.#guards.length > 0 && this.isMounted) {
      throw new Error('a mount was left behind');
    }
    return code === KILLED;
  }

  /** The store is sound as the crash left it. */
  async check(): Promise<void> {
    await this.site.must('check', this.site.store);
    this.counts.checks++;
  }

  /** Ends it, whatever other namespaces on the machine have a copy of the mount, and sees that nothing is left over. */
  async finish(): Promise<void> {
    await this.site.umount('--force');
    if (await this.ended()) throw new Error('the daemon was killed, and nobody did that');
    const report = await this.site.must('check', this.site.store);
    const notes = report.split('\n').filter((line) => line.startsWith('note:'));
    const strange = notes.filter((note) => !note.endsWith(EMPTY_CONTENT));
    if (!/^status +clean/m.test(report) || strange.length > 0) throw new Error(report);
    this.counts.checks++;
    this.counts.emptyLeft += notes.length;
  }
}
