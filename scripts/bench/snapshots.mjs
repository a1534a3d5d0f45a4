/**
 * What snapshots cost: `npm run bench:snapshots [-- flags]` loads keys of 45 bytes with 96-byte values into a tree whose checkpoints
 * a maintenance worker makes, as the daemon's, and prints a JSON line for each figure.
 *
 *   --keys N         keys (1000000)
 *   --changes N      keys that differ between two snapshots (100)
 *   --repeat N       snapshots and differences of each kind, of which the median counts (7)
 *   --operations N   puts and deletes of a turn, with snapshots and without (200000)
 *   --rounds N       turns (7)
 *   --cache MIB      cache (512)
 *   --file MIB       file that is written first after a snapshot; 0: none is (1024)
 *   --dir FOLDER     where the stores are made and removed (the system's temporary folder)
 *
 * `snapshot`: milliseconds of a snapshot right after a checkpoint; the same while another thread writes without a pause,
 * and the longest that one of its puts took meanwhile. `diff`: milliseconds to list all changes, where they are
 * beside each other and where they are all over the tree. `overhead`: microseconds of a put or a delete of a random key in a
 * tree without snapshots, in one with ten, and their ratio, in turns; `names with ten snapshots`: of making, renaming and removing a file through
 * the filesystem. `first write`: see first-writes.mjs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Tree } from '../../dist/engine/index.js';
import { timeFirstWrites } from './first-writes.mjs';
import { Random } from './lib/keys.mjs';
import { machine, median, print } from './lib/report.mjs';
import { compareNames, NamesStore } from './names.mjs';

const MIB = 1024 * 1024;
const KEY_BYTES = 45;
const VALUE = Buffer.alloc(96, 'v');
const OTHER = Buffer.alloc(96, 'w');
const key = Buffer.alloc(KEY_BYTES);

/** Key number n, in the key buffer: directories of 500 files. */
function spell(n) {
  key.write(`/srv/family-${pad(Math.floor(n / 500), 5)}/album/picture-${pad(n, 13)}`, 'latin1');
  return key;
}

function pad(number, width) {
  return String(number).padStart(width, '0');
}

if (isMainThread) await run();
else write();

/** The other thread: puts without a pause, and posts how long the longest took between two messages. */
function write() {
  const { handle, keys, words } = workerData;
  const tree = Tree.attach(handle);
  const random = new Random(7);
  parentPort.postMessage('ready');
  for (;;) {
    Atomics.wait(words, 0, 0);
    if (Atomics.load(words, 0) === 2) break;
    let longest = 0;
    let puts = 0;
    while (Atomics.load(words, 0) === 1) {
      const before = performance.now();
      tree.put(spell(random.below(Math.min(keys, 1000))), OTHER);
      longest = Math.max(longest, performance.now() - before);
      puts++;
    }
    parentPort.postMessage({ longest, puts });
  }
  tree.close();
}

async function run() {
  const { values: flags } = parseArgs({
    options: {
      keys: { type: 'string', default: '1000000' },
      changes: { type: 'string', default: '100' },
      repeat: { type: 'string', default: '7' },
      operations: { type: 'string', default: '200000' },
      rounds: { type: 'string', default: '7' },
      cache: { type: 'string', default: '512' },
      file: { type: 'string', default: '1024' },
      dir: { type: 'string', default: tmpdir() },
    },
  });
  const number = (flag) => {
    const value = Number(flags[flag]);
    if (Number.isInteger(value) && value > 0) return value;
    console.error(`snapshots: Cannot use --${flag} ${flags[flag]}: give a whole number above 0`);
    process.exit(2);
  };
  const options = {
    keys: number('keys'),
    changes: number('changes'),
    repeat: number('repeat'),
    operations: number('operations'),
    rounds: number('rounds'),
  };
  const home = mkdtempSync(join(resolve(flags.dir), 'spinney-snapshots-'));
  const open = (name) => {
    const checkpoint = { host: 'worker' };
    const tree = Tree.open({ dir: join(home, name), cacheBytes: number('cache') * MIB, checkpoint });
    for (let n = 0; n < options.keys; n++) tree.put(spell(n), VALUE);
    tree.checkpoint();
    return tree;
  };
  print({ figure: 'machine', ...machine() });
  try {
    const tree = open('one');
    await timeSnapshots(tree, options);
    timeDiffs(tree, options);
    const plain = open('two');
    compareWrites([plain, tree], options);
    for (const each of [tree, plain]) each.close();
    compareNamesWithSnapshots(join(home, 'without'), join(home, 'with'));
  } finally {
    rmSync(home, { recursive: true });
  }
  const mebibytes = Number(flags.file);
  if (mebibytes > 0)
    await timeFirstWrites({ directory: resolve(flags.dir), mebibytes, repeat: options.repeat });
}

