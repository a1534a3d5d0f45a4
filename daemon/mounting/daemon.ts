/**
 * One daemon: a tree, its mount, and the control socket.
 *
 * Order of the start: mountpoint (through mountinfo), tree (which takes the store's lock), control socket, mount.
 * The end goes backwards, and the lock is the last to go: who gets the lock next finds no mount, no socket and
 * no record of ours.
 */

import { join } from 'node:path';
import { SpinneyError } from '../../engine/errors.js';
import type { Tree } from '../../engine/index.js';
import { ContentSync, mountTree } from '../../mount/index.js';
import type { MountEntry } from '../../mount/mountpoints/mountinfo.js';
import type { DriverName, MountEnd, Mounted } from '../../mount/types.js';
import { leftSettings } from '../places/daemon-record.js';
import { findMountOf, prepareMountpoint } from '../places/mountpoint.js';
import { examineRemote } from '../places/remote-place.js';
import { ownDaemonDirectory } from '../places/run-directory.js';
import { examineStore, makePrivate, openToOthers } from '../places/store-directory.js';
import { StoreLocation } from '../places/store-location.js';
import { settledWithin } from '../process/deadline.js';
import { raiseLimit } from '../process/descriptors.js';
import { failureOf } from '../process/failure.js';
import { type Logger, mountLog } from '../process/log/log.js';
import { uptimeSeconds } from '../process/uptime.js';
import { version } from '../process/version.js';
import { Admin } from './admin/admin.js';
import { Continuity, HANDED_OVER_EXIT_CODE } from './continuity/continuity.js';
import { OwnRecord } from './continuity/own-record.js';
import { cannotHandOver, Upgrade } from './continuity/upgrade.js';
import { ControlSockets } from './control-sockets.js';
import type { DaemonOptions, Surroundings } from './daemon-options.js';
import { HealthWatch } from './health/health-watch.js';
import { addLooks } from './health/looks.js';
import { QuotaWatch } from './health/quota-watch.js';
import { openTree } from './open-tree.js';
import { StoreFollower } from './remote/store-follower.js';
import { type ServedRemote, StoreRemote } from './remote/store-remote.js';
import type { Scrubber } from './scrub/scrubber.js';
import { storeScrubber } from './scrub/store-scrubber.js';
import { Settings } from './settings/settings.js';
import type { Adjustable } from './settings/table.js';
import { SnapshotSchedule } from './snapshots/snapshot-schedule.js';
import { Snapshots } from './snapshots/snapshots.js';
import { Status } from './status.js';
import { StoreSurvey } from './store-survey.js';
import { breakMount, endMount, unmountWithin } from './unmounting.js';

const ADMIN_DEADLINE_MS = 2_000;
/** The last checkpoint; less than `umount` waits. What it does not write the journal has. */
const CHECKPOINT_DEADLINE_MS = 100_000;
export class Daemon {
  readonly #log: Logger;
  readonly #options: DaemonOptions;
  readonly #tree: Tree;
  /** Undefined: the store has none. */
  readonly #remote: ServedRemote | undefined;
  readonly #admin: Admin;
  readonly #status: Status;
  readonly #settings: Settings;
  readonly #scrubber: Scrubber;
  readonly #snapshots: Snapshots;
  readonly #schedule: SnapshotSchedule;
  readonly #survey: StoreSurvey;
  readonly #location: StoreLocation;
  readonly #health: HealthWatch;
  readonly #quotas: QuotaWatch;
  readonly #sockets: ControlSockets;
  readonly #record: OwnRecord;
  readonly #contents: ContentSync;
  #mounted: Mounted | undefined;
  /** The mount as the table of mounts shows it. */
  #entry: MountEntry | undefined;
  readonly #continuity: Continuity;
  #stopping = false;
  readonly #ending: () => void;
  readonly #hurried: Promise<void>;
  #hurry: () => void = () => {};
  /** Settles when the mount would have to be gone and is not. */
  readonly #abandoned: Promise<MountEnd>;
  #abandon: () => void = () => {};
  /** Settles when another program goes on with the mount. */
  readonly #handedOver: Promise<'handed over'>;
  #handOverDone: () => void = () => {};

