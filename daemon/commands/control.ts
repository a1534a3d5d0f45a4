/** What the verbs that talk to a running daemon share. */
import type { Argv } from 'yargs';
import { askDaemon, type ControlAnswer } from '../control/client.js';
import { controlSocketPath } from '../control/socket-path.js';
import { controlSocketOf } from '../mounting/served-store.js';
import { badArgument, type RawOptions, textOption } from './arguments.js';
import { formatTable, type Output } from './output.js';

export function controlOptions(yargs: Argv): Argv {
  return yargs
    .positional('place', { type: 'string', describe: 'Mountpoint or store' })
    .option('store', { type: 'string', requiresArg: true, describe: 'Directory of the store' })
    .option('control', { type: 'string', requiresArg: true, describe: 'Control socket' })
    .option('json', { type: 'boolean', describe: 'Print JSON' });
}

/** Asks the daemon that a mountpoint, a store or `--control` names, and prints its answer. */
export async function askAndPrint(
  options: RawOptions,
  method: 'GET' | 'POST',
  path: string,
  output: Output,
): Promise<ControlAnswer> {
  const answer = await askDaemon(socketOf(options), method, path);
  const text = options.json ? JSON.stringify(answer.body, null, 2) : formatTable(answer.body as object);
  output.out(`${text}\n`);
  return answer;
}

function socketOf(options: RawOptions): string {
  const control = textOption(options, 'control');
  const places = [textOption(options, 'place'), textOption(options, 'store')].filter(
    (place) => place !== undefined,
  );
  const [place, another] = places;
  if (another !== undefined) throw badArgument(`both ${place} and --store ${another} were given; give one`);
  if (control !== undefined) return controlSocketPath({ control });
  if (place !== undefined) return controlSocketOf(place);
  throw badArgument('say which daemon: give a mountpoint, a store, or --control');
}
