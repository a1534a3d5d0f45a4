/**
 * One daemon: a tree, its mount, and the control socket.
 *
 * Order of the start: mountpoint (through mountinfo), tree (which takes the store's lock), control socket, mount.
 * The end goes backwards, and the lock is the last to go: who gets the lock next finds no mount, no socket and
 * no record of ours.
 */

import { dirname, join } from 'node:path';
import type { Durability } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { Tree } from '../../engine/index.js';
import { FILESYSTEM_MEASURE } from '../../mount/filesystem-measure.js';
import { ContentSync, mountTree } from '../../mount/index.js';
import { findMount, type MountEntry } from '../../mount/mountinfo.js';
import { readScrubRecord, writeScrubRecord } from '../../mount/scrub-record.js';
import type { DriverName, MountEnd, Mounted } from '../../mount/types.js';
import type { ScrubReport } from '../control/reports.js';
import { type ControlServer, startControl } from '../control/server.js';
import { DaemonRecord } from '../places/daemon-record.js';
import { awaitEnd, leavingDaemons, type WaitOptions } from '../places/leaving.js';
import { prepareMountpoint } from '../places/mountpoint.js';
import { ownDaemonDirectory } from '../places/run-directory.js';
import { examineStore, makePrivate, openToOthers } from '../places/store-directory.js';
import { StoreLocation } from '../places/store-location.js';
import { settledWithin } from '../process/deadline.js';
import { raiseLimit } from '../process/descriptors.js';
import { failureOf } from '../process/failure.js';
import { type Logger, mountLog } from '../process/log.js';
import { Admin } from './admin.js';
import { CheckpointWatch } from './checkpoint-watch.js';
import { MountGuard } from './mount-guard.js';
import { Scrubber } from './scrubber.js';
import { type Rule, SnapshotSchedule } from './snapshot-schedule.js';
import { Snapshots } from './snapshots.js';
import { Status } from './status.js';
import { breakMount, endMount, unmountWithin } from './unmounting.js';

const ADMIN_DEADLINE_MS = 2_000;
/** How often long work while the store is opened is told. */
const SUMMING_TOLD_MS = 5_000;
/** The last checkpoint; less than `umount` waits. What it does not write the journal has. */
const CHECKPOINT_DEADLINE_MS = 100_000;
/** Writing the record takes a moment, or the disk hangs. */
const RECORD_DEADLINE_MS = 500;
/** How often the daemon looks whether its mount is still at its place. */
const LOOK_EVERY_MS = 5_000;

export interface DaemonOptions {
  /** Resolved by `resolveMountpoint`. */
  mountpoint: string;
  /** Resolved by `resolveStore`; made where it is missing, unless `readOnly`. */
  store: string;
  /** Checked by `controlSocketPath`. */
  control: string;
  driver: DriverName | 'auto';
  durability: Durability;
  cacheBytes: number;
  readOnly: boolean;
  allowOther: boolean;
  /** Seconds. */
  entryTimeout: number;
  attributeTimeout: number;
  negativeTimeout: number;
  mountOptions: readonly string[];
  /** A scrub begins by itself after so many days; 0: never. */
  scrubDays: number;
  /** Snapshots that are made by themselves. */
  snapshots: readonly Rule[];
  /** Name of the hidden directory of snapshots that every directory has; undefined: none has. */
  snapshotDirectory: string | undefined;
}

/** What a daemon can use of the process around it. */
export interface Surroundings {
  /** What health tells of the log. */
  logProblem?: () => string | undefined;
  /** Gets what whoever started the daemon should know. */
  notice?: (text: string) => void;
  /** Gives up the start, as long as it waits for another daemon. */
  signal?: AbortSignal;
  /** Called when the daemon begins to end. */
  ending?: () => void;
}

export class Daemon {
  readonly #log: Logger;
  readonly #options: DaemonOptions;
  readonly #tree: Tree;
  readonly #admin: Admin;
  readonly #status: Status;
  readonly #scrubber: Scrubber;
  readonly #snapshots: Snapshots;
  readonly #schedule: SnapshotSchedule;
  readonly #location: StoreLocation;
  #checkpoints: CheckpointWatch | undefined;
  #control: ControlServer | undefined;
  #record: DaemonRecord | undefined;
  readonly #contents: ContentSync;
  #mounted: Mounted | undefined;
  /** The mount as the table of mounts shows it. */
  #entry: MountEntry | undefined;
  #guard: MountGuard | undefined;
  #stopping = false;
  readonly #ending: () => void;
  readonly #hurried: Promise<void>;
  #hurry: () => void = () => {};
  /** Settles when the mount would have to be gone and is not. */
  readonly #abandoned: Promise<MountEnd>;
  #abandon: () => void = () => {};

