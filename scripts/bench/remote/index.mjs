/**
 * What a remote costs and gives: `npm run bench:remote [-- flags]`, before a radosgw on this machine, which it starts and ends
 * (scripts/radosgw). The server works on the same processors, so all but ratios are those of a small machine.
 *
 *   --only NAME      overhead, lag, shipped, cold or fsync (all)
 *   --files N        files of a turn (2000)
 *   --turns N        pairs of turns (20), and repetitions of what is measured one by one
 *   --cold N,N,...   files of a tree that an empty machine takes over (10000,100000,1000000)
 *   --dir FOLDER     where stores and mountpoints are made and removed (the system's temporary folder)
 *
 * Prints a JSON line for each figure:
 *
 * - `overhead`: times of operations at `local` against those of a mount without a remote, in turns that change places; the median ratio.
 * - `lag`: milliseconds from one create's answer until the remote has it, and what was told of the lag under a load without a pause.
 * - `shipped`: requests and bytes for a thousand creates, in a load and one by one, each until the remote has all.
 * - `cold`: milliseconds from the start of an empty machine's daemon to the mount, and to the answer of its first `ls`.
 * - `fsync`: milliseconds of an fsync at `remote` and of the SDK's own PUT of as many bytes, in turns; the ratio of the medians.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { machine, median, print } from '../lib/report.mjs';
import { compile } from '../mount/client/programs.mjs';
import { unmountBelow } from '../mount/mounted.mjs';
import { run } from '../mount/processes.mjs';
import { CountingProxy } from './counting-proxy.mjs';
import { contentsOf, Mounted, makeBucket, s3Client, startServer } from './mounts.mjs';

const SYNCING = fileURLToPath(new URL('syncing.py', import.meta.url));
const OPERATIONS = ['create', 'stat', 'setxattr', 'rename', 'unlink'];
const WARM_UP_TURNS = 3;
const LOOK_MS = 20;
/** Files of a directory of a large tree. */
const FANOUT = 1000;
const SYNCS = 20;
const THOUSAND = 1000;
const BLOCK = Buffer.alloc(4096, 'b');
const MEASURES = { overhead, lag, shipped, cold, fsync };

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    files: { type: 'string', default: '2000' },
    turns: { type: 'string', default: '20' },
    cold: { type: 'string', default: '10000,100000,1000000' },
    dir: { type: 'string', default: tmpdir() },
  },
});
const [files, turns] = [flags.files, flags.turns].map(numberOf);
const counts = flags.cold.split(',').map(numberOf);
const wanted = flags.only === undefined ? Object.keys(MEASURES) : [flags.only];
if (wanted.some((name) => MEASURES[name] === undefined)) {
  console.error(`remote: Cannot measure ${flags.only}: known are ${Object.keys(MEASURES).join(', ')}`);
  process.exit(2);
}

const directory = mkdtempSync(join(resolve(flags.dir), 'spinney-bench-'));
const stopServer = startServer();
try {
  const { client: program } = await compile(directory, []);
  print({ ...machine(), load: load() });
  for (const name of wanted) await MEASURES[name](join(directory, name), program);
} finally {
  if (unmountBelow(directory)) rmSync(directory, { recursive: true, force: true });
  stopServer();
}

async function overhead(place, program) {
  const sides = [];
  try {
    sides.push(await Mounted.start(join(place, 'without'), { program }));
    sides.push(await Mounted.start(join(place, 'with'), { program, bucket: await makeBucket() }));
    const taken = sides.map(() => Object.fromEntries(OPERATIONS.map((name) => [name, []])));
    for (let turn = -WARM_UP_TURNS; turn < turns; turn++) {
      const order = turn % 2 === 0 ? [0, 1] : [1, 0];
      for (const side of order) {
        const { client } = sides[side];
        const folder = `turn-${turn}`;
        await client.make(folder);
        for (const operation of OPERATIONS) {
          // There and back.
          const repeats = operation === 'rename' ? 2 : 1;
          const { ns } = await client.do(operation, folder, { count: files, repeats });
          if (turn >= 0) taken[side][operation].push(ns / 1000 / files / repeats);
        }
        await client.remove(folder);
        // What one side has begun is not to be in the other's time.
        if (side === 1) await sides[1].settled();
      }
    }
    for (const operation of OPERATIONS) {
      const [without, with_] = taken.map((side) => side[operation]);
      const ratios = with_.map((micros, turn) => micros / without[turn]);
      print({
        figure: `overhead.${operation}`,
        withoutMicros: median(without),
        withMicros: median(with_),
        ratio: median(ratios),
        quartiles: quartiles(ratios),
        load: load(),
      });
    }
  } finally {
    for (const side of sides) await side.stop();
  }
}

async function lag(place, program) {
  const mounted = await Mounted.start(place, { program, bucket: await makeBucket() });
  try {
    const atRest = [];
    for (let i = 0; i < turns; i++) {
      await mounted.settled();
      await mounted.client.make(`at-rest-${i}`);
      const made = performance.now();
      await mounted.settled();
      atRest.push(performance.now() - made);
    }
    print({
      figure: 'lag.rest',
      ms: median(atRest),
      min: Math.min(...atRest),
      max: Math.max(...atRest),
      load: load(),
    });
    const told = [];
    let isOver = false;
    const work = mounted.client.make('load').then(async () => {
      await mounted.client.do('create', 'load', { count: files * turns });
      isOver = true;
    });
    while (!isOver) {
      told.push((await mounted.stats()).lagSeconds * 1000);
      await Promise.race([work, pause(LOOK_MS)]);
    }
    await work;
    const before = performance.now();
    await mounted.settled();
    print({
      figure: 'lag.load',
      ms: median(told),
      max: Math.max(...told),
      settledMs: performance.now() - before,
      creates: files * turns,
      load: load(),
    });
  } finally {
    await mounted.stop();
  }
}

