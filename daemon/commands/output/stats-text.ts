/** What `spinney stats` shows people: the figures, and the operations as a table. */
import type { Latency } from '../../../engine/api.js';
import type { OperationFigures } from '../../../mount/types.js';
import { percentile } from '../../control/metrics/latency.js';
import type { StatsReport } from '../../control/reports.js';
import { formatTable } from './output.js';

const HEADINGS = ['operation', 'count', 'per second', 'p50', 'p99', 'max', 'errors'];

export function statsText(stats: StatsReport): string {
  const { latency, operations: _counts, ...mount } = stats.mount;
  const { latency: engine, ...tree } = stats.tree;
  const seconds = Math.max(1, stats.process.uptimeSeconds);
  const busiest = Object.entries(latency).sort(([, a], [, b]) => b.count - a.count);
  const upkeep: [string, Latency][] = [
    ['checkpoint', engine.checkpoint],
    ['journal sync', engine.journalSync],
    ['blob load', engine.blobLoad],
  ];
  const rows = [
    ...busiest.map(([name, figures]) => row(name, figures, seconds, errorsOf(figures))),
    ...upkeep.map(([name, figures]) => row(name, figures, seconds, '')),
  ];
  return `${formatTable({ ...stats, tree, mount })}\n\n${aligned([HEADINGS, ...rows])}`;
}

function row(name: string, latency: Latency, seconds: number, errors: string): string[] {
  const rate = latency.count / seconds;
  return [
    name,
    String(latency.count),
    rate.toFixed(rate < 10 ? 2 : 0),
    time(percentile(latency, 0.5)),
    time(percentile(latency, 0.99)),
    time(latency.maxMicros),
    errors,
  ];
}

function errorsOf({ errors }: OperationFigures): string {
  return Object.entries(errors)
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}

const UNITS = ['us', 'ms', 's'];

/** With three digits: `9.25 us`, `14.5 ms`. */
function time(micros: number): string {
  let unit = 0;
  let value = micros;
  for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1000;
  return value === 0 ? '0' : `${Number(value.toPrecision(3))} ${UNITS[unit]}`;
}

/** Names and errors to the left, figures to the right. */
function aligned(rows: readonly (readonly string[])[]): string {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((cells) => cells[column]!.length)));
  const isText = (column: number): boolean => column === 0 || column === HEADINGS.length - 1;
  return rows
    .map((cells) =>
      cells
        .map((cell, column) =>
          isText(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
