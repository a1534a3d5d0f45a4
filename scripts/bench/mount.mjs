/**
 * Through the mount: create, stat (warm, and with all time-outs 0), `ls -l` of a directory, unlink; the same on the
 * filesystem below it, so that the figures have a scale. The client is a process of its own for each run.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RUNS, report } from './report.mjs';

const CLI = fileURLToPath(new URL('../../dist/daemon/cli.js', import.meta.url));
const CLIENT = fileURLToPath(new URL('./client.mjs', import.meta.url));
const TIMEOUTS_OFF = ['--entry-timeout', '0', '--attr-timeout', '0', '--negative-timeout', '0'];
const CLIENT_TIMEOUT_MS = 300_000;

function client(workload, directory, count) {
  const output = execFileSync(process.execPath, [CLIENT, workload, directory, String(count)], {
    timeout: CLIENT_TIMEOUT_MS,
    encoding: 'utf8',
  });
  return Number(output);
}

function spinney(...args) {
  execFileSync(process.execPath, [CLI, ...args], {
    timeout: 120_000,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

/** Mounts a fresh store, calls `use` with the mountpoint, and unmounts whatever happens. */
function withMount(flags, use) {
  const base = mkdtempSync(join(tmpdir(), 'spinney-bench-'));
  const mountpoint = join(base, 'mnt');
  mkdirSync(mountpoint);
  try {
    spinney('mount', mountpoint, '--store', join(base, 'store'), ...flags);
    try {
      use(mountpoint);
    } finally {
      spinney('umount', mountpoint, '--force');
    }
    rmdirSync(mountpoint);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}

/** One round creates, looks at and removes `count` files in a new directory; per-file times by workload. */
function round(directory, count) {
  mkdirChild(directory);
  const times = {};
  times.create = client('create', directory, count);
  times['stat first'] = client('stat', directory, count);
  times['stat again'] = client('stat', directory, count);
  times['ls -l first'] = client('ls -l', directory, count);
  times['ls -l again'] = client('ls -l', directory, count);
  times.unlink = client('unlink', directory, count);
  return times;
}

/** Only child processes touch the mount. */
function mkdirChild(directory) {
  execFileSync('mkdir', [directory], { timeout: CLIENT_TIMEOUT_MS });
}

function rounds(system, directory, count) {
  const all = {};
  for (let i = 0; i <= RUNS; i++) {
    const times = round(join(directory, `round-${i}`), count);
    if (i === 0) continue;
    for (const [workload, time] of Object.entries(times)) {
      all[workload] ??= [];
      all[workload].push(time);
    }
  }
  for (const [workload, times] of Object.entries(all)) {
    const labels = { system, files: count };
    if (workload.startsWith('ls'))
      report(
        `mount.${workload}`,
        labels,
        times.map((us) => us / 1000),
        'ms',
      );
    else
      report(
        `mount.${workload}`,
        labels,
        times.map((us) => us / count),
        'us/op',
      );
  }
}

export function benchMount(count) {
  withMount([], (mountpoint) => rounds('spinney', mountpoint, count));
  withMount(TIMEOUTS_OFF, (mountpoint) => rounds('spinney, time-outs 0', mountpoint, count));
  withMount(['--driver', 'fuse-native'], (mountpoint) =>
    rounds('spinney, fuse-native', mountpoint, Math.min(count, 2000)),
  );
  const plain = mkdtempSync(join(tmpdir(), 'spinney-bench-'));
  rounds('below', plain, count);
  rmSync(plain, { recursive: true });
}
