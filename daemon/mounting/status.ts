/** What the daemon tells through its control socket, and of itself to the service manager. */
import { statfs } from 'node:fs/promises';
import { SpinneyError } from '../../engine/errors.js';
import type { Tree } from '../../engine/index.js';
import { isMountedAt } from '../../mount/mountpoints/mount-users.js';
import type { MountEntry } from '../../mount/mountpoints/mountinfo.js';
import type { ContentTotals } from '../../mount/sums/content-totals.js';
import type { Mounted, MountStats } from '../../mount/types.js';
import type {
  CheckpointReport,
  CompactReport,
  ControlTarget,
  DebugReport,
  DiskReport,
  HealthReport,
  ProcessReport,
  RemoteReport,
  RemoteTarget,
  RestartsReport,
  ScrubReport,
  SettingsTarget,
  SnapshotTarget,
  StatsReport,
  StatusReport,
  ThreadReport,
  UpgradeTarget,
} from '../control/reports.js';
import type { Problem } from '../health/codes.js';
import { version } from '../process/version.js';
import type { HealthWatch } from './health/health-watch.js';
import { displacedMount } from './health/mount-place.js';
import { scrubProblems } from './health/scrub-problems.js';
import { TreeProblems } from './health/tree-problems.js';
import { Requests } from './requests/requests.js';
import { DEFAULT_SCRUB_MIB, type Scrubber } from './scrub/scrubber.js';
import { profileThreads } from './thread-profiles.js';

/** What is asked of the admin worker. */
interface StatusAdmin {
  run(work: 'checkpoint' | 'compact'): Promise<unknown>;
}

/** The store's remote, if it has one. */
interface MountedRemote extends RemoteTarget {
  /** Has the report as things are now. */
  refresh(): Promise<void>;
  report(): RemoteReport | undefined;
  problems(): readonly Problem[];
}

/** Figures that are looked at now and then. */
interface Survey {
  readonly disk: DiskReport | undefined;
  readonly contents: ContentTotals | undefined;
}

type MountState = 'starting' | 'up' | 'gone' | 'failed';

/** Between two looks of a profiler at a thread. */
const SAMPLING_MICROS = 1_000;
/** The table of mounts may be long. */
const LOOK_AT_PLACE_EVERY_MS = 5_000;

/** Told once: a clock that is set later does not move it. */
const STARTED_AT = new Date(Date.now() - process.uptime() * 1000).toISOString();

export class Status implements ControlTarget {
  readonly #tree: Pick<Tree, 'stats' | 'conditions'>;
  readonly #admin: StatusAdmin;
  readonly #where: { store: string; mountpoint: string };
  readonly snapshots: SnapshotTarget;
  readonly requests = new Requests();
  readonly #survey: Survey;
  readonly #health: HealthWatch;
  readonly #recentLog: () => string[];
  #scrubber: Scrubber | undefined;
  #settings: SettingsTarget | undefined;
  #remote: MountedRemote | undefined;
  #since: string | undefined;
  #continuity: { readonly restarts: RestartsReport } | undefined;
  #upgrades: UpgradeTarget | undefined;
  #mounted: Mounted | undefined;
  #mountState: MountState = 'starting';
  #entry: MountEntry | undefined;

