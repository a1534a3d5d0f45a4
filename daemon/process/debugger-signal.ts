/**
 * Node opens a debugger's port when it gets SIGUSR1: whoever may send a signal to root's daemon by mistake, or reach the
 * port, is nobody to run code in it. With a listener it does not.
 */

import { setImmediate } from 'node:timers/promises';

/** Of the event loop, in which all that was asked for before has been done. */
const TURNS = 3;

/** The option that tells Node itself, where it knows that. */
export const NO_DEBUGGER_SIGNAL = ['--disable-sigusr1'].filter((option) =>
  process.allowedNodeEnvironmentFlags.has(option),
);

/** SIGUSR1 does nothing from now on. */
export function ignoreDebuggerSignal(): void {
  process.on('SIGUSR1', () => {});
}

/** Closes the port that a signal before that has opened; one that was asked for stays. */
export async function closeDebugger(): Promise<void> {
  const asked = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((text) =>
    text.includes('--inspect'),
  );
  if (asked) return;
  // Node can be built without it.
  const inspector = await import('node:inspector').catch(() => undefined);
  if (inspector === undefined) return;
  // From Node.js 22 on a signal asks for the port twice, the second time when the event loop comes around: so one that was closed opens again.
  for (let turn = 0; turn < TURNS; turn++) {
    if (inspector.url() !== undefined) inspector.close();
    await setImmediate();
  }
}
