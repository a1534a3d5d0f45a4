/**
 * The whole screen, from what is known, in so many columns and lines: never more of either. What does not fit is left out, the least
 * telling first. Has no effects.
 */
import { onOneLine } from '../../../output/output.js';
import { KEYS, type Settings } from '../keys.js';
import type { View } from '../view.js';
import { durationText, spanText } from './figures.js';
import {
  clientsPanel,
  directoriesPanel,
  HISTORY_LINES,
  historyPanel,
  type Moment,
  operationsPanel,
  type Room,
  slowPanel,
} from './panels.js';
import { summaryLines } from './summary.js';
import { sharedLines } from './table.js';
import { beside, cutEnd, cutLine, cutStart, type Line, lineColumns, padded, span } from './text.js';

export interface Shown {
  /** Undefined: there was one look only. */
  view: View | undefined;
  settings: Settings;
  place: string;
  /** Time of day, as people read it. */
  clock: string;
  /** Why the daemon does not answer, and for how long it has not. */
  away: { reason: string; seconds: number } | undefined;
  history: readonly (Moment | undefined)[];
}

/** Of a screen so wide, two panels beside each other have room for all their columns. */
const WIDE = 140;
/** In so many lines there is room for what is not needed at the first glance. */
const TALL = 32;
const GAP = 2;

export function screenLines(shown: Shown, room: Room): Line[] {
  const { columns, lines } = room;
  if (columns <= 0 || lines <= 0) return [];
  const top = [header(shown, columns), ...alerts(shown, room)].slice(0, lines);
  // A window of a line or two has none to give to the keys.
  const bottom = lines < 4 ? [] : [footer(shown, columns)];
  const left = Math.max(0, lines - top.length - bottom.length);
  const body = middle(shown, { columns, lines: left }).slice(0, left);
  const empty = Array.from({ length: left - body.length }, (): Line => []);
  return [...top, ...body, ...empty, ...bottom].map((line) => cutLine(line, columns));
}

/** The same without a screen: all there is, in as many lines as it takes. */
export function plainLines(view: View, settings: Settings, columns: number): Line[] {
  const all = Number.MAX_SAFE_INTEGER;
  const room = { columns, lines: all };
  const shown = { view, settings, place: view.mountpoint, clock: view.time, away: undefined, history: [] };
  return [
    header(shown, columns),
    ...alerts(shown, room),
    ...summaryLines(view, columns),
    ...operationsPanel(view, settings.sort, room),
    ...clientsPanel(view, settings.sort, room),
    ...directoriesPanel(view, settings.sort, room),
    ...(view.slow.length === 0 ? [] : slowPanel(view, room)),
  ].map((line) => cutLine(line, columns));
}

function header({ view, place, clock, settings, away }: Shown, columns: number): Line {
  const state = settings.isPaused
    ? span(' PAUSED ', 'alarm')
    : away !== undefined
      ? span(' NO ANSWER ', 'alarm')
      : view === undefined
        ? span('looking', 'dim')
        : span(view.health, view.health === 'ok' ? 'good' : 'bad');
  const up = view === undefined ? '' : `  up ${spanText(view.process.uptimeSeconds)}`;
  const right: Line = [state, span(`${up}  every ${durationText(settings.intervalSeconds)}  ${clock}`)];
  const rightColumns = lineColumns(right);
  const about = view === undefined ? '' : `  ${view.version}, ${view.driver}, pid ${view.process.pid}`;
  const room = columns - rightColumns - GAP;
  const left = [span('spinney top ', 'dim'), span(onOneLine(place), 'strong'), span(about, 'dim')];
  const fitting = lineColumns(left) <= room ? left : [span(cutStart(onOneLine(place), room), 'strong')];
  return [
    ...fitting,
    span(' '.repeat(Math.max(GAP, columns - lineColumns(fitting) - rightColumns))),
    ...right,
  ];
}

/** What is wrong, a line each, whatever else is left out; of many the first ones, and how many more there are. */
function alerts({ view, away, place }: Shown, { columns, lines }: Room): Line[] {
  const told = away === undefined ? [] : [absence(away)];
  const all = [...told, ...(view?.alerts ?? []).map(onOneLine)];
  const most = Math.max(1, Math.floor(lines / 6));
  const lineOf = (text: string): Line => [span(cutEnd(`! ${text}`, columns), 'bad')];
  if (all.length <= most) return all.map(lineOf);
  const rest = all.length - most + 1;
  return [
    ...all.slice(0, most - 1).map(lineOf),
    lineOf(`${rest} things are wrong: see spinney health ${onOneLine(place)}`),
  ];
}

function absence({ reason, seconds }: { reason: string; seconds: number }): string {
  return `The daemon has not answered for ${spanText(seconds)}, tried again and again: ${onOneLine(reason)}`;
}

function footer({ settings, view }: Shown, columns: number): Line {
  const keys = [
    ['q', 'quit'],
    ['r t p', `sort by ${settings.sort}`],
    ['space', settings.isPaused ? 'go on' : 'pause'],
    ['+ -', durationText(settings.intervalSeconds)],
    ['?', 'help'],
  ] as const;
  const line = keys.flatMap(([key, does]) => [span(` ${key} `, 'heading'), span(` ${does}  `)]);
  const took = view === undefined ? '' : `of the last ${durationText(view.seconds)}`;
  const space = columns - lineColumns(line) - took.length;
  return space < 0 ? line : [...line, span(' '.repeat(space)), span(took, 'dim')];
}

