/** Runs a daemon in this process until its mount ends: logs, signals, and word to a waiting parent. */

import { failureOf } from '../process/failure.js';
import type { Logger } from '../process/log.js';
import { Daemon, type DaemonOptions } from './daemon.js';

/** What a detached daemon tells the command that started it, once. */
export type ReadyMessage = { ready: true; driver: string } | { ready: false; code: string; message: string };

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * Returns the exit code at the end of the mount. Throws the reason when the daemon does not come up. A signal
 * stops it, also one that arrives while it starts; a second one hurries.
 */
export async function runForeground(options: DaemonOptions, log: Logger): Promise<number> {
  let daemon: Daemon | undefined;
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    signals++;
    log.info({ signal }, signals === 1 ? 'stopping' : 'stopping at once');
    void daemon?.stop();
  };
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    daemon = await Daemon.start(options, log);
    tellParent({ ready: true, driver: daemon.driver });
    for (let missed = 0; missed < signals; missed++) void daemon.stop();
    return await daemon.run();
  } catch (error) {
    const failure = failureOf(error);
    log.debug({ err: error }, 'could not go on');
    tellParent({ ready: false, ...failure });
    throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

/** Only a daemon that `startDetached` made has a channel; it is closed after the one message. */
function tellParent(message: ReadyMessage): void {
  if (process.send === undefined || !process.connected) return;
  // The parent may be gone; the daemon lives on without it.
  process.send(message, () => {
    if (process.connected) process.disconnect();
  });
}