  /**
   * Starts a daemon; when this resolves, the mount answers. Throws a SpinneyError with the reason, and leaves
   * neither mount nor socket behind then.
   */
  static async start(asked: DaemonOptions, log: Logger, surroundings: Surroundings = {}): Promise<Daemon> {
    const { inheritance, notice = () => {}, signal } = surroundings;
    const afterDeath = inheritance !== undefined;
    raiseLimit();
    // What the daemon before this one was set to while it served.
    const left = afterDeath ? leftSettings(ownDaemonDirectory(asked.store), asked.mountpoint) : {};
    const settings = new Settings({ ...asked, settings: left }, log);
    const { options } = settings;
    const { remote: remoteOptions } = options;
    const mayBeUnfinished = remoteOptions !== undefined;
    // A copy that follows is changed by what is followed alone.
    const follows = remoteOptions?.follows === true;
    const readOnly = options.readOnly && !follows;
    examineStore(options.store, { readOnly, mustExist: afterDeath, mayBeUnfinished });
    examineRemote(options.store, remoteOptions);
    // A mount that is to be gone on with is nobody's to look at: it does not answer.
    if (!afterDeath && (await prepareMountpoint(options.mountpoint, options.store))) {
      log.warn({ mountpoint: options.mountpoint }, 'replaced the stale mount of a daemon that was killed');
    }
    const exposed = readOnly ? openToOthers(options.store) : makePrivate(options.store);
    if (exposed !== undefined) log.warn(exposed);
    const tellAll = (text: string) => {
      log.info(text);
      notice(text);
    };
    const remote: ServedRemote | undefined =
      remoteOptions &&
      (await (follows ? StoreFollower : StoreRemote).begin(
        { store: options.store, remote: remoteOptions },
        { log, notice: tellAll, signal },
      ));
    let tree: Tree;
    try {
      tree = await openTree(
        { ...options, readOnly },
        { notice: tellAll, afterDeath, signal },
        remote?.images,
      );
    } catch (error) {
      await remote?.stop();
      await remote?.closed();
      throw error;
    }
    if (tree.recovery !== undefined && tree.recovery.replayed > 0) {
      log.info(tree.recovery, 'played the journal back: the store was not closed the last time');
    }
    if (tree.location === undefined) {
      await remote?.stop();
      tree.close();
      await remote?.closed();
      throw new SpinneyError('ERR_IO', `Cannot use the store ${options.store}: /proc is not mounted`);
    }
    try {
      await remote?.opened(tree);
    } catch (error) {
      await remote?.stop();
      tree.close();
      await remote?.closed();
      throw error;
    }
    const location = new StoreLocation(options.store, tree.location);
    const daemon = new Daemon(settings, tree, remote, location, log, surroundings);
    try {
      const fallback = await daemon.#bringUp();
      if (fallback !== undefined)
        notice(`fuse-native serves the mount, with its limits, see README: ${fallback}`);
    } catch (error) {
      await daemon.#tearDown({ isTriedAgain: afterDeath });
      throw daemon.#location.toldError(error);
    }
    return daemon;
  }

