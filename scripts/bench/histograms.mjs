/**
 * What timing requests costs: `npm run bench:histograms [-- flags]` mounts two stores with the same files, one whose requests
 * are timed, as all are, and one whose are not. In turns a client looks at every file of each, without caches, so that each look is a
 * request for the name and one for the attributes. The caches of processors and the clock of the machine move all the time, so
 * only turns beside each other are compared, and they change places.
 *
 *   --files N    files in a directory (2000)
 *   --passes N   times that a turn looks at each (10)
 *   --turns N    pairs of turns, after a warm-up (40)
 *   --mounts N   pairs of mounts, each with its turns: what is compiled, and where, differs between processes (3)
 *   --dir FOLDER where stores and mountpoints are made and removed (the system's temporary folder)
 *
 * Prints a JSON line for each pair of mounts and one for all: microseconds of a look with and without, the median of the
 * ratios of neighbouring turns, and the load of the machine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { machine, median, print } from './lib/report.mjs';
import { compile } from './mount/client/programs.mjs';
import { unmountBelow } from './mount/mounted.mjs';
import { look, orderOf, startSide, summary, WARM_UP_TURNS } from './mount/sides.mjs';

/** How it is said that requests are not to be timed; for this comparison alone. */
const SIDES = [
  { name: 'timed', environment: {} },
  { name: 'untimed', environment: { SPINNEY_REQUEST_TIMES: 'off' } },
];

const { values: flags } = parseArgs({
  options: {
    files: { type: 'string', default: '2000' },
    passes: { type: 'string', default: '10' },
    turns: { type: 'string', default: '40' },
    mounts: { type: 'string', default: '3' },
    dir: { type: 'string', default: tmpdir() },
  },
});
const [files, passes, turns, mounts] = ['files', 'passes', 'turns', 'mounts'].map(numberOf);

const directory = mkdtempSync(join(resolve(flags.dir), 'spinney-bench-'));
try {
  const { client } = await compile(directory, []);
  print({ figure: 'machine', ...machine(), load: loadavg().map(rounded) });
  const all = [];
  for (let pair = 0; pair < mounts; pair++) {
    const { timed, untimed } = await compare(client, join(directory, String(pair)));
    const ratios = timed.map((micros, turn) => micros / untimed[turn]);
    all.push(...ratios);
    print({
      figure: 'stat without caches',
      timedMicros: rounded(median(timed)),
      untimedMicros: rounded(median(untimed)),
      ratio: rounded(median(ratios), 4),
      load: loadavg().map(rounded),
    });
  }
  print({
    figure: 'all',
    pairsOfTurns: all.length,
    ...summary(all),
    load: loadavg().map(rounded),
  });
} finally {
  if (unmountBelow(directory)) rmSync(directory, { recursive: true, force: true });
}

/** Microseconds of a look, by turns. */
async function compare(program, place) {
  const sides = [];
  try {
    for (const side of SIDES)
      sides.push(await startSide(program, join(place, side.name), { ...side, files }));
    const taken = { timed: [], untimed: [] };
    for (let turn = -WARM_UP_TURNS; turn < turns; turn++) {
      for (const side of orderOf(sides, turn)) {
        const { micros } = await look(side, files, passes);
        if (turn >= 0) taken[side.name].push(micros);
      }
    }
    return taken;
  } finally {
    for (const { mount } of sides) await mount.stop();
  }
}

function rounded(value, digits = 2) {
  return Number(value.toFixed(digits));
}

function numberOf(flag) {
  const value = Number(flags[flag]);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`histograms: Cannot use --${flag} ${flags[flag]}: give a whole number above 0`);
  return process.exit(2);
}
