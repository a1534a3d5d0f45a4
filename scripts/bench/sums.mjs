/**
 * What sums cost and save: `npm run bench:sums [-- flags]`. Prints one JSON line for each figure.
 *
 *   --entries N   files in the directory that is summed up; as many again are beside it (1000000)
 *   --dir FOLDER  where the store is made and removed (the system's temporary folder)
 *
 * sums.rbytes     `spinney.dir.rbytes` of the directory, with the blobs in memory, in microseconds
 * sums.du         `du -s --apparent-size` of the same directory, once warm, in microseconds, and how many times as long
 * sums.create     files made in a directory with limits, against one without, in turns, in microseconds each
 * sums.put, sums.update, sums.delete   of trees in memory, with a measure against without, in turns, in microseconds of CPU each
 * sums.names      files made, renamed and removed under a limit in a store with sums, against one without both, in turns,
 *                 in microseconds of CPU each
 * sums.measure    `tree.measure` of prefixes of 5,000,000 and of 1,000 records, in microseconds
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Tree } from '../../dist/engine/index.js';
import { FileSystem } from '../../dist/mount/filesystem/file-system.js';
import { FILESYSTEM_MEASURE } from '../../dist/mount/sums/filesystem-measure.js';
import { machine, median, print, RUNS, report } from './lib/report.mjs';
import { compareNames, NamesStore } from './names.mjs';

const CLI = fileURLToPath(new URL('../../dist/daemon/cli.js', import.meta.url));
const PER_DIRECTORY = 1000;
const CALLER = { uid: 0, gid: 0, pid: 1, umask: 0 };
const REGULAR = 0o100644;
const MIB = 1024 * 1024;
const ENGINE_RECORDS = 5_000_000;
const ENGINE_TURN = 100_000;

const { values: flags } = parseArgs({
  options: { entries: { type: 'string', default: '1000000' }, dir: { type: 'string', default: tmpdir() } },
});
const entries = Number(flags.entries);
print(machine());
benchMeasure();
benchWrites();
const base = mkdtempSync(join(flags.dir, 'spinney-sums-'));
try {
  benchNames(join(base, 'without'), join(base, 'with'));
  await benchMount(join(base, 'store'), join(base, 'mnt'));
} finally {
  spawnSync('umount', ['-l', join(base, 'mnt')]);
  rmSync(base, { recursive: true, force: true });
}

function openInMemory(measured, cacheMib) {
  const cacheBytes = cacheMib * MIB;
  return Tree.open({
    memory: true,
    flushOnWrite: false,
    cacheBytes,
    ...(measured && { measure: FILESYSTEM_MEASURE }),
  });
}

/** An inode's record as the mount has them, of a file of this size. */
function record(size) {
  const value = Buffer.alloc(80);
  value[0] = 1;
  value.writeUInt16LE(0o100644, 2);
  value.writeUInt32LE(size, 26);
  return value;
}

function benchMeasure() {
  const tree = openInMemory(true, 2048);
  for (let i = 0; i < ENGINE_RECORDS; i++)
    tree.put(`d/big/${(i >> 10) % 5000}/picture-${i}`, record(i % 5000));
  for (let i = 0; i < 1000; i++) tree.put(`d/small/picture-${i}`, record(i));
  for (let i = 0; i < 200_000; i++) tree.put(`d/z/${i % 100}/picture-${i}`, record(i % 5000));
  for (const [prefix, records] of [
    ['d/big/', ENGINE_RECORDS],
    ['d/small/', 1000],
  ]) {
    const times = timed(50, () => {
      if (tree.measure(prefix).files !== records) throw new Error(`the sums of ${prefix} are wrong`);
    });
    report('sums.measure', { records, blobs: tree.stats().blobCount }, times.slice(10), 'us');
  }
  tree.close();
}

/** Microseconds of each of `count` runs. */
function timed(count, run) {
  return Array.from({ length: count }, () => {
    const start = performance.now();
    run();
    return (performance.now() - start) * 1000;
  });
}

function benchWrites() {
  const trees = [false, true].map((measured) => openInMemory(measured, 1024));
  const times = { put: [[], []], update: [[], []], delete: [[], []] };
  for (let round = 0; round <= RUNS * 2; round++) {
    const keys = Array.from({ length: ENGINE_TURN }, (_, i) =>
      Buffer.from(`d/${i % 97}/${round % 7}/file-${i * 7919}-${round}`),
    );
    const values = keys.map((_, i) => record(i));
    for (const which of round % 2 === 0 ? [0, 1] : [1, 0]) {
      const tree = trees[which];
      const acts = {
        put: (i) => tree.put(keys[i], values[i]),
        update: (i) => tree.put(keys[i], values[ENGINE_TURN - 1 - i]),
        delete: (i) => tree.delete(keys[i]),
      };
      for (const [name, act] of Object.entries(acts)) {
        const start = process.cpuUsage();
        for (let i = 0; i < ENGINE_TURN; i++) act(i);
        const { user, system } = process.cpuUsage(start);
        if (round > 0) times[name][which].push((user + system) / ENGINE_TURN);
      }
    }
  }
  for (const [name, [without, measured]] of Object.entries(times)) {
    const ratios = measured.map((time, i) => time / without[i]);
    report(`sums.${name}`, {}, measured, 'us/op', { without: median(without), ratio: median(ratios) });
  }
  for (const tree of trees) tree.close();
}

