/** How this program is started: by which runtime, with which of its options, from which file. */
import { fileURLToPath } from 'node:url';
import { NO_DEBUGGER_SIGNAL } from './debugger-signal.js';

/** The file that the runtime is given. */
export const CLI = fileURLToPath(new URL('../cli.js', import.meta.url));

/** The words that run `spinney <args>` as this process was run. */
export function programLine(args: readonly string[]): string[] {
  const options = new Set([...NO_DEBUGGER_SIGNAL, ...process.execArgv]);
  return [process.execPath, ...options, CLI, ...args];
}
