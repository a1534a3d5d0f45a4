/** Runs a daemon in this process until its mount ends: logs, signals, and word to a waiting parent and a service manager. */
import { isatty } from 'node:tty';
import { exitNow, setsid } from '../../../mount/process-calls.js';
import { closeDebugger } from '../../process/debugger-signal.js';
import { failureOf } from '../../process/failure.js';
import type { Inheritance } from '../../process/inheritance.js';
import type { OpenLog } from '../../process/log/log.js';
import { ServiceManager } from '../../process/service-manager.js';
import { Daemon } from '../daemon.js';
import type { DaemonOptions } from '../daemon-options.js';
import { leaveMount } from '../guard/mount-guard.js';
import { ServiceReports } from './service-reports.js';

/** What a detached daemon tells the command that started it: any number of notices, then once how it went. */
export type StartMessage =
  | { notice: string }
  | { ready: true; status: string }
  | { ready: false; code: string; message: string };

const STOPPING = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGXCPU', 'SIGPWR'] as const;
/** They would end the process without a word. Of SIGXFSZ the write that it is about tells, too. */
const IGNORED = ['SIGUSR1', 'SIGUSR2', 'SIGALRM', 'SIGVTALRM', 'SIGIO', 'SIGXFSZ'] as const;

/**
 * Returns the exit code at the end of the mount. Throws the reason when the daemon does not come up. A signal of those
 * that stop it does so also while it starts; a second one hurries. SIGHUP opens the log anew, but where the daemon is on
 * a terminal the terminal is gone, and that stops it. `inheritance`: the mount is there, and this daemon goes on with it.
 */
export async function runForeground(
  options: DaemonOptions,
  log: OpenLog,
  inheritance?: Inheritance,
): Promise<number> {
  const { logger } = log;
  let daemon: Daemon | undefined;
  let reports: ServiceReports | undefined;
  let signals = 0;
  const starting = new AbortController();
  const stop = (signal: NodeJS.Signals) => {
    signals++;
    logger.info({ signal }, signals === 1 ? 'stopping' : 'stopping at once');
    starting.abort();
    void daemon?.stop();
  };
  const reopen = () => {
    log.reopen();
    logger.info('opened the log anew');
  };
  const listeners = new Map<NodeJS.Signals, (signal: NodeJS.Signals) => void>();
  for (const signal of IGNORED) listeners.set(signal, () => {});
  for (const signal of STOPPING) listeners.set(signal, stop);
  listeners.set('SIGHUP', [0, 1, 2].some((fd) => isatty(fd)) ? stop : reopen);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  try {
    await closeDebugger();
    const service = ServiceManager.fromEnvironment();
    daemon = await Daemon.start(options, logger, {
      logProblem: () => log.problem(),
      recentLog: () => log.recent(),
      notice: (text) => {
        service?.status(text);
        tellParent({ notice: text });
      },
      signal: starting.signal,
      ending: () => reports?.ending(),
      ...(inheritance !== undefined && { inheritance }),
      ...(service !== undefined && { service }),
      isSupervised: service !== undefined && process.send === undefined && inheritance?.from !== 'guard',
    });
    // Not earlier: where autofs(5) waits for the mount, it lets nobody through but the group of who was told to mount.
    if (process.connected) setsid();
    if (service !== undefined) reports = new ServiceReports(service, daemon.status);
    tellParent({ ready: true, status: daemon.status.summary() });
    for (let missed = 0; missed < signals; missed++) void daemon.stop();
    return await daemon.run();
  } catch (error) {
    const failure = failureOf(error);
    logger.debug({ err: error }, 'could not go on');
    tellParent({ ready: false, ...failure });
    // Who stops a daemon that starts wants no other.
    if (signals > 0 && inheritance?.guard !== undefined) leaveMount(inheritance.guard);
    throw error;
  } finally {
    reports?.stop();
    for (const [signal, listener] of listeners) process.off(signal, listener);
    // Node would wait for threads that may never end, as those that wait for a disk that hangs.
    process.once('exit', (code) => exitNow(code));
  }
}

/** Only a daemon that `startDetached` made has a channel; it is closed after the word that it waits for. */
function tellParent(message: StartMessage): void {
  if (process.send === undefined || !process.connected) return;
  // The parent may be gone; the daemon lives on without it.
  process.send(message, () => {
    if ('ready' in message && process.connected) process.disconnect();
  });
}
