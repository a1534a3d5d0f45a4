/** What the verbs that talk to a running daemon share. */
import type { Argv } from 'yargs';
import { askDaemon, type ControlAnswer } from '../control/client.js';
import { controlSocketPath } from '../control/socket-path.js';
import { type RawOptions, textOption } from './arguments.js';
import { formatTable, type Output } from './output.js';

export function controlOptions(yargs: Argv): Argv {
  return yargs
    .option('store', { type: 'string', requiresArg: true, describe: 'Directory of the store' })
    .option('control', { type: 'string', requiresArg: true, describe: 'Control socket, if not in the store' })
    .option('json', { type: 'boolean', describe: 'Print JSON' });
}

/** Asks the daemon that `--store` or `--control` names, and prints its answer. */
export async function askAndPrint(
  options: RawOptions,
  method: 'GET' | 'POST',
  path: string,
  output: Output,
): Promise<ControlAnswer> {
  const store = textOption(options, 'store');
  const control = textOption(options, 'control');
  const socket = controlSocketPath({
    ...(store !== undefined && { store }),
    ...(control !== undefined && { control }),
  });
  const answer = await askDaemon(socket, method, path);
  const text = options.json ? JSON.stringify(answer.body, null, 2) : formatTable(answer.body as object);
  output.out(`${text}\n`);
  return answer;
}