  /**
   * Starts a daemon; when this resolves, the mount answers. Throws a SpinneyError with the reason, and leaves
   * neither mount nor socket behind then.
   */
  static async start(
    options: DaemonOptions,
    log: Logger,
    { logProblem = () => undefined, notice = () => {}, signal, ending = () => {} }: Surroundings = {},
  ): Promise<Daemon> {
    raiseLimit();
    examineStore(options.store, options);
    if (await prepareMountpoint(options.mountpoint, options.store)) {
      log.warn({ mountpoint: options.mountpoint }, 'replaced the stale mount of a daemon that was killed');
    }
    const exposed = options.readOnly ? openToOthers(options.store) : makePrivate(options.store);
    if (exposed !== undefined) log.warn(exposed);
    const tellAll = (text: string) => {
      log.info(text);
      notice(text);
    };
    const tree = await openTree(options, { notice: tellAll, ...(signal !== undefined && { signal }) });
    if (tree.recovery !== undefined && tree.recovery.replayed > 0) {
      log.info(tree.recovery, 'played the journal back: the store was not closed the last time');
    }
    if (tree.location === undefined) {
      tree.close();
      throw new SpinneyError('ERR_IO', `Cannot use the store ${options.store}: /proc is not mounted`);
    }
    const location = new StoreLocation(options.store, tree.location);
    const daemon = new Daemon(options, tree, location, log, { logProblem, ending });
    try {
      const fallback = await daemon.#bringUp();
      if (fallback !== undefined)
        notice(`fuse-native serves the mount, with its limits, see README: ${fallback}`);
    } catch (error) {
      await daemon.#tearDown();
      throw daemon.#location.toldError(error);
    }
    return daemon;
  }

