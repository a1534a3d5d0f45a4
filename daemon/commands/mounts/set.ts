import { askDaemon } from '../../control/client.js';
import type { SettingsChange, SettingsReport } from '../../control/reports.js';
import { SETTINGS } from '../../mounting/settings/table.js';
import { badArgument, type RawOptions } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { nearest } from '../options/nearest.js';
import { PLACE, placeArgument, socketOf, targetOptions } from '../options/target.js';
import { formatTable } from '../output/output.js';
import { tellWaiting } from '../output/waiting.js';
import { mount } from './mount.js';

const NAMES = SETTINGS.map(({ name }) => name);
/** Begins a setting, where a path could not be meant. */
const SETTING = /^([A-Za-z][A-Za-z-]*)=(.*)$/s;

export const set: Command = {
  name: 'set',
  summary: 'Change settings of a mount at once, all of them or none; without any, show them',
  argument: placeArgument,
  rest: {
    name: 'settings',
    describe: `Words as log-level=debug; what can change is ${NAMES.join(', ')}`,
    values: NAMES.map((name) => `${name}=`),
  },
  options: { ...targetOptions, json: { describe: 'Print JSON' } },
  async run(options, output) {
    const { place, wanted } = sorted(options);
    const socket = await socketOf(options, place);
    const print = (report: object, text: string) =>
      output.out(`${options.json === true ? JSON.stringify(report, null, 2) : text}\n`);
    if (Object.keys(wanted).length === 0) {
      const { body } = await askDaemon(socket, 'GET', '/v1/settings');
      const report = body as SettingsReport;
      print(report, formatTable(report.settings));
      return 0;
    }
    const asked = askDaemon(socket, 'PATCH', '/v1/settings', { body: JSON.stringify(wanted) });
    const change = (await tellWaiting(output, 'changing settings', asked)).body as SettingsChange;
    print(change, textOf(change));
    return 0;
  },
};

/** The place, if one is among the words, and the settings. */
function sorted(options: RawOptions): { place: string | undefined; wanted: Record<string, string> } {
  const words = [options[PLACE.name], options.settings].flat().filter((word) => word !== undefined);
  const places: string[] = [];
  const wanted: Record<string, string> = {};
  for (const word of words.map(String)) {
    const [, name, value] = SETTING.exec(word) ?? [];
    if (name === undefined || value === undefined) {
      places.push(word);
      continue;
    }
    refuseUnknown(name);
    if (name in wanted) throw badArgument(`${name} is given twice`);
    if (value === '') throw badArgument(`${name} needs a value`);
    wanted[name] = value;
  }
  const [place, another] = places;
  if (another !== undefined) throw badArgument(`"${another}" is no setting: give words as log-level=debug`);
  return { place, wanted };
}

/** Why one that is an option of `mount` cannot change its daemon knows. */
function refuseUnknown(name: string): void {
  const known = [...new Set([...NAMES, ...Object.keys(mount.options)])];
  if (known.includes(name)) return;
  const meant = nearest(name, known);
  const hint = meant === undefined ? `what can change is ${NAMES.join(', ')}` : `did you mean ${meant}?`;
  throw badArgument(`there is no setting "${name}"; ${hint}`);
}

function textOf({ changed, notes }: SettingsChange): string {
  const changes = Object.entries(changed).map(([name, { from, to }]) => [name, `${from} -> ${to}`] as const);
  if (changes.length === 0) return 'nothing to change: all of it is so already';
  return [formatTable(Object.fromEntries(changes)), ...notes].join('\n');
}
