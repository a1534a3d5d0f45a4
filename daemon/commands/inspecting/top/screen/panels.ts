/** The parts of the screen, each from the view alone, in a room that it is given. */
import { onOneLine } from '../../../output/output.js';
import { shownPath } from '../../../output/shown-path.js';
import type { SortKey } from '../keys.js';
import {
  type ClientView,
  type DirectoryView,
  largestPart,
  type OperationView,
  PARTS,
  type Parts,
  type SlowView,
  type View,
} from '../view.js';
import { bytesText, countText, durationText, percentText, spanText, sparkline } from './figures.js';
import { type Column, table } from './table.js';
import { cutEnd, type Line, padded, type Style, span } from './text.js';

export interface Room {
  columns: number;
  lines: number;
}

/** From here on a time is told as one that people feel, and as one that they complain about. */
const FELT_SECONDS = 0.01;
const LONG_SECONDS = 0.1;

/** Errors that are plain answers, as that a name is not there. */
const PLAIN_ERRORS = ['ENOENT', 'ENODATA', 'EEXIST', 'ENOTEMPTY', 'EAGAIN', 'ENOSYS', 'EOPNOTSUPP', 'ERANGE'];

export function timeStyle(seconds: number | undefined): Style {
  if (seconds === undefined || seconds < FELT_SECONDS) return 'plain';
  return seconds < LONG_SECONDS ? 'warn' : 'bad';
}

export function errorStyle(errors: Readonly<Record<string, number>>): Style {
  if (errors.EIO !== undefined) return 'bad';
  return Object.keys(errors).some((name) => !PLAIN_ERRORS.includes(name)) ? 'warn' : 'plain';
}

/** From here on each part of the time has a column. */
const WIDE_OPERATIONS = 110;

export function operationsPanel(view: View, sort: SortKey, room: Room): Line[] {
  const value = { rate: rateOf, time: busyOf, p99: ({ p99Seconds }: OperationView) => p99Seconds ?? 0 }[sort];
  const rows = [...view.operations].sort((a, b) => value(b) - value(a) || b.rate - a.rate);
  const all = view.requests.busy;
  const time = (key: 'p50Seconds' | 'p99Seconds' | 'maxSeconds', heading: string): Column<OperationView> => ({
    heading,
    columns: 7,
    kind: 'number',
    cell: (row) => maybe(row[key], durationText),
    style: (row) => timeStyle(row[key]),
  });
  const columns: Column<OperationView>[] = [
    { heading: 'OPERATION', columns: 12, kind: 'text', cell: ({ operation }) => operation },
    {
      heading: marked('/S', sort === 'rate'),
      columns: 7,
      kind: 'number',
      cell: ({ rate }) => countText(rate),
    },
    {
      heading: marked('TIME', sort === 'time'),
      columns: 5,
      kind: 'number',
      cell: ({ busy }) => percentText(all === 0 ? 0 : busy / all),
      style: ({ busy }) => (busy > all / 2 ? 'strong' : 'plain'),
    },
    time('p50Seconds', 'P50'),
    time('p99Seconds', marked('P99', sort === 'p99')),
    time('maxSeconds', 'MAX'),
    ...(room.columns >= WIDE_OPERATIONS ? PARTS.map(partColumn) : [MOSTLY]),
    {
      heading: 'ERRORS/S',
      columns: undefined,
      kind: 'text',
      cell: ({ errors }) => errorsText(errors),
      style: ({ errors }) => errorStyle(errors),
    },
  ];
  return table(columns, rows, room, 'No requests since the last look');
}

const MOSTLY: Column<OperationView> = {
  heading: 'MOSTLY IN',
  columns: 13,
  kind: 'text',
  cell: ({ parts }) => maybe(largestPart(parts), ({ name, share }) => `${name} ${percentText(share)}`),
};

function partColumn(part: keyof Parts): Column<OperationView> {
  return {
    heading: part.toUpperCase(),
    columns: 7,
    kind: 'number',
    // Nothing where there is next to nothing: the others are what one looks for.
    cell: ({ parts, busy }) => (parts[part] < busy / 200 ? '' : percentText(parts[part] / busy)),
    style: ({ parts }) => (largestPart(parts)?.name === part ? 'strong' : 'dim'),
  };
}

const WIDE_CLIENTS = 60;
const NOT_TOLD = 'Not told yet';

export function clientsPanel({ clients, requests }: View, sort: SortKey, room: Room): Line[] {
  const isWide = room.columns >= WIDE_CLIENTS;
  const columns: Column<ClientView>[] = [
    { heading: 'USER', columns: isWide ? 14 : 8, kind: 'text', cell: ({ user }) => onOneLine(user) },
    { heading: 'PROGRAM', columns: undefined, kind: 'text', cell: ({ program }) => onOneLine(program) },
    ...(isWide ? [processesColumn] : []),
    ...activityColumns<ClientView>(sort, requests.busy, isWide),
  ];
  return table(columns, sorted(clients, sort), room, clients === undefined ? NOT_TOLD : 'Nobody');
}

const processesColumn: Column<ClientView> = {
  heading: 'PROCESSES',
  columns: 9,
  kind: 'number',
  cell: ({ processes }) => countText(processes),
};

