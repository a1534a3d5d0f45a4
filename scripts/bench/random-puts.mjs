/**
 * What a put costs while a tree of random puts grows past its cache: `npm run bench:puts [-- flags]` loads new keys of 45
 * bytes with 96-byte values in random order, and prints one JSON line for each step of the load and a table in Markdown at
 * the end. Each load runs in a process of its own, with its checkpoints in a maintenance worker, as the daemon's.
 *
 *   --keys N         keys (4000000)
 *   --step N         keys of one step (500000)
 *   --cache MIB      cache (256)
 *   --gets N         random gets after the load (200000)
 *   --repeat N       loads of each build (1)
 *   --build FOLDER   a built checkout to compare, in turns with others; may be repeated (this one)
 *   --system NAME    another system to compare: lmdb, sqlite (after `npm --prefix scripts/bench ci`); may be repeated
 *   --dir FOLDER     where the stores are made and removed (the system's temporary folder)
 *   --markdown FILE  write the table there too
 *
 * A figure is microseconds for each put of the step, the time of the slowest, and what 99.9 % of them stay below; how many
 * checkpoint rounds ended in the step, how many MiB the process wrote in it (blobs, journal and manifest), and how many
 * blobs the tree had at its end; the last two are 0 for other systems. What they cost beyond memory shows where all have the same limit of it:
 * `systemd-run --user --scope -p MemoryMax=700M npm run bench:puts -- --system lmdb --system sqlite`. For the gets, of a tree that was opened anew, it is microseconds and KiB read for each, the first
 * half of them not counted.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Random } from './lib/keys.mjs';
import { machine, median, print } from './lib/report.mjs';
import { table, timeText } from './lib/table.mjs';

const MIB = 1024 * 1024;
const KEY_BYTES = 45;
const VALUE = Buffer.alloc(96, 'v');

const { values: flags } = parseArgs({
  options: {
    keys: { type: 'string', default: '4000000' },
    step: { type: 'string', default: '500000' },
    cache: { type: 'string', default: '256' },
    gets: { type: 'string', default: '200000' },
    repeat: { type: 'string', default: '1' },
    build: { type: 'string', multiple: true, default: [fileURLToPath(new URL('../..', import.meta.url))] },
    system: { type: 'string', multiple: true, default: [] },
    dir: { type: 'string', default: tmpdir() },
    markdown: { type: 'string' },
    load: { type: 'string' },
  },
});
const keys = wholeNumber('keys');
const step = wholeNumber('step');
const cacheMib = wholeNumber('cache');
const SYSTEMS = ['lmdb', 'sqlite'];
for (const name of flags.system) {
  if (SYSTEMS.includes(name)) continue;
  console.error(`random-puts: Cannot use --system ${name}: it is one of ${SYSTEMS.join(', ')}`);
  process.exit(2);
}
/** What is compared: built checkouts and other systems. */
const contenders = [...flags.build, ...flags.system];

function wholeNumber(flag) {
  const number = Number(flags[flag]);
  if (Number.isInteger(number) && number > 0) return number;
  console.error(`random-puts: Cannot use --${flag} ${flags[flag]}: give a whole number above 0`);
  process.exit(2);
}

/** Writes key number n over the key buffer: directories of all sizes, so that blobs are full at different times. */
function spell(key, n) {
  key.write(`/srv/family-${pad(Math.floor(Math.sqrt(n)), 5)}/album/picture-${pad(n, 13)}`, 'latin1');
}

function pad(number, width) {
  return String(number).padStart(width, '0');
}

/** All numbers below `count`, in an order that looks random and is the same in every run. */
function shuffled(count) {
  const numbers = Uint32Array.from({ length: count }, (_, i) => i);
  const random = new Random(1);
  for (let i = count - 1; i > 0; i--) {
    const j = random.below(i + 1);
    const kept = numbers[i];
    numbers[i] = numbers[j];
    numbers[j] = kept;
  }
  return numbers;
}

/** Bytes that this process has passed to write(2), or got by read(2). */
function passedBytes(counter) {
  return Number(new RegExp(`^${counter}: (\\d+)$`, 'm').exec(readFileSync('/proc/self/io', 'utf8'))[1]);
}

/** Opens the tree of a build, or what another system has in its place, in a folder. */
async function openerOf(build) {
  const cacheBytes = cacheMib * MIB;
  if (SYSTEMS.includes(build)) {
    const { open, levels } = await import(`./systems/${build}.mjs`);
    return (dir) => open({ dir, level: levels[0], cacheBytes });
  }
  const { Tree } = await import(pathToFileURL(join(build, 'dist/engine/index.js')).href);
  return (dir) => Tree.open({ dir, cacheBytes, checkpoint: { host: 'worker' } });
}