  constructor(
    tree: Pick<Tree, 'stats' | 'conditions'>,
    admin: StatusAdmin,
    where: { store: string; mountpoint: string },
    snapshots: SnapshotTarget,
    survey: Survey,
    health: HealthWatch,
    recentLog: () => string[] = () => [],
  ) {
    this.#survey = survey;
    this.#recentLog = recentLog;
    this.#health = health;
    const treeProblems = new TreeProblems(where.store);
    health.add(() => this.#mountProblems());
    health.add(() => this.#displaced(), LOOK_AT_PLACE_EVERY_MS);
    health.add(() => scrubProblems(this.#scrubber?.last));
    health.add(() => treeProblems.of(tree.conditions()));
    this.#tree = tree;
    this.#admin = admin;
    this.#where = where;
    this.snapshots = snapshots;
  }

  setScrubber(scrubber: Scrubber): void {
    this.#scrubber = scrubber;
  }

  setRemote(remote: MountedRemote): void {
    this.#remote = remote;
    this.#health.add(() => remote.problems());
  }

  /** Has what others know better told as it is now. */
  async refresh(): Promise<void> {
    await this.#remote?.refresh();
  }

  get remote(): RemoteTarget {
    if (this.#remote !== undefined) return this.#remote;
    const none = new SpinneyError(
      'ERR_REMOTE_REFUSED',
      `Cannot bring contents: the store ${this.#where.store} has no remote, and has all of them here`,
    );
    return { warm: () => Promise.reject(none) };
  }

  setSettings(settings: SettingsTarget): void {
    this.#settings = settings;
  }

  get settings(): SettingsTarget {
    if (this.#settings === undefined) throw new Error('Cannot tell the settings: there are none yet');
    return this.#settings;
  }

  /** When the mount came up, as ISO 8601 tells it. */
  get since(): string | undefined {
    return this.#since;
  }

  setContinuity(continuity: { readonly restarts: RestartsReport }, upgrades: UpgradeTarget): void {
    this.#continuity = continuity;
    this.#upgrades = upgrades;
  }

  get upgrades(): UpgradeTarget | undefined {
    return this.#upgrades;
  }

  /** `entry` is the mount in the table of mounts. */
  setMount(mounted: Mounted, entry?: MountEntry): void {
    this.#mounted = mounted;
    this.#since = new Date().toISOString();
    this.#entry = entry;
    this.#mountState = 'up';
    this.requests.begin(mounted.requestLog, mounted.ended);
    void mounted.ended.then((end) => {
      this.#mountState = end.reason === 'failed' ? 'failed' : 'gone';
    });
  }

  #mountProblems(): readonly Problem[] {
    const { mountpoint } = this.#where;
    if (this.#mountState !== 'up')
      return [{ code: 'MOUNT_DOWN', reason: `the mount at ${mountpoint} is ${this.#mountState}` }];
    return this.#mounted?.problems() ?? [];
  }

  #displaced(): Problem | undefined {
    return this.#entry === undefined || this.#mountState !== 'up' ? undefined : displacedMount(this.#entry);
  }

  status(): StatusReport {
    const { driver } = this.#mounted ?? {};
    return {
      version,
      pid: process.pid,
      store: this.#where.store,
      mountpoint: this.#where.mountpoint,
      ...(driver !== undefined && { driver }),
      ...(this.#since !== undefined && { since: this.#since }),
      health: this.health(),
      settings: this.settings.report().settings,
      ...this.#remoteStatus(),
    };
  }

  #remoteStatus(): Pick<StatusReport, 'remote'> {
    const report = this.#remote?.report();
    if (report === undefined) return {};
    const { url, state, epoch, lagSeconds, lagBytes, contentBytesWaiting, durability, following } = report;
    const remote = { url, durability, state, epoch, lagSeconds, lagBytes, contentBytesWaiting };
    return { remote: { ...remote, ...(following && { following }) } };
  }

  stats({ blobs }: { blobs: boolean }): StatsReport {
    const { blobs: rows, ...tree } = this.#tree.stats();
    const { contents, disk } = this.#survey;
    const remote = this.#remote?.report();
    return {
      version,
      store: { path: this.#where.store },
      tree: blobs ? { ...tree, blobs: rows } : tree,
      mount: { mountpoint: this.#where.mountpoint, ...this.#mountStats() },
      snapshots: { ...tree.snapshots, contentBytes: this.snapshots.contentBytes },
      ...(contents !== undefined && { contents }),
      ...(disk !== undefined && { disk }),
      ...this.#scrubStats(),
      ...(remote !== undefined && { remote }),
      ...this.#restarts(),
      process: processStats(),
    };
  }

  #scrubStats(): Pick<StatsReport, 'scrub'> {
    if (this.#scrubber === undefined) return {};
    const { isRunning, last } = this.#scrubber;
    return { scrub: { isRunning, ...(last !== undefined && { last }) } };
  }

  #restarts(): { restarts?: RestartsReport } {
    return this.#continuity === undefined ? {} : { restarts: this.#continuity.restarts };
  }

  #mountStats(): MountStats {
    if (this.#mounted === undefined) {
      throw new SpinneyError(
        'ERR_MOUNT',
        `Cannot tell the stats of ${this.#where.mountpoint}: it is not up yet`,
      );
    }
    return this.#mounted.stats();
  }

  health(): HealthReport {
    const { restarts } = this.#restarts();
    return { ...this.#health.report(), ...(restarts !== undefined && restarts.count > 0 && { restarts }) };
  }

  /** How the daemon does, in a line for people. */
  summary(): string {
    const { store, mountpoint } = this.#where;
    const { reasons } = this.health();
    const serves = `Serves ${store} at ${mountpoint}`;
    return reasons.length === 0 ? serves : `${serves}; degraded: ${reasons.join('; ')}`;
  }

  /** Resolves when the mount has answered, false where that was an error; never, while it hangs. */
  async answers(): Promise<boolean> {
    const entry = this.#entry;
    // Gone from its place it is in use elsewhere, where this process has no path to ask by.
    if (entry === undefined || !isMountedAt(entry.mountpoint, entry)) return true;
    try {
      // The kernel keeps no answer to this one. On a thread of libuv's pool: whoever serves the mount may be this thread.
      await statfs(entry.mountpoint);
      return true;
    } catch {
      return false;
    }
  }

  debug(): DebugReport {
    return {
      version,
      node: process.version,
      pid: process.pid,
      log: this.#recentLog(),
    };
  }

  /** What is asked of the mount wakes the threads that serve it. */
  async threads(ms: number): Promise<ThreadReport[]> {
    let isAsking = false;
    return profileThreads(ms, SAMPLING_MICROS, () => {
      // A question that nobody answers holds a thread of Node's: there is never a second one.
      if (isAsking) return;
      isAsking = true;
      void this.answers().then(() => {
        isAsking = false;
      });
    });
  }

  async checkpoint(): Promise<CheckpointReport> {
    await this.#admin.run('checkpoint');
    return { checkpoint: this.#tree.stats().checkpoint };
  }

  async scrub({ rate = DEFAULT_SCRUB_MIB }: { rate: number | undefined }): Promise<ScrubReport> {
    if (this.#scrubber === undefined)
      throw new SpinneyError('ERR_MOUNT', 'Cannot scrub: the mount is not up yet');
    return await this.#scrubber.run(rate);
  }

  async compact(): Promise<CompactReport> {
    const before = this.#fill();
    await this.#admin.run('compact');
    return { before, after: this.#fill() };
  }

  #fill(): CompactReport['before'] {
    const { blobCount, averageFill } = this.#tree.stats();
    return { blobCount, averageFill };
  }
}

function processStats(): ProcessReport {
  const { user, system } = process.cpuUsage();
  return {
    pid: process.pid,
    startedAt: STARTED_AT,
    uptimeSeconds: Math.round(process.uptime()),
    rssBytes: process.memoryUsage.rss(),
    cpuUserSeconds: user / 1e6,
    cpuSystemSeconds: system / 1e6,
  };
}
