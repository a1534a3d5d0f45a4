/** Waiting for a daemon that its guard starts again: meanwhile nobody serves the mount, and yet it is not dead. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning } from '../process/process-identity.js';
import { daemonsOf, isRestarting, type RunningDaemon } from './daemon-record.js';

const LOOK_AGAIN_MS = 20;
/** As often as a guard tries, and as long as each try may take. */
const DEADLINE_MS = 120_000;

/** Resolves when there is a daemon again that can be asked, or nobody who would start one: of this mount, or of any mount of the store. */
export async function awaitRestart(store: string, mountpoint?: string): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS;
  while (isRestarting(store, mountpoint) && performance.now() < deadline) await sleep(LOOK_AGAIN_MS);
}

/**
 * The daemon that goes on with the mount that `before` served, which answers no more; waits until it can be asked. Undefined: there is
 * none, for the mount has come to its end.
 */
export async function daemonAfter(store: string, before: RunningDaemon): Promise<RunningDaemon | undefined> {
  const { mountpoint, pid } = before;
  while (isRunning(before)) {
    const record = daemonsOf(store).find((daemon) => daemon.pid === pid);
    if (record === undefined || record.state === 'ending') return undefined;
    await sleep(LOOK_AGAIN_MS);
  }
  await awaitRestart(store, mountpoint);
  return daemonsOf(store).find((daemon) => daemon.mountpoint === mountpoint);
}