/** One load, in this process: a line for each step. */
async function load(build) {
  const open = await openerOf(build);
  const dir = mkdtempSync(join(resolve(flags.dir), 'spinney-puts-'));
  try {
    const tree = open(dir);
    const numbers = shuffled(keys);
    const key = Buffer.alloc(KEY_BYTES);
    const times = new Float64Array(step);
    let rounds = 0;
    let written = passedBytes('wchar');
    for (let first = 0; first < keys; first += step) {
      const count = Math.min(step, keys - first);
      const started = performance.now();
      for (let i = 0, before = started; i < count; i++) {
        spell(key, numbers[first + i]);
        tree.put(key, VALUE);
        const now = performance.now();
        times[i] = now - before;
        before = now;
      }
      const ms = performance.now() - started;
      const sorted = times.subarray(0, count).sort();
      const { checkpoint, blobCount } = tree.stats?.() ?? { checkpoint: { rounds: 0 }, blobCount: 0 };
      const writtenNow = passedBytes('wchar');
      print({
        figure: 'random-puts',
        build,
        keys: first + count,
        usPerPut: (ms * 1000) / count,
        p999Us: sorted[Math.floor(count * 0.999)] * 1000,
        maxMs: sorted[count - 1],
        rounds: checkpoint.rounds - rounds,
        writtenMib: Math.round((writtenNow - written) / MIB),
        blobs: blobCount,
      });
      rounds = checkpoint.rounds;
      written = writtenNow;
    }
    const started = performance.now();
    await tree.close();
    print({ figure: 'random-puts.close', build, ms: performance.now() - started });
    getAtRandom(open(dir), build);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function getAtRandom(tree, build) {
  const random = new Random(2);
  const key = Buffer.alloc(KEY_BYTES);
  const half = Math.ceil(wholeNumber('gets') / 2);
  for (const counts of [false, true]) {
    const started = performance.now();
    const before = passedBytes('rchar');
    for (let i = 0; i < half; i++) {
      spell(key, random.below(keys));
      if (tree.get(key)?.length !== VALUE.length) throw new Error(`Cannot find ${key.latin1Slice()}`);
    }
    const usPerGet = ((performance.now() - started) * 1000) / half;
    const kibPerGet = (passedBytes('rchar') - before) / 1024 / half;
    if (counts) print({ figure: 'random-puts.gets', build, usPerGet, kibPerGet });
  }
  tree.close();
}

function run() {
  print({ ...machine(), cacheMib });
  const lines = [];
  for (let i = 0; i < wholeNumber('repeat'); i++) {
    for (const build of contenders) {
      const passedOn = ['keys', 'step', 'cache', 'gets', 'dir'];
      const own = passedOn.flatMap((flag) => [`--${flag}`, flags[flag]]);
      const { stdout, status } = spawnSync(process.execPath, [process.argv[1], ...own, '--load', build], {
        stdio: ['ignore', 'pipe', 'inherit'],
        encoding: 'utf8',
      });
      if (status !== 0) process.exit(1);
      process.stdout.write(stdout);
      for (const line of stdout.split('\n')) if (line !== '') lines.push(JSON.parse(line));
    }
  }
  const markdown = markdownTable(lines.filter(({ figure }) => figure === 'random-puts'));
  console.log(markdown);
  if (flags.markdown !== undefined) writeFileSync(flags.markdown, markdown);
}

/** Medians of the loads of each build, side by side. */
function markdownTable(lines) {
  const rows = [];
  for (let until = step; until < keys + step; until += step) {
    const reached = Math.min(until, keys);
    const row = [reached.toLocaleString('en')];
    for (const build of contenders) {
      const of = lines.filter((line) => line.build === build && line.keys === reached);
      const middle = (figure) => median(of.map((line) => line[figure]));
      row.push(
        timeText(middle('usPerPut')),
        timeText(middle('p999Us')),
        timeText(middle('maxMs')),
        String(middle('rounds')),
        middle('writtenMib').toLocaleString('en'),
        String(middle('blobs')),
      );
    }
    rows.push(row);
  }
  const columns = ['us per put', '99.9 %, us', 'slowest, ms', 'rounds', 'MiB written', 'blobs'];
  const head = [
    'keys',
    ...contenders.flatMap((build) =>
      columns.map((column) => (flags.system.includes(build) ? `${build}: ${column}` : column)),
    ),
  ];
  return `${table(head, rows)}\n`;
}

if (flags.load === undefined) run();
else await load(flags.load);
