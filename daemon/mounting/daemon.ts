/**
 * One daemon: a tree, its mount, and the control socket.
 *
 * Order of the start: mountpoint (through mountinfo), tree (which takes the store's lock), control socket, mount.
 * The end goes backwards, and the lock is the last to go: who gets the lock next finds no mount, no socket and
 * no record of ours.
 */
import { join } from 'node:path';
import type { Durability } from '../../engine/api.js';
import { Tree } from '../../engine/index.js';
import { mountTree } from '../../mount/index.js';
import { findMount } from '../../mount/mountinfo.js';
import type { DriverName, MountEnd, Mounted } from '../../mount/types.js';
import { type ControlServer, startControl } from '../control/server.js';
import { settledWithin } from '../process/deadline.js';
import { raiseLimit } from '../process/descriptors.js';
import { failureOf } from '../process/failure.js';
import { type Logger, mountLog } from '../process/log.js';
import { Admin } from './admin.js';
import { CheckpointWatch } from './checkpoint-watch.js';
import { writeRecord } from './daemon-record.js';
import { MountGuard } from './mount-guard.js';
import { prepareMountpoint } from './mountpoint.js';
import { ownDaemonDirectory } from './run-directory.js';
import { Status } from './status.js';
import { examineStore, makePrivate } from './store-directory.js';

/** How long a stopping daemon waits for the users of a detached mount before it breaks the connection. */
const DETACHED_DEADLINE_MS = 4_000;
/** How long it waits for the driver after that. */
const ABORTED_DEADLINE_MS = 2_000;
const ADMIN_DEADLINE_MS = 2_000;

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
}

export class Daemon {
  readonly #log: Logger;
  readonly #options: DaemonOptions;
  readonly #tree: Tree;
  readonly #admin: Admin;
  readonly #status: Status;
  readonly #undo: (() => void | Promise<void>)[] = [];
  #mounted: Mounted | undefined;
  #guard: MountGuard | undefined;
  #stopping = false;
  readonly #hurried: Promise<void>;
  #hurry: () => void = () => {};

  /**
   * Starts a daemon; when this resolves, the mount answers. Throws a SpinneyError with the reason, and leaves
   * neither mount nor socket behind then.
   */
  static async start(options: DaemonOptions, log: Logger): Promise<Daemon> {
    raiseLimit(log);
    examineStore(options.store, options);
    if (await prepareMountpoint(options.mountpoint, options.store)) {
      log.warn({ mountpoint: options.mountpoint }, 'replaced the stale mount of a daemon that was killed');
    }
    if (!options.readOnly) makePrivate(options.store);
    const tree = Tree.open({
      dir: options.store,
      cacheBytes: options.cacheBytes,
      durability: options.durability,
      readOnly: options.readOnly,
      checkpoint: { host: 'worker' },
    });
    if (tree.recovery !== undefined && tree.recovery.replayed > 0) {
      log.info(tree.recovery, 'played the journal back: the store was not closed the last time');
    }
    const daemon = new Daemon(options, tree, log);
    try {
      await daemon.#bringUp();
    } catch (error) {
      await daemon.#tearDown();
      throw error;
    }
    return daemon;
  }

