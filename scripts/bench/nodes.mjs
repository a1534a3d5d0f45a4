/**
 * `npm run bench:nodes [-- flags]`: the main figures of the engine and of the mount under several versions of Node.js, in turns.
 * In each round every version runs the benchmarks (run.mjs) once, on Spinney alone, in an order that moves by one. A ratio
 * is a version's time divided by that of the first in the same round, and the median of the rounds counts. Prints a JSON
 * line for each figure and version, and a table in Markdown at the end. The versions are kept outside of the checkout.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine, median, print, RUNS, report } from './lib/report.mjs';
import { table, timeText } from './lib/table.mjs';

const RUN = fileURLToPath(new URL('run.mjs', import.meta.url));
const NODE_VERSION = fileURLToPath(new URL('../node-version', import.meta.url));
const VERSIONS = ['20', '22', '24', '26'];
/** What is measured, unless more or less is asked for. */
const ENGINE = ['get', 'put', 'mixed', 'list100', 'metadata', 'createDelete', 'rename'];
const MOUNT = ['files', 'stat', 'read', 'ls', 'find'];

const USAGE = `npm run bench:nodes [-- flags]
  --quick            one short round: that it works, not how fast
  --rounds N         rounds (${RUNS})
  --only NAME        of the engine: ${ENGINE.join(', ')};
                     of the mount: ${MOUNT.join(', ')}; may be repeated (all)
  --keys N           of the engine: keys in the store (500000)
  --version VERSION  of Node.js, such as 24 or 20.19.0; the first is what the others are held against; may be repeated (${VERSIONS.join(', ')})
  --markdown FILE    write the table there too`;

const list = { type: 'string', multiple: true, default: [] };

function fail(message) {
  console.error(`bench: ${message}\n${USAGE}`);
  process.exit(2);
}

function parsed() {
  try {
    const { values } = parseArgs({
      options: {
        quick: { type: 'boolean', default: false },
        rounds: { type: 'string' },
        only: list,
        keys: { type: 'string' },
        version: list,
        markdown: { type: 'string' },
      },
    });
    const rounds = Number(values.rounds ?? (values.quick ? 1 : RUNS));
    if (!Number.isInteger(rounds) || rounds < 1)
      fail(`Cannot use --rounds ${values.rounds}: give a number from 1`);
    const unknown = values.only.filter((name) => !ENGINE.includes(name) && !MOUNT.includes(name));
    if (unknown.length > 0) fail(`Cannot run the workload ${unknown.join(', ')}`);
    return { ...values, rounds };
  } catch (error) {
    return fail(error.message);
  }
}

/** Where the programs of this version are. */
function binOf(version) {
  return execFileSync(NODE_VERSION, [version], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
}

/** The benchmarks' figures under the Node.js in this directory: objects as report.mjs prints them. */
function figuresUnder(bin, args) {
  const printed = execFileSync(`${bin}/node`, [RUN, ...args], {
    encoding: 'utf8',
    env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = printed.split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line)).filter(({ median: figure }) => figure !== undefined);
}

/** By what a figure is told from others. */
function titleOf({ figure, shape, durability, clients }) {
  const several = clients > 1 ? `${clients} clients` : undefined;
  return [figure, shape, durability, several].filter((part) => part !== undefined).join(', ');
}

/** Times by title and version, in the order of rounds. */
class Figures {
  #all = new Map();

  add(title, unit, version, time) {
    let figure = this.#all.get(title);
    if (figure === undefined) {
      figure = { title, unit, times: new Map() };
      this.#all.set(title, figure);
    }
    const times = figure.times.get(version);
    if (times === undefined) figure.times.set(version, [time]);
    else times.push(time);
  }

  /** For each figure a row: its title, the first version's time, and the ratios of the others. */
  rows(versions) {
    return [...this.#all.values()].map(({ title, unit, times }) => {
      const base = times.get(versions[0]);
      const cells = versions.map((version) => {
        const own = times.get(version);
        const ratio = median(own.map((time, round) => time / base[round]));
        report(title, { node: version }, own, unit, { ratio });
        return version === versions[0] ? `${timeText(median(own))} ${unit}` : `${ratio.toFixed(2)}x`;
      });
      return [title, ...cells];
    });
  }
}

const flags = parsed();
const versions = flags.version.length > 0 ? flags.version : VERSIONS;
const bins = new Map(versions.map((version) => [version, binOf(version)]));
const named = new Map(
  [...bins].map(([version, bin]) => [
    version,
    execFileSync(`${bin}/node`, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim(),
  ]),
);
const only = flags.only.length > 0 ? flags.only : [...ENGINE, ...MOUNT];
const parts = [
  ['engine', ENGINE],
  ['mount', MOUNT],
]
  .filter(([, names]) => names.some((name) => only.includes(name)))
  .map(([part]) => part);
const args = [
  ...parts,
  ...['--system', 'spinney', '--rounds', '1'],
  ...only.flatMap((name) => ['--only', name]),
  ...(flags.quick ? ['--quick'] : []),
  ...(flags.quick && flags.keys === undefined ? [] : ['--keys', flags.keys ?? '500000']),
];

print(machine());
const figures = new Figures();
for (let round = 0; round < flags.rounds; round++) {
  for (let turn = 0; turn < versions.length; turn++) {
    const version = versions[(turn + round) % versions.length];
    for (const figure of figuresUnder(bins.get(version), args)) {
      figures.add(titleOf(figure), figure.unit, version, figure.median);
      if (figure.cpuUsPerOp === undefined) continue;
      figures.add(`${titleOf(figure)}, the daemon's CPU time`, 'us/op', version, figure.cpuUsPerOp);
    }
  }
}
const head = ['', ...versions.map((version) => `Node.js ${named.get(version)}`)];
const markdown = `${table(head, figures.rows(versions))}\n`;
console.log(markdown);
if (flags.markdown !== undefined) writeFileSync(flags.markdown, markdown);
