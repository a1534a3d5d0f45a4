/**
 * How one mount does: what its daemon answers, or, where none does in time, what its record and the table of mounts tell. Never
 * looks at the mount.
 */
import type { MountEntry } from '../../../../mount/mountpoints/mountinfo.js';
import { askDaemon } from '../../../control/client.js';
import type { HealthReport, StatsReport, StatusReport } from '../../../control/reports.js';
import { controlSocketPath } from '../../../control/socket-path.js';
import { isOf, type RunningDaemon } from '../../../places/daemon-record.js';
import type { StoreLook } from '../../../places/look/looks.js';
import { failureOf } from '../../../process/failure.js';
import { isStopped } from '../../../process/process-identity.js';

const ANSWER_DEADLINE_MS = 2_000;

/**
 * `hung`: its daemon is there and does not answer. `dead`: it has none any more. `unknown`: this user may not ask, or nobody
 * has left word.
 */
export type MountState = HealthReport['status'] | 'starting' | 'ending' | 'hung' | 'dead' | 'unknown';

export interface MountStatus {
  mountpoint: string;
  store: string;
  state: MountState;
  /** What is wrong, a sentence each; empty while all is well. */
  reasons: string[];
  /** What to do about it. */
  advice?: string;
  version?: string;
  driver?: string;
  since?: string;
  pid?: number;
  settings?: Record<string, string>;
  remote?: StatusReport['remote'];
}

/** What there is to ask by. */
export interface Asked {
  store: string;
  /** Where paths of the mount's namespace begin; empty: it is this one. */
  root: string;
  /** Undefined: the mount is gone from its place. */
  entry: MountEntry | undefined;
  /** The running daemon that has left a record of this mount. */
  daemon: RunningDaemon | undefined;
  /** Undefined: the store's disk does not answer. */
  look: StoreLook | undefined;
}

/** Resolves within a few seconds, whatever hangs. */
export async function statusOf(asked: Asked): Promise<MountStatus> {
  const { store, entry, daemon, look } = asked;
  const mountpoint = entry?.mountpoint ?? daemon?.mountpoint ?? '';
  const known = {
    mountpoint,
    store,
    ...(daemon && recorded(daemon)),
  };
  if (look === undefined) {
    return { ...known, state: 'unknown', reasons: [`its store ${store} is on a disk that does not answer`] };
  }
  const answer = await answerOf(controlOf(asked), daemon === undefined ? mountpoint : undefined);
  if (typeof answer === 'object') {
    const { health, version, driver, since, pid, remote, settings } = answer;
    const state = daemon?.state === 'ending' ? 'ending' : health.status;
    const told = {
      version,
      pid,
      ...(driver && { driver }),
      ...(since && { since }),
      ...(remote && { remote }),
      settings,
    };
    return { ...known, ...told, state, reasons: health.reasons };
  }
  return { ...known, ...withoutAnswer(asked, mountpoint, answer) };
}

function recorded({ pid, version, driver, since }: RunningDaemon): Partial<MountStatus> {
  return { pid, ...(version && { version }), ...(driver && { driver }), ...(since && { since }) };
}

/** Undefined where no daemon could have it. */
function controlOf({ store, root, daemon }: Asked): string | undefined {
  try {
    const { control } = daemon ?? {};
    return controlSocketPath(control === undefined ? { store: root + store } : { control: root + control });
  } catch {
    return undefined;
  }
}

type NoAnswer = 'silent' | 'nobody';

/** `mountpoint`: the one that an answer must be of. */
async function answerOf(
  socket: string | undefined,
  mountpoint: string | undefined,
): Promise<StatusReport | NoAnswer> {
  if (socket === undefined) return 'nobody';
  const signal = AbortSignal.timeout(ANSWER_DEADLINE_MS);
  const ask = async (path: string) => (await askDaemon(socket, 'GET', path, { signal })).body;
  try {
    const status = await ask('/v1/status').catch((error: unknown) => {
      if (failureOf(error).code === 'ERR_NO_ROUTE') return olderStatus(ask);
      throw error;
    });
    const report = status as StatusReport;
    return mountpoint === undefined || report.mountpoint === mountpoint ? report : 'nobody';
  } catch {
    return signal.aborted ? 'silent' : 'nobody';
  }
}

/** Of a daemon that goes on with a program from before an update. */
async function olderStatus(ask: (path: string) => Promise<unknown>): Promise<StatusReport> {
  const stats = (await ask('/v1/stats')) as StatsReport;
  const { version, store, mount, process } = stats;
  const since = new Date(Date.now() - process.uptimeSeconds * 1000).toISOString();
  const { mountpoint, driver } = mount;
  const health = (await ask('/v1/health')) as HealthReport;
  return { version, pid: process.pid, store: store.path, mountpoint, driver, since, health, settings: {} };
}

function withoutAnswer(
  asked: Asked,
  mountpoint: string,
  answer: NoAnswer,
): Pick<MountStatus, 'state' | 'reasons' | 'advice'> {
  const { store, entry, daemon, look } = asked;
  if (daemon !== undefined) {
    const { pid, state } = daemon;
    if (isStopped(pid)) {
      const advice = `kill -CONT ${pid} lets it go on`;
      return { state: 'hung', reasons: [`its daemon (pid ${pid}) is stopped`], advice };
    }
    if (state !== 'serving') return { state, reasons: [] };
    if (answer === 'nobody') {
      return { state: 'unknown', reasons: [`its daemon (pid ${pid}) cannot be asked`] };
    }
    const reasons = [`its daemon (pid ${pid}) does not answer within ${ANSWER_DEADLINE_MS / 1000} s`];
    const advice = `wait, or end it by kill -KILL ${pid}: its journal has all that was acknowledged`;
    return { state: 'hung', reasons, advice };
  }
  if (answer === 'silent') {
    return { state: 'hung', reasons: [`its daemon does not answer within ${ANSWER_DEADLINE_MS / 1000} s`] };
  }
  if (look?.access === 'denied') {
    return { state: 'unknown', reasons: ['only root and the owner of its store may ask'] };
  }
  if (entry !== undefined && look !== undefined && isDead(entry, look)) {
    const advice = `spinney umount ${mountpoint} takes it away; spinney mount ${mountpoint} --store ${store} mounts it anew`;
    return { state: 'dead', reasons: ['its daemon has died'], advice };
  }
  const reason =
    look?.access === 'missing'
      ? `its store is no longer at ${store}`
      : `nobody has left word in ${store} who serves it`;
  return {
    state: 'unknown',
    reasons: [reason],
    advice: `spinney umount ${mountpoint} takes it away if nobody does`,
  };
}

/** Its daemon's record has outlived it, or another daemon has the store, which only one can have that writes. */
function isDead(entry: MountEntry, { left, daemons }: StoreLook): boolean {
  return left.some((record) => isOf(record, entry)) || (daemons.length > 0 && !entry.isReadOnlyFilesystem);
}
