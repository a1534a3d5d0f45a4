/** The verbs that ask a running daemon by its control socket. A new one is one entry here. */
import { askDaemon } from '../../control/client.js';
import type { HealthReport, ScrubReport, StatsReport } from '../../control/reports.js';
import { numberOption, type RawOptions, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { PLACE, placeArgument, socketOf, targetOptions } from '../options/target.js';
import { healthText } from '../output/health-text.js';
import { formatTable } from '../output/output.js';
import { statsText } from '../output/stats-text.js';

interface ControlVerb {
  name: string;
  summary: string;
  method: 'GET' | 'POST';
  path: string;
  /** Options of its own, and the query that they make. */
  options?: Command['options'];
  query?: (options: RawOptions) => string;
  /** The answer for people; a table of it where nothing is said. */
  text?: (body: unknown) => string;
  /** Whether the answer is the one that is hoped for; else the exit code is 1. */
  isGood?: (body: unknown) => boolean;
}

const VERBS: readonly ControlVerb[] = [
  {
    name: 'stats',
    summary: 'Show what the tree, the mount and the process do',
    method: 'GET',
    path: '/v1/stats',
    text: (body) => statsText(body as StatsReport),
  },
  {
    name: 'health',
    summary: 'Say whether the daemon is healthy (exit code 0) or degraded (1)',
    method: 'GET',
    path: '/v1/health',
    text: (body) => healthText(body as HealthReport),
  },
  { name: 'checkpoint', summary: 'Write a checkpoint now', method: 'POST', path: '/v1/checkpoint' },
  { name: 'compact', summary: 'Repack the tree and merge small blobs', method: 'POST', path: '/v1/compact' },
  {
    name: 'scrub',
    summary: 'Verify all blobs in the store that is mounted: exit code 0 sound, 1 damaged',
    method: 'POST',
    path: '/v1/scrub',
    options: { rate: { takesValue: true, describe: 'MiB a second at most', default: '64' } },
    query: (options) => {
      const bounds = { default: 64, min: 1, max: 1_000_000, integer: false };
      return `?rate=${numberOption(options, 'rate', bounds)}`;
    },
    isGood: (body) => {
      const { damaged, manifest } = body as ScrubReport;
      return damaged?.length === 0 && manifest === undefined;
    },
  },
];

const OK = 200;

export const controlVerbs: readonly Command[] = VERBS.map(({ name, summary, method, path, ...own }) => ({
  name,
  summary,
  argument: placeArgument,
  options: { ...targetOptions, json: { describe: 'Print JSON' }, ...own.options },
  async run(options, output) {
    const { status, body } = await askDaemon(
      await socketOf(options, textOption(options, PLACE.name)),
      method,
      path + (own.query?.(options) ?? ''),
    );
    const text = own.text ?? ((answer) => formatTable(answer as object));
    output.out(`${options.json === true ? JSON.stringify(body, null, 2) : text(body)}\n`);
    return status === OK && (own.isGood?.(body) ?? true) ? 0 : 1;
  },
}));