function benchNames(...directories) {
  const [without, using] = directories.map((directory, i) => new NamesStore(directory, i === 1));
  using.limit('spinney.quota.files', '1000000000');
  print({ figure: 'sums.names', unit: 'us/op', ...compareNames(without, using) });
  for (const store of [without, using]) store.close();
}

async function benchMount(store, mountpoint) {
  fill(store);
  mkdirSync(mountpoint);
  const daemon = spawn(process.execPath, [CLI, 'mount', mountpoint, '--store', store, '--foreground'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  while (!readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${mountpoint} `)) await pause(50);
  try {
    const rbytes = client(
      `p = sys.argv[1] + '/summed'
       for i in range(30):
           start = time.perf_counter(); value = os.getxattr(p, 'spinney.dir.rbytes'); took(start, 1)
           assert int(value) == ${bytesOf(entries)}, value`,
      mountpoint,
    );
    report('sums.rbytes', { entries }, rbytes.slice(5), 'us');
    const du = client(
      `for i in range(2):
           start = time.perf_counter()
           subprocess.run(['du', '-s', '--apparent-size', sys.argv[1] + '/summed'], stdout=subprocess.DEVNULL, check=True)
           took(start, 1)`,
      mountpoint,
    );
    report('sums.du', { entries }, du.slice(1), 'us', { ratio: median(rbytes) / du[1] });
    const creates = client(
      `for name, limit in (('free', None), ('limited', b'100000000')):
           os.mkdir(sys.argv[1] + '/' + name)
           if limit: os.setxattr(sys.argv[1] + '/' + name, 'spinney.quota.files', limit)
       for turn in range(14):
           for name in ('free', 'limited') if turn % 2 else ('limited', 'free'):
               p = '%s/%s/%d' % (sys.argv[1], name, turn)
               os.mkdir(p)
               start = time.perf_counter()
               for i in range(5000): os.close(os.open('%s/file-%d' % (p, i), os.O_CREAT | os.O_WRONLY))
               took(start, 5000, name)`,
      mountpoint,
    );
    const of = (name) =>
      creates
        .filter((line) => line[1] === name)
        .map(([time]) => time)
        .slice(2);
    const ratios = of('limited').map((time, i) => time / of('free')[i]);
    report('sums.create', {}, of('limited'), 'us/op', { without: median(of('free')), ratio: median(ratios) });
  } finally {
    daemon.kill('SIGTERM');
    await ended;
  }
}

/** Bytes of file number i: of the few that are symbolic links, whose size is that of their target, without a content file each. */
function sizeOf(i) {
  return i % 1000 <= 10 ? (i % 1000) * 10 : 0;
}

function bytesOf(count) {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += sizeOf(i);
  return sum;
}

/** Two directories of as many files each, made without a mount. */
function fill(store) {
  const tree = Tree.open({ dir: store, durability: 'buffered', measure: FILESYSTEM_MEASURE });
  const fileSystem = new FileSystem(tree, {
    contentDirectory: join(store, 'content'),
    readOnly: false,
    keepsNodes: false,
    rests: false,
    reclaimer: { schedule: () => {} },
  });
  fileSystem.start();
  const out = {};
  const name = (text) => Buffer.from(text);
  for (const top of ['beside', 'summed']) {
    fileSystem.mkdir(CALLER, name(''), name(top), 0o755, out);
    for (let i = 0; i < entries; i++) {
      const directory = `directory-${Math.floor(i / PER_DIRECTORY)}`;
      if (i % PER_DIRECTORY === 0) fileSystem.mkdir(CALLER, name(`/${top}`), name(directory), 0o755, out);
      const place = name(`/${top}/${directory}`);
      const length = sizeOf(i);
      if (length === 0) fileSystem.mknod(CALLER, place, name(`file-${i}`), REGULAR, 0, out);
      else fileSystem.symlink(CALLER, place, name(`file-${i}`), Buffer.alloc(length, 'x'), out);
    }
  }
  fileSystem.close();
  tree.close();
}

/** Runs Python beside the mount; returns what it took: microseconds, and a label. */
function client(script, mountpoint) {
  const program = `import os, subprocess, sys, time
def took(start, count, label=''): print((time.perf_counter() - start) * 1e6 / count, label)
${script.replace(/^ {7}/gm, '')}`;
  const { stdout, stderr, status } = spawnSync('python3', ['-c', program, mountpoint], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(stderr);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '));
  return script.includes(', name)')
    ? lines.map(([time, label]) => [Number(time), label])
    : lines.map(([time]) => Number(time));
}
