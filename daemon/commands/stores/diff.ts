import { askDaemonForLines } from '../../control/client.js';
import type { ChangeReport } from '../../control/reports.js';
import { badArgument, type RawOptions, requiredText, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { isTargetTold, PLACE, type Target, targetOf, targetOptions } from '../options/target.js';
import { Progress } from '../output/progress.js';
import { shownPath } from '../output/shown-path.js';
import { tellWaiting } from '../output/waiting.js';

export const diff: Command = {
  name: 'diff',
  summary: 'Tell which paths were made, changed, moved or removed since a snapshot',
  argument: { name: 'old', isRequired: true, describe: 'Name of a snapshot', values: undefined },
  more: [
    { name: 'new', describe: 'Name of a later one; left out: now' },
    { ...PLACE, describe: `${PLACE.describe}: what has a slash, or is "." or ".."` },
  ],
  options: { ...targetOptions, json: { describe: 'Print JSON, an object a line' } },
  async run(options, output) {
    const before = requiredText(options, 'old');
    const { after, place } = placed(options);
    const target = await targetOf(options, place);
    const progress = new Progress(output);
    const print = (change: ChangeReport): void => {
      progress.clear();
      output.out(`${options.json === true ? JSON.stringify(change) : line(change)}\n`);
    };
    await tellWaiting(output, 'comparing', compare(target, before, after, print), progress);
    return 0;
  },
};

/** A snapshot's name has no slash, so that a place is told from it; and somewhere a place has to be told. */
function placed(options: RawOptions): { after: string | undefined; place: string | undefined } {
  const second = textOption(options, 'new');
  const third = textOption(options, 'place');
  const isLast = third === undefined && !isTargetTold(options);
  if (second === undefined || !(isPlace(second) || isLast)) return { after: second, place: third };
  if (third !== undefined) throw badArgument(`both ${second} and ${third} are places; give one`);
  return { after: undefined, place: second };
}

function isPlace(text: string): boolean {
  return text.includes('/') || text === '.' || text === '..';
}

async function compare(
  target: Target,
  before: string,
  after: string | undefined,
  print: (change: ChangeReport) => void,
): Promise<void> {
  if ('socket' in target) {
    const to = after === undefined ? '' : `?to=${encodeURIComponent(after)}`;
    const path = `/v1/snapshots/${encodeURIComponent(before)}/diff${to}`;
    await askDaemonForLines(target.socket, path, (change) => print(change as ChangeReport));
    return;
  }
  const { diffSnapshots } = await import('../../mounting/unmounted.js');
  for await (const change of diffSnapshots(target.store, before, after)) print(change);
}

function line({ change, path, pathBytes, from, fromBytes, isChanged, type }: ChangeReport): string {
  const end = type === 'directory' && path !== '/' ? '/' : '';
  const was = from === undefined ? '' : `${shownPath(from, fromBytes)}${end} -> `;
  return `${change.padEnd(7)}  ${was}${shownPath(path, pathBytes)}${end}${isChanged === true ? '  (changed)' : ''}`;
}