function middle(shown: Shown, room: Room): Line[] {
  const { view, settings, history } = shown;
  if (settings.isHelpShown) return help();
  if (view === undefined) return [[], [span('  Looking for a moment ...', 'dim')]];
  const summary = summaryLines(view, room.columns);
  return room.columns >= WIDE && room.lines >= TALL
    ? wide(view, settings, history, summary.length, room)
    : narrow(view, settings, history, summary, room);
}

/** One panel below the other; clients and directories share a height. */
function narrow(
  view: View,
  settings: Settings,
  history: Shown['history'],
  summary: Line[],
  room: Room,
): Line[] {
  const { columns, lines } = room;
  const isTall = lines >= TALL;
  const named = Math.max(view.clients?.length ?? 0, view.directories?.length ?? 0);
  // Of a low window the operations get most.
  const summarized = lines >= 16 ? summary.length : Math.min(summary.length, Math.max(1, lines - 8));
  const [forSummary, forOperations, forActivity, forSlow, forHistory] = sharedLines(lines, [
    { least: Math.min(summarized, isTall ? summarized : 7), most: summarized },
    {
      least: isTall ? 11 : Math.min(4, Math.max(2, lines - 2)),
      most: 1 + Math.max(1, view.operations.length),
    },
    { least: isTall ? 7 : 4, most: 1 + Math.max(1, named) },
    { least: isTall ? 4 : 0, most: isTall ? 1 + Math.max(1, view.slow.length) : 0 },
    { least: isTall ? HISTORY_LINES : 0, most: isTall ? HISTORY_LINES : 0 },
  ]) as [number, number, number, number, number];
  return [
    ...summary.slice(0, forSummary),
    ...operationsPanel(view, settings.sort, { columns, lines: forOperations }),
    ...activity(view, settings, { columns, lines: forActivity }),
    ...slowPanel(view, { columns, lines: forSlow }),
    ...historyPanel(history, settings.intervalSeconds, { columns, lines: forHistory }),
  ];
}

function activity(view: View, { sort }: Settings, { columns, lines }: Room): Line[] {
  const left = Math.floor((columns - GAP) / 2);
  const right = Math.max(0, columns - GAP - left);
  return beside(
    clientsPanel(view, sort, { columns: left, lines }),
    directoriesPanel(view, sort, { columns: right, lines }),
    left,
    GAP,
  );
}

/** Operations beside clients and directories, and what is slow over the whole width. */
function wide(
  view: View,
  settings: Settings,
  history: Shown['history'],
  summarized: number,
  room: Room,
): Line[] {
  const { columns, lines } = room;
  const { sort, intervalSeconds } = settings;
  const left = Math.floor((columns - GAP) * 0.56);
  const right = columns - GAP - left;
  const most = {
    clients: 1 + Math.max(1, view.clients?.length ?? 0),
    directories: 1 + Math.max(1, view.directories?.length ?? 0),
  };
  const activeLines = Math.max(1 + view.operations.length, most.clients + 1 + most.directories);
  const [forTop, , forMain, , forSlow] = sharedLines(lines, [
    { least: summarized, most: summarized },
    { least: 1, most: 1 },
    { least: 12, most: Math.max(12, activeLines) },
    { least: 1, most: 1 },
    { least: 6, most: 1 + Math.max(1, view.slow.length) },
  ]) as [number, number, number, number, number];
  const [forClients, , forDirectories] = sharedLines(forMain, [
    { least: 4, most: most.clients },
    { least: 1, most: 1 },
    { least: 4, most: most.directories },
  ]) as [number, number, number];
  const top = beside(
    summaryLines(view, left),
    historyPanel(history, intervalSeconds, { columns: right, lines: forTop }),
    left,
    GAP,
  );
  const main = beside(
    operationsPanel(view, sort, { columns: left, lines: forMain }),
    [
      ...clientsPanel(view, sort, { columns: right, lines: forClients }),
      [],
      ...directoriesPanel(view, sort, { columns: right, lines: forDirectories }),
    ],
    left,
    GAP,
  );
  return [...top, [], ...main, [], ...slowPanel(view, { columns, lines: forSlow })];
}

function help(): Line[] {
  const terms: readonly (readonly [string, string])[] = [
    ['/S', 'requests a second since the last look'],
    ['TIME', 'share of all the time that requests took'],
    ['P50 P99 MAX', 'half of the requests, 99 of 100, all of them took at most so long'],
    ['MOSTLY IN', 'where most of the time went:'],
    ['  tree', 'finding and changing names and attributes, in memory'],
    ['  journal', 'waiting until the journal is on the disk'],
    ['  below', "reading, writing and syncing contents in the store's filesystem"],
    ['  loading', 'reading parts of the tree that were not in the cache'],
    ['  waiting', 'for another request, for a checkpoint, for space'],
    ['EACH', 'what a request took on the average'],
  ];
  const row = ([name, does]: readonly [string, string], style: 'strong' | 'plain'): Line => [
    span(`  ${padded(name, 13)}`, style),
    span(does),
  ];
  return [[], ...KEYS.map((key) => row(key, 'strong')), [], ...terms.map((term) => row(term, 'plain'))];
}