export function directoriesPanel({ directories, requests }: View, sort: SortKey, room: Room): Line[] {
  const columns: Column<DirectoryView>[] = [
    {
      heading: 'DIRECTORY',
      columns: undefined,
      kind: 'path',
      cell: ({ path, pathBytes }) => shownPath(path, pathBytes),
    },
    ...activityColumns<DirectoryView>(sort, requests.busy, room.columns >= WIDE_CLIENTS),
  ];
  return table(columns, sorted(directories, sort), room, directories === undefined ? NOT_TOLD : 'None');
}

interface Active {
  rate: number;
  busy: number;
}

function activityColumns<Row extends Active>(sort: SortKey, all: number, isWide: boolean): Column<Row>[] {
  const each: Column<Row> = {
    heading: marked('EACH', sort === 'p99'),
    columns: 7,
    kind: 'number',
    cell: (row) => durationText(eachOf(row)),
    style: (row) => timeStyle(eachOf(row)),
  };
  return [
    {
      heading: marked('/S', sort === 'rate'),
      columns: 7,
      kind: 'number',
      cell: ({ rate }) => countText(rate),
    },
    {
      heading: marked('TIME', sort === 'time'),
      columns: 5,
      kind: 'number',
      // The two are of slightly different moments.
      cell: ({ busy }) => percentText(all === 0 ? 0 : Math.min(1, busy / all)),
    },
    ...(isWide ? [each] : []),
  ];
}

/** Of these no percentiles are known: by p99 means by what one takes on the average. */
function sorted<Row extends Active>(rows: readonly Row[] | undefined, sort: SortKey): Row[] {
  const value = { rate: rateOf, time: busyOf, p99: eachOf }[sort];
  return [...(rows ?? [])].sort((a, b) => value(b) - value(a) || b.rate - a.rate);
}

function rateOf({ rate }: Active): number {
  return rate;
}

function busyOf({ busy }: Active): number {
  return busy;
}

function eachOf({ rate, busy }: Active): number {
  return rate === 0 ? 0 : busy / rate;
}

const SLOW_COLUMNS: readonly Column<SlowView>[] = [
  { heading: 'SLOW, AGO', columns: 10, kind: 'text', cell: ({ agoSeconds }) => spanText(agoSeconds) },
  {
    heading: 'TOOK',
    columns: 8,
    kind: 'number',
    cell: ({ seconds }) => durationText(seconds),
    style: ({ seconds }) => timeStyle(seconds),
  },
  { heading: 'MOSTLY IN', columns: 9, kind: 'text', cell: ({ mostly }) => mostly },
  { heading: 'OPERATION', columns: 13, kind: 'text', cell: ({ operation }) => operation },
  { heading: 'RESULT', columns: 9, kind: 'text', cell: ({ result }) => result },
  { heading: 'USER', columns: 9, kind: 'text', cell: ({ user }) => onOneLine(user) },
  { heading: 'PROGRAM', columns: 15, kind: 'text', cell: ({ program }) => onOneLine(program) },
  {
    heading: 'PATH',
    columns: undefined,
    kind: 'path',
    cell: ({ path, pathBytes }) => shownPath(path, pathBytes),
  },
];

export function slowPanel({ slow }: View, room: Room): Line[] {
  return table(SLOW_COLUMNS, slow, room, 'No slow requests');
}

/** What was at one look, for the bars. */
export interface Moment {
  rate: number;
  p99Seconds: number | undefined;
  bytesRate: number;
  waiting: number | undefined;
}

const HISTORY_LABEL = 14;
const HISTORY_MOST = 16;
export const HISTORY_LINES = 5;

/** Bars of the last looks, the newest on the right. Undefined: the daemon was away. */
export function historyPanel(
  history: readonly (Moment | undefined)[],
  intervalSeconds: number,
  room: Room,
): Line[] {
  const columns = room.columns - HISTORY_LABEL - HISTORY_MOST;
  if (columns < 8 || room.lines < 2) return [];
  const heading = padded(
    cutEnd(`HISTORY, ${durationText(intervalSeconds)} A COLUMN`, room.columns),
    room.columns,
  );
  const row = (
    label: string,
    value: (moment: Moment) => number | undefined,
    text: (most: number) => string,
  ): Line => {
    const values = history.slice(-columns).map((moment) => moment && value(moment));
    const most = values.reduce<number>((high, one) => Math.max(high, one ?? 0), 0);
    return [
      span(padded(label, HISTORY_LABEL), 'dim'),
      span(sparkline(values, columns, most), 'good'),
      span(padded(`  most ${text(most)}`, HISTORY_MOST), 'dim'),
    ];
  };
  return [
    [span(heading, 'heading')],
    row(
      'requests',
      ({ rate }) => rate,
      (most) => `${countText(most)}/s`,
    ),
    row('p99', ({ p99Seconds }) => p99Seconds, durationText),
    row(
      'contents',
      ({ bytesRate }) => bytesRate,
      (most) => `${bytesText(most)}/s`,
    ),
    row('waiting', ({ waiting }) => waiting, countText),
  ].slice(0, room.lines);
}

/** The most frequent first. */
export function errorsText(errors: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(errors).sort(([, a], [, b]) => b - a);
  return sorted.map(([name, rate]) => `${name} ${countText(rate)}`).join(' ');
}

function marked(heading: string, isSorted: boolean): string {
  return isSorted ? `${heading}▼` : heading;
}

function maybe<T>(value: T | undefined, text: (value: T) => string): string {
  return value === undefined ? '-' : text(value);
}
