/**
 * Node opens a debugger's port when it gets SIGUSR1: whoever may send a signal to root's daemon by mistake, or reach the
 * port, is nobody to run code in it. With a listener it does not.
 */

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
  if (inspector?.url() !== undefined) inspector.close();
}