  private constructor(
    settings: Settings,
    tree: Tree,
    remote: ServedRemote | undefined,
    location: StoreLocation,
    log: Logger,
    surroundings: Surroundings,
  ) {
    const { options } = settings;
    const { logProblem = () => undefined, recentLog = () => [], ending = () => {} } = surroundings;
    this.#settings = settings;
    this.#ending = ending;
    this.#hurried = new Promise((resolve) => {
      this.#hurry = resolve;
    });
    this.#abandoned = new Promise((resolve) => {
      const error = new SpinneyError('ERR_MOUNT', `Cannot end the mount at ${options.mountpoint} in time`);
      this.#abandon = () => resolve({ reason: 'failed', error });
    });
    this.#handedOver = new Promise((resolve) => {
      this.#handOverDone = () => resolve('handed over');
    });
    this.#options = options;
    this.#continuity = new Continuity(
      options,
      location.at(ownDaemonDirectory(options.store)),
      log,
      surroundings,
    );
    this.#tree = tree;
    this.#remote = remote;
    this.#log = log;
    this.#location = location;
    this.#admin = new Admin(tree);
    this.#snapshots = new Snapshots(
      tree,
      this.#admin,
      () => this.#mount.snapshots,
      this.#contentDirectory,
      log,
    );
    this.#schedule = new SnapshotSchedule(options.snapshots, this.#snapshots, log);
    this.#survey = new StoreSurvey(tree, this.#admin, location.at(options.store));
    this.#health = new HealthWatch(log);
    this.#status = new Status(
      tree,
      this.#admin,
      options,
      this.#snapshots,
      this.#survey,
      this.#health,
      recentLog,
    );
    this.#quotas = new QuotaWatch(this.#admin, this.#contentDirectory, log);
    addLooks(this.#health, {
      store: options.store,
      location,
      schedule: this.#schedule,
      survey: this.#survey,
      quotas: this.#quotas,
      log: logProblem,
    });
    this.#scrubber = storeScrubber(tree, this.#admin, options.readOnly, log);
    this.#status.setScrubber(this.#scrubber);
    this.#record = new OwnRecord(log);
    this.#sockets = new ControlSockets(this.#status, log);
    this.#status.setSettings(settings);
    if (remote !== undefined) this.#status.setRemote(remote);
    this.#status.setContinuity(
      this.#continuity,
      new Upgrade(options, this.#continuity, (command, changed) => this.handOver(command, changed)),
    );
    this.#contents = new ContentSync(tree, this.#contentDirectory, location.toldLog(mountLog(log)));
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
    // Users of a mount that is gone on with wait; those of the control socket can wait longer.
    const goesOn = this.#continuity.goesOn;
    const startSockets = () => this.#sockets.start(this.#location.at(options.control), options.metrics);
    if (!goesOn) await startSockets();
    this.#record.write(this.#location.at(ownDaemonDirectory(options.store)), options, {
      settings: this.#settings.changed,
      ...this.#continuity.recorded,
    });
    const { mounted, fallback } = await mountTree(
      this.#tree,
      {
        mountpoint: options.mountpoint,
        // The other one has no thread that a remote could speak with.
        driver: this.#remote === undefined ? options.driver : 'kernel',
        remote: this.#remote?.mountRemote(this.#tree),
        readOnly: options.readOnly,
        allowOther: options.allowOther,
        entryTimeout: options.entryTimeout,
        attributeTimeout: options.attributeTimeout,
        negativeTimeout: options.negativeTimeout,
        options: options.mountOptions,
        contentDirectory: this.#contentDirectory,
        source: options.store,
        snapshotDirectory: options.snapshotDirectory,
        ...this.#continuity.mountOptions((path) => this.#location.at(path)),
      },
      this.#location.toldLog(mountLog(this.#log)),
    );
    this.#mounted = mounted;
    this.#settings.setDriver(mounted.driver);
    mounted.requestLog.slowMs = options.slowRequestMs;
    // Something else may have been mounted over it.
    const entry = findMountOf(options.mountpoint, options.store);
    this.#entry = entry;
    this.#continuity.begin(mounted, entry, this.#record);
    this.#status.setMount(mounted, entry);
    this.#settings.setParts(this.#adjustable(mounted), (changed) =>
      this.#record.tell((record) => record.settings(changed)),
    );
    // Whoever waits for the next daemon asks it when its record says that it serves.
    if (goesOn) await startSockets();
    if (entry !== undefined) {
      const { driver } = mounted;
      const since = new Date().toISOString();
      await this.#record.tell((record) => record.serving(entry, { driver, since }));
    }
    if (!options.readOnly) this.#contents.start();
    if (options.scrubDays > 0) this.#scrubber.schedule(options.scrubDays);
    this.#snapshots.start();
    this.#schedule.start();
    this.#survey.start();
    this.#quotas.start();
    this.#health.start();
    this.#log.info({ version, ...this.#told() }, 'mounted');
    return fallback;
  }

  /** As they hold, for the log. */
  #told(): Record<string, unknown> {
    const { snapshots, metrics: _given, successor: _other, ...options } = this.#options;
    return {
      ...options,
      driver: this.#mount.driver,
      snapshots: snapshots.map(({ period, keep }) => `${period}:${keep}`),
      metrics: this.#sockets.metricsAddress,
    };
  }

  /** What settings are applied to. */
  #adjustable(mount: Mounted): Adjustable {
    return {
      log: this.#log,
      // What was acknowledged before is made durable by it, which may take as long as the disk does.
      setDurability: (level) => this.#admin.run('setDurability', level),
      schedule: this.#schedule,
      scrubber: this.#scrubber,
      mount,
      requestLog: mount.requestLog,
    };
  }

  /**
   * Waits for the end of the mount (by `stop`, or by umount(8)), and ends everything else. Returns the exit code:
   * 0, or 1 when the mount failed or the last checkpoint did.
   */
  async run(): Promise<number> {
    const ends = [this.#mount.ended, this.#abandoned, this.#handedOver];
    const end = await Promise.race(this.#remote === undefined ? ends : [...ends, this.#remote.failed]);
    this.#health.stop();
    if (end === 'handed over') return await this.#makeRoom();
    if (end.reason === 'failed' && !this.#stopping && this.#continuity.isContinued) {
      this.#log.error(
        { err: this.#location.toldError(end.error) },
        'the mount failed: another daemon is to go on',
      );
      this.#continuity.endsBecause(failureOf(end.error).message);
      await this.#leave();
      return 1;
    }
    const hasEnded = await settledWithin(this.#mount.ended, 0);
    this.#scrubber.stop();
    this.#stopLooking();
    if (!this.#stopping) await this.#beginEnding();
    let gone = true;
    if (end.reason === 'failed') {
      this.#log.error({ err: this.#location.toldError(end.error) }, 'the mount failed');
      // Nobody serves it any more: its name must not stay behind.
      gone = await unmountWithin(this.#mount, 'detach', this.#log);
    } else this.#log.info('unmounted');
    // Else it is the guard's, at the end of this process.
    if (gone) this.#continuity.ended();
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
    this.#health.stop();
    this.#continuity.endComes();
    this.#ending();
    await this.#record.tell((record) => record.ending());
  }

  /**
   * Resolves when nobody in this process serves the mount any more; at its end `command` goes on with it, and `run` ends. Throws where
   * the mount does not come to rest: it is served on then.
   */
  async handOver(command: readonly string[], changed: readonly string[]): Promise<void> {
    // While the mount is served: the next daemon then has little to play back.
    if (!this.#options.readOnly) await this.#admin.run('checkpoint');
    if (this.#stopping) throw cannotHandOver('it is being unmounted');
    const since = uptimeSeconds();
    if (!(await this.#mount.handOver())) throw cannotHandOver('what is under way does not come to an end');
    this.#stopping = true;
    this.#continuity.handOverTo(command, since);
    await this.#record.tellSettings(this.#settings.changed, changed);
    this.#handOverDone();
  }

  /** The record stays, for the next daemon. */
  async #makeRoom(): Promise<number> {
    this.#scrubber.stop();
    this.#stopLooking();
    await this.#remote?.stop();
    try {
      if (await this.#admin.close(ADMIN_DEADLINE_MS)) this.#tree.close();
      else if (!this.#options.readOnly) this.#tree.sync();
    } catch (error) {
      this.#log.error({ err: error }, 'could not close the store cleanly');
    }
    this.#log.info('made room for another daemon');
    await this.#sockets.close();
    return HANDED_OVER_EXIT_CODE;
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
    await this.#remote?.finish(this.#hurried, (left) => this.#record.shipping(left));
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
    await this.#sockets.close();
    return false;
  }

  /** Undoes what was brought up, newest first. The lock goes with the tree; only then there is no record any more. */
  async #tearDown({ isTriedAgain = false } = {}): Promise<void> {
    await this.#sockets.close();
    this.#scrubber.stop();
    this.#stopLooking();
    await this.#remote?.stop();
    try {
      if (await this.#admin.close(ADMIN_DEADLINE_MS)) this.#tree.close();
      // Work is under way that cannot be cut short: the process's end gives the lock back instead.
      else if (!this.#options.readOnly) this.#tree.sync();
      await this.#remote?.closed();
    } finally {
      if (!isTriedAgain) await this.#record.remove();
      this.#location.close();
    }
  }

  #stopLooking(): void {
    this.#schedule.stop();
    this.#snapshots.stop();
    this.#survey.stop();
    this.#quotas.stop();
  }
}