async function shipped(place, program) {
  const bucket = await makeBucket();
  const proxy = await CountingProxy.start(process.env.AWS_ENDPOINT_URL_S3);
  const mounted = await Mounted.start(place, { program, bucket, endpoint: proxy.url });
  /** For each thousand: what renews the lease is in it, too. */
  const measure = async (figure, creates, work) => {
    await mounted.settled();
    const before = proxy.counts();
    await work();
    await mounted.settled();
    const after = proxy.counts();
    const each = (now, then = 0) => ((now - then) * THOUSAND) / creates;
    const requests = Object.entries(after.requests).map(([method, count]) => [
      method,
      each(count, before.requests[method]),
    ]);
    print({ figure, ...Object.fromEntries(requests), bytes: each(after.bytes, before.bytes), load: load() });
  };
  try {
    await mounted.client.make('many');
    const many = files * turns;
    await measure('shipped.load', many, () => mounted.client.do('create', 'many', { count: many }));
    await measure('shipped.oneByOne', turns, async () => {
      for (let i = 0; i < turns; i++) {
        await mounted.client.make(`one-${i}`);
        await mounted.settled();
      }
    });
    await measure('shipped.checkpoint', many, () => mounted.ask('POST', '/v1/checkpoint'));
    print({ figure: 'shipped.bucket', ...(await contentsOf(bucket)) });
  } finally {
    await mounted.stop();
    proxy.stop();
  }
}

async function cold(place, program) {
  for (const count of counts) {
    const bucket = await makeBucket();
    const first = await Mounted.start(join(place, `${count}`), { program, bucket });
    let leftMs;
    try {
      const directories = Math.ceil(count / FANOUT);
      for (let i = 0; i < directories; i++) {
        const folder = `directory-${i}`;
        await first.client.make(folder);
        await first.client.do('create', folder, { count: Math.min(FANOUT, count - i * FANOUT) });
      }
      await first.settled();
      const before = performance.now();
      await first.stop();
      leftMs = performance.now() - before;
    } catch (error) {
      await first.stop();
      throw error;
    }
    rmSync(first.store, { recursive: true });
    const taken = [];
    for (let i = 0; i < 3; i++) {
      const home = join(place, `${count}-${i}`);
      const began = performance.now();
      const next = await Mounted.start(home, { bucket });
      try {
        await run(['ls', '-l', next.mountpoint]);
        const lsMs = performance.now() - began;
        // All names of one directory.
        const before = performance.now();
        await run(['ls', join(next.mountpoint, `directory-${i}`, '0')]);
        taken.push({ mountMs: next.startMs, lsMs, deepMs: performance.now() - before });
      } finally {
        await next.stop();
        rmSync(home, { recursive: true, force: true });
      }
    }
    const middle = (name) => median(taken.map((one) => one[name]));
    print({
      figure: 'cold',
      files: count,
      mountMs: middle('mountMs'),
      firstLsMs: middle('lsMs'),
      directoryMs: middle('deepMs'),
      most: Math.max(...taken.map(({ lsMs }) => lsMs)),
      leftMs,
      bucket: await contentsOf(bucket),
      load: load(),
    });
  }
}

async function fsync(place) {
  const bucket = await makeBucket();
  const mounted = await Mounted.start(place, { bucket, durability: 'remote' });
  const s3 = s3Client();
  const putTimes = async (name) => {
    const times = [];
    for (let i = 0; i < SYNCS; i++) {
      const before = performance.now();
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key: `put/${name}-${i}`, Body: BLOCK }));
      times.push(performance.now() - before);
    }
    return times;
  };
  try {
    const taken = { put: [], directory: [], file: [] };
    for (let turn = -1; turn < turns; turn++) {
      for (const kind of turn % 2 === 0 ? ['put', 'directory', 'file'] : ['file', 'directory', 'put']) {
        const times =
          kind === 'put'
            ? await putTimes(turn)
            : (await run(['python3', SYNCING, mounted.mountpoint, String(SYNCS), kind]))
                .trim()
                .split('\n')
                .map(Number);
        if (turn >= 0) taken[kind].push(median(times));
      }
    }
    for (const kind of ['directory', 'file']) {
      const ratios = taken[kind].map((ms, turn) => ms / taken.put[turn]);
      print({
        figure: `fsync.${kind}`,
        ms: median(taken[kind]),
        putMs: median(taken.put),
        ratio: median(ratios),
        quartiles: quartiles(ratios),
        load: load(),
      });
    }
  } finally {
    s3.destroy();
    await mounted.stop();
  }
}

function load() {
  return loadavg().map((value) => Number(value.toFixed(2)));
}

function quartiles(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return [0.25, 0.75].map((share) => sorted[Math.floor(share * (sorted.length - 1))]);
}

function numberOf(text) {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`remote: Cannot measure with ${text}: give whole numbers above 0`);
  return process.exit(2);
}
