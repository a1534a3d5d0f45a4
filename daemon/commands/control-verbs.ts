/** The verbs that ask a running daemon by its control socket. A new one is one entry here. */
import { askDaemon } from '../control/client.js';
import type { ScrubReport } from '../control/reports.js';
import { controlSocketPath } from '../control/socket-path.js';
import { controlSocketOf } from '../places/served-store.js';
import { badArgument, numberOption, type RawOptions, textOption } from './arguments.js';
import type { Command } from './command.js';
import { formatTable } from './output.js';

interface ControlVerb {
  name: string;
  summary: string;
  method: 'GET' | 'POST';
  path: string;
  /** Options of its own, and the query that they make. */
  options?: Command['options'];
  query?: (options: RawOptions) => string;
  /** Whether the answer is the one that is hoped for; else the exit code is 1. */
  isGood?: (body: unknown) => boolean;
}

const VERBS: readonly ControlVerb[] = [
  {
    name: 'stats',
    summary: 'Show what the tree, the mount and the process do',
    method: 'GET',
    path: '/v1/stats',
  },
  {
    name: 'health',
    summary: 'Say whether the daemon is healthy (exit code 0) or degraded (1)',
    method: 'GET',
    path: '/v1/health',
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
    isGood: (body) => (body as ScrubReport).damaged?.length === 0,
  },
];

const OK = 200;

export const controlVerbs: readonly Command[] = VERBS.map(({ name, summary, method, path, ...own }) => ({
  name,
  summary,
  argument: { name: 'place', isRequired: false, describe: 'Mountpoint or store', values: 'mount' },
  options: {
    store: {
      takesValue: true,
      values: 'directory',
      describe: 'Directory of the store, in place of the argument',
    },
    control: {
      takesValue: true,
      values: 'file',
      describe: 'Path of the control socket',
      default: 'as the daemon has told in its store',
    },
    json: { describe: 'Print JSON' },
    ...own.options,
  },
  async run(options, output) {
    const { status, body } = await askDaemon(socketOf(options), method, path + (own.query?.(options) ?? ''));
    const text = options.json === true ? JSON.stringify(body, null, 2) : formatTable(body as object);
    output.out(`${text}\n`);
    return status === OK && (own.isGood?.(body) ?? true) ? 0 : 1;
  },
}));

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