async function timeSnapshots(tree, { keys, repeat }) {
  const words = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL(import.meta.url), { workerData: { handle: tree.share(), keys, words } });
  const next = () => new Promise((done) => worker.once('message', done));
  await next();
  const alone = [];
  const beside = [];
  const longest = [];
  const usual = [];
  const writeFor = async (act) => {
    const answer = next();
    Atomics.store(words, 0, 1);
    Atomics.notify(words, 0);
    await pause(50);
    const result = act();
    await pause(50);
    Atomics.store(words, 0, 0);
    return [result, (await answer).longest];
  };
  for (let n = 0; n < repeat; n++) {
    tree.checkpoint();
    alone.push(timed(() => tree.snapshot(`alone ${n}`)));
    usual.push((await writeFor(() => 0))[1]);
    tree.checkpoint();
    const [ms, pauseMs] = await writeFor(() => {
      tree.checkpoint();
      return timed(() => tree.snapshot(`beside ${n}`));
    });
    beside.push(ms);
    longest.push(pauseMs);
  }
  Atomics.store(words, 0, 2);
  Atomics.notify(words, 0);
  await new Promise((done) => worker.once('exit', done));
  for (const { name } of tree.snapshots()) tree.deleteSnapshot(name);
  print({
    figure: 'snapshot',
    keys,
    blobs: tree.stats().blobCount,
    ms: median(alone),
    besideWriterMs: median(beside),
    longestPutMs: median(longest),
    longestPutWithoutMs: median(usual),
  });
}

function timeDiffs(tree, { keys, changes, repeat }) {
  const random = new Random(3);
  for (const kind of ['together', 'apart']) {
    const times = [];
    let found = 0;
    for (let n = 0; n < repeat; n++) {
      tree.snapshot('before');
      const first = random.below(keys - changes);
      for (let i = 0; i < changes; i++)
        tree.put(
          spell(kind === 'together' ? first + i : random.below(keys)),
          Buffer.from(`${kind} ${n} ${i}`),
        );
      tree.snapshot('after');
      times.push(
        timed(() => {
          found = 0;
          for (const _ of tree.diff('before', 'after')) found++;
        }),
      );
      for (const name of ['before', 'after']) tree.deleteSnapshot(name);
    }
    print({ figure: `diff of changes ${kind}`, keys, changes: found, ms: median(times) });
  }
}

/** Takes ten snapshots of the second tree and compares it with the first. */
function compareWrites(trees, { keys, operations, rounds }) {
  const [, tree] = trees;
  for (let n = 0; n < 10; n++) {
    for (let i = 0; i < 100; i++) tree.put(spell(n * 100 + i), OTHER);
    tree.snapshot(`snapshot ${n}`);
  }
  const us = [[], []];
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < 2; turn++) {
      const which = (turn + round) % 2;
      us[which].push((timed(() => churn(trees[which], keys, operations, round)) * 1000) / operations);
      trees[which].checkpoint();
    }
  }
  const [without, with10] = us.map((times) => median(times));
  print({ figure: 'overhead of ten snapshots', keys, operations, without, with10, ratio: with10 / without });
}

/** The same files are in both stores, and in each of the ten snapshots of the second more than in the one before. */
function compareNamesWithSnapshots(...directories) {
  const stores = directories.map((directory) => new NamesStore(directory, true));
  for (let n = 0; n < 10; n++) {
    for (const store of stores) store.turn(`before ${n}`, 1000);
    stores[1].tree.snapshot(`snapshot ${n}`);
  }
  print({ figure: 'names with ten snapshots', unit: 'us/op', ...compareNames(...stores) });
  for (const store of stores) store.close();
}

function churn(tree, keys, operations, round) {
  const random = new Random(round + 11);
  for (let i = 0; i < operations; i++) {
    spell(random.below(keys));
    if (i % 4 === 3) tree.delete(key);
    else tree.put(key, VALUE);
  }
}

function timed(act) {
  const started = performance.now();
  act();
  return performance.now() - started;
}