  private constructor(
    options: DaemonOptions,
    tree: Tree,
    location: StoreLocation,
    log: Logger,
    { logProblem, ending }: Pick<Required<Surroundings>, 'logProblem' | 'ending'>,
  ) {
    this.#ending = ending;
    this.#hurried = new Promise((resolve) => {
      this.#hurry = resolve;
    });
    this.#abandoned = new Promise((resolve) => {
      const error = new SpinneyError('ERR_MOUNT', `Cannot end the mount at ${options.mountpoint} in time`);
      this.#abandon = () => resolve({ reason: 'failed', error });
    });
    this.#options = options;
    this.#tree = tree;
    this.#log = log;
    this.#location = location;
    this.#admin = new Admin(() => tree.share());
    this.#snapshots = new Snapshots(
      tree,
      this.#admin,
      () => this.#mount.snapshots,
      this.#contentDirectory,
      log,
    );
    this.#schedule = new SnapshotSchedule(options.snapshots, this.#snapshots, log);
    this.#status = new Status(tree, this.#admin, options, this.#snapshots, () => [
      location.problem(),
      logProblem(),
      this.#schedule.problem(),
    ]);
    this.#scrubber = this.#makeScrubber();
    this.#status.setScrubber(this.#scrubber);
    this.#contents = new ContentSync(tree, this.#contentDirectory, location.toldLog(mountLog(log)));
  }

  /** Where nothing may be written the next daemon does not know of this one's scrubs. */
  #makeScrubber(): Scrubber {
    const tree = this.#tree;
    const keep = (report: ScrubReport): void => {
      try {
        if (!this.#options.readOnly) writeScrubRecord(tree, report);
      } catch (error) {
        this.#log.warn({ err: error }, 'could not keep what came of a scrub');
      }
    };
    let last: ScrubReport | undefined;
    try {
      last = readScrubRecord(tree) as ScrubReport | undefined;
    } catch (error) {
      this.#log.warn({ err: error }, 'could not read what came of the last scrub');
    }
    return new Scrubber(this.#admin, this.#log, { last, keep });
  }

  get #contentDirectory(): string {
    return this.#location.at(join(this.#options.store, 'content'));
  }

  get status(): Status {
    return this.#status;
  }

  get driver(): DriverName {
    return this.#mount.driver;
  }

  get #mount(): Mounted {
    if (this.#mounted === undefined) throw new Error('Cannot use the mount: it is not up');
    return this.#mounted;
  }

  /** Returns why fuse-native serves the mount, if it does though nobody asked for it. */
  async #bringUp(): Promise<string | undefined> {
    const options = this.#options;
    this.#checkpoints = new CheckpointWatch(() => this.#tree.checkpointStats(), this.#log);
    this.#control = await startControl({
      path: this.#location.at(options.control),
      target: this.#status,
      log: this.#log,
    });
    this.#record = this.#makeRecord();
    const { mounted, fallback } = await mountTree(
      this.#tree,
      {
        mountpoint: options.mountpoint,
        driver: options.driver,
        readOnly: options.readOnly,
        allowOther: options.allowOther,
        entryTimeout: options.entryTimeout,
        attributeTimeout: options.attributeTimeout,
        negativeTimeout: options.negativeTimeout,
        options: options.mountOptions,
        contentDirectory: this.#contentDirectory,
        source: options.store,
        snapshotDirectory: options.snapshotDirectory,
      },
      this.#location.toldLog(mountLog(this.#log)),
    );
    this.#mounted = mounted;
    const entry = findMount(options.mountpoint);
    if (entry?.source === options.store) {
      this.#entry = entry;
      this.#guard = new MountGuard(entry, this.#log);
      await this.#tellRecord((record) => record.serving(entry));
    }
    this.#status.setMount(mounted, this.#entry);
    if (!options.readOnly) this.#contents.start();
    if (options.scrubDays > 0) this.#scrubber.schedule(options.scrubDays);
    this.#snapshots.start();
    this.#schedule.start();
    this.#log.info(
      {
        mountpoint: options.mountpoint,
        store: options.store,
        driver: mounted.driver,
        control: options.control,
      },
      'mounted',
    );
    return fallback;
  }

  /** Where a read-only store has no place for a record, `umount` cannot await this daemon. */
  #makeRecord(): DaemonRecord | undefined {
    const { store, mountpoint, control } = this.#options;
    try {
      const isInStore = dirname(control) === store;
      return DaemonRecord.write(this.#location.at(ownDaemonDirectory(store)), {
        mountpoint,
        ...(!isInStore && { control }),
      });
    } catch (error) {
      if (!this.#options.readOnly) throw error;
      this.#log.warn({ err: error }, 'the store takes no record of this daemon');
      return undefined;
    }
  }

  /** Does not wait long, nor fail: others then have to find out by themselves what this daemon does. */
  async #tellRecord(tell: (record: DaemonRecord) => Promise<void>): Promise<void> {
    if (this.#record === undefined) return;
    const told = tell(this.#record).catch((error: unknown) => {
      this.#log.warn({ err: error }, 'could not bring the record of this daemon up to date');
    });
    await settledWithin(told, RECORD_DEADLINE_MS);
  }

  /**
   * Waits for the end of the mount (by `stop`, or by umount(8)), and ends everything else. Returns the exit code:
   * 0, or 1 when the mount failed or the last checkpoint did.
   */
  async run(): Promise<number> {
    const looking = setInterval(() => this.#status.lookForMount(this.#log), LOOK_EVERY_MS).unref();
    const end = await Promise.race([this.#mount.ended, this.#abandoned]);
    clearInterval(looking);
    const hasEnded = await settledWithin(this.#mount.ended, 0);
    this.#scrubber.stop();
    this.#stopSnapshots();
    if (!this.#stopping) await this.#beginEnding();
    let gone = true;
    if (end.reason === 'failed') {
      this.#log.error({ err: this.#location.toldError(end.error) }, 'the mount failed');
      // Nobody serves it any more: its name must not stay behind.
      gone = await unmountWithin(this.#mount, 'detach', this.#log);
    } else this.#log.info('unmounted');
    // Else it is the guard's, at the end of this process.
    if (gone) this.#guard?.standDown();
    const clean = hasEnded ? await this.#finish(end) : await this.#leave();
    this.#log.info({ clean }, 'ended');
    return clean ? 0 : 1;
  }

  /**
   * Unmounts; detaches if busy; breaks the connection after a deadline. `run` then ends. A second call does that at once,
   * and does not wait for the last checkpoint.
   */
  async stop(): Promise<void> {
    const mount = this.#mount;
    if (this.#stopping) {
      this.#hurry();
      if (!(await settledWithin(mount.ended, 0)) && !(await breakMount(mount, this.#log))) this.#abandon();
      return;
    }
    await this.#beginEnding();
    if (!(await endMount(mount, this.#entry, this.#log))) this.#abandon();
  }

  async #beginEnding(): Promise<void> {
    this.#stopping = true;
    this.#ending();
    await this.#tellRecord((record) => record.ending());
  }

  /** Whether all went well. */
  async #finish(end: MountEnd): Promise<boolean> {
    let clean = end.reason === 'unmounted';
    if (!this.#options.readOnly) {
      const written = this.#checkpoint();
      if (!(await settledWithin(written, CHECKPOINT_DEADLINE_MS))) {
        this.#log.error(
          `the last checkpoint takes longer than ${CHECKPOINT_DEADLINE_MS / 1000} s: ending without`,
        );
        return this.#leave();
      }
      clean &&= await written;
    }
    try {
      await this.#tearDown();
    } catch (error) {
      this.#log.error({ err: error }, 'could not close the store cleanly');
      clean = false;
    }
    return clean;
  }

  /** Whether it was written, or somebody was in a hurry. */
  async #checkpoint(): Promise<boolean> {
    try {
      await Promise.race([this.#endTree(), this.#hurried]);
      return true;
    } catch (error) {
      // The journal has it all; the next start replays it.
      this.#log.error({ err: error }, 'the last checkpoint failed');
      return false;
    }
  }

  /** Makes contents durable, and notes that in the last checkpoint. */
  async #endTree(): Promise<void> {
    await this.#contents.end();
    await this.#admin.run('checkpoint');
  }

  /** Threads may be inside the tree and not come back: the journal has it all, and the process's end frees the store. */
  async #leave(): Promise<boolean> {
    await this.#closeControl();
    return false;
  }

  /** Undoes what was brought up, newest first. The lock goes with the tree; only then there is no record any more. */
  async #tearDown(): Promise<void> {
    await this.#closeControl();
    this.#scrubber.stop();
    this.#stopSnapshots();
    this.#checkpoints?.stop();
    try {
      if (await this.#admin.close(ADMIN_DEADLINE_MS)) this.#tree.close();
      // Work is under way that cannot be cut short: the process's end gives the lock back instead.
      else if (!this.#options.readOnly) this.#tree.sync();
    } finally {
      await this.#record?.remove();
      this.#location.close();
    }
  }

  #stopSnapshots(): void {
    this.#schedule.stop();
    this.#snapshots.stop();
  }

  async #closeControl(): Promise<void> {
    try {
      await this.#control?.close();
    } catch (error) {
      this.#log.warn({ err: error, reason: failureOf(error).message }, 'could not close the control socket');
    }
  }
}

/** Tells now and then how far the sums have come that a store of before gets, once. */
function summingTold(notice: (text: string) => void = () => {}): (done: number, total: number) => void {
  let toldAt = performance.now();
  return (done, total) => {
    if (performance.now() - toldAt < SUMMING_TOLD_MS) return;
    toldAt = performance.now();
    notice(`summing up what the store has, once: ${done} of ${total} blobs`);
  };
}

/** Waits for a daemon that is on its way out of the store. */
async function openTree(options: DaemonOptions, waiting: WaitOptions): Promise<Tree> {
  for (;;) {
    // Asked for first: one that ends in between leaves a store that opens.
    const leaving = leavingDaemons(options.store);
    try {
      return Tree.open({
        dir: options.store,
        cacheBytes: options.cacheBytes,
        durability: options.durability,
        readOnly: options.readOnly,
        checkpoint: { host: 'worker' },
        measure: FILESYSTEM_MEASURE,
        onProgress: summingTold(waiting.notice),
      });
    } catch (error) {
      if (failureOf(error).code !== 'ERR_STORE_LOCKED' || leaving.length === 0) throw error;
    }
    for (const daemon of leaving) await awaitEnd(options.store, daemon, waiting);
  }
}