  private constructor(options: DaemonOptions, tree: Tree, log: Logger) {
    this.#hurried = new Promise((resolve) => {
      this.#hurry = resolve;
    });
    this.#options = options;
    this.#tree = tree;
    this.#log = log;
    this.#admin = new Admin(() => tree.share());
    this.#status = new Status(tree, this.#admin, options);
  }

  get driver(): DriverName {
    return this.#mount.driver;
  }

  get #mount(): Mounted {
    if (this.#mounted === undefined) throw new Error('Cannot use the mount: it is not up');
    return this.#mounted;
  }

  async #bringUp(): Promise<void> {
    const options = this.#options;
    const checkpoints = new CheckpointWatch(() => this.#tree.checkpointStats(), this.#log);
    this.#undo.push(() => checkpoints.stop());
    const control = await startControl({ path: options.control, target: this.#status, log: this.#log });
    this.#undo.push(() => this.#closeControl(control));
    this.#undo.push(this.#record());
    const mounted = await mountTree(
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
        contentDirectory: join(options.store, 'content'),
        source: options.store,
      },
      mountLog(this.#log),
    );
    this.#mounted = mounted;
    const entry = findMount(options.mountpoint);
    if (entry?.source === options.store) this.#guard = new MountGuard(entry, this.#log);
    this.#status.setMount(mounted);
    this.#log.info(
      {
        mountpoint: options.mountpoint,
        store: options.store,
        driver: mounted.driver,
        control: options.control,
      },
      'mounted',
    );
  }

  /** Where a read-only store has no place for a record, `umount` cannot await this daemon. */
  #record(): () => void {
    const { store, mountpoint, control } = this.#options;
    try {
      return writeRecord(ownDaemonDirectory(store), { mountpoint, control });
    } catch (error) {
      if (!this.#options.readOnly) throw error;
      this.#log.warn({ err: error }, 'the store takes no record of this daemon');
      return () => {};
    }
  }

  /**
   * Waits for the end of the mount (by `stop`, or by umount(8)), and ends everything else. Returns the exit code:
   * 0, or 1 when the mount failed or the last checkpoint did.
   */
  async run(): Promise<number> {
    const end = await this.#mount.ended;
    this.#stopping = true;
    let gone = true;
    if (end.reason === 'failed') {
      this.#log.error({ err: end.error }, 'the mount failed');
      // Nobody serves it any more: its name must not stay behind.
      gone = await this.#mount.unmount('detach').catch((error) => {
        this.#log.warn({ err: error }, 'could not detach it');
        return false;
      });
    } else this.#log.info('unmounted');
    // Else it is the guard's, at the end of this process.
    if (gone) this.#guard?.standDown();
    const clean = await this.#finish(end);
    this.#log.info({ clean }, 'ended');
    return clean ? 0 : 1;
  }

  /**
   * Unmounts; detaches if busy; aborts after a deadline. `run` then ends. A second call aborts at once, and does
   * not wait for the last checkpoint.
   */
  async stop(): Promise<void> {
    const mount = this.#mount;
    if (this.#stopping) {
      this.#hurry();
      await mount.unmount('abort');
      return;
    }
    this.#stopping = true;
    try {
      if (await mount.unmount('plain')) return;
      this.#log.warn('the mount is busy: detaching it');
      await mount.unmount('detach');
      if (await settledWithin(mount.ended, DETACHED_DEADLINE_MS)) return;
      this.#log.warn('the mount is still in use: breaking its connection');
      await mount.unmount('abort');
      if (await settledWithin(mount.ended, ABORTED_DEADLINE_MS)) return;
      this.#log.error('the mount does not end');
    } catch (error) {
      this.#log.error({ err: error }, 'could not unmount: breaking the connection');
      await mount.unmount('abort');
    }
  }

  /** Whether all went well. */
  async #finish(end: MountEnd): Promise<boolean> {
    let clean = end.reason === 'unmounted';
    if (!this.#options.readOnly) {
      try {
        await Promise.race([this.#admin.run('checkpoint'), this.#hurried]);
      } catch (error) {
        // The journal has it all; the next start replays it.
        this.#log.error({ err: error }, 'the last checkpoint failed');
        clean = false;
      }
    }
    try {
      await this.#tearDown();
    } catch (error) {
      this.#log.error({ err: error }, 'could not close the store cleanly');
      clean = false;
    }
    return clean;
  }

  /** Undoes what was brought up, newest first, then closes the tree, which gives the lock back. */
  async #tearDown(): Promise<void> {
    for (const undo of this.#undo.reverse()) await undo();
    if (await this.#admin.close(ADMIN_DEADLINE_MS)) this.#tree.close();
    // Work is under way that cannot be cut short: the process's end gives the lock back instead.
    else if (!this.#options.readOnly) this.#tree.sync();
  }

  async #closeControl(control: ControlServer): Promise<void> {
    try {
      await control.close();
    } catch (error) {
      this.#log.warn({ err: error, reason: failureOf(error).message }, 'could not close the control socket');
    }
  }
}
