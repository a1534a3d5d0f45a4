/**
 * What it costs that a mount outlives its daemon, and how long clients wait then: `npm run bench:restarts [-- flags]`.
 *
 * First two mounts, one that keeps what the kernel knows in files and one with --no-restart, in turns: a look without caches, and
 * a file made. Then a mount with many inodes in the kernel's caches whose daemon is killed, and one that is upgraded to the very
 * same version: the pause as the daemon tells it, from the last answer to the first, and the longest wait of a client that asks all the time.
 *
 *   --files N      files that a turn looks at, ten times, and files that it makes (2000)
 *   --turns N      turns of each, after a warm-up (30)
 *   --mounts N     times that both are mounted anew: what is compiled, and where, differs between processes (3)
 *   --inodes LIST  how many inodes the kernel has, for the pauses (100000,1000000)
 *   --times N      pauses of each kind (5)
 *   --dir FOLDER   where stores and mountpoints are made and removed (the system's temporary folder)
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { machine, median, print, report } from './lib/report.mjs';
import { Client } from './mount/client/client.mjs';
import { compile } from './mount/client/programs.mjs';
import { unmountBelow } from './mount/mounted.mjs';
import { run, start } from './mount/processes.mjs';
import { CLI, create, look, orderOf, startSide, summary, WARM_UP_TURNS } from './mount/sides.mjs';

const LOOKS = 10;
const SIDES = [
  { name: 'without', flags: ['--no-restart'] },
  { name: 'kept', flags: [] },
];
/** So that this machine's many inodes are in the kernel, not thrown away by time. */
const CACHED = ['--entry-timeout', '3600', '--attr-timeout', '3600'];
const LOOK_AGAIN_MS = 5;
/** Asks for another absent name all the time, and prints the longest wait, in seconds, at the end. */
const ASKING = `
import os, signal, sys, time
over = []
signal.signal(signal.SIGUSR1, lambda *_: over.append(1))
print("ready", flush=True)
longest = number = 0
while not over:
    began = time.monotonic()
    number += 1
    try:
        os.stat(f"{sys.argv[1]}/absent{number}")
    except FileNotFoundError:
        pass
    longest = max(longest, time.monotonic() - began)
print(longest)
`;
/** After which a guard has forgotten a death: five within a minute are too many. */
const DEATHS_PER_MOUNT = 4;

const { values: flags } = parseArgs({
  options: {
    files: { type: 'string', default: '2000' },
    turns: { type: 'string', default: '30' },
    mounts: { type: 'string', default: '3' },
    inodes: { type: 'string', default: '100000,1000000' },
    times: { type: 'string', default: '5' },
    dir: { type: 'string', default: tmpdir() },
  },
});
const [files, turns, mounts, times] = ['files', 'turns', 'mounts', 'times'].map((flag) =>
  Number(flags[flag]),
);

const directory = mkdtempSync(join(resolve(flags.dir), 'spinney-bench-'));
try {
  const { client } = await compile(directory, []);
  print({ ...machine(), load: loadavg() });
  const taken = { stat: [], create: [] };
  for (let time = 0; time < mounts; time++) await compare(client, join(directory, String(time)), taken);
  for (const [operation, all] of Object.entries(taken)) {
    for (const of of ['micros', 'cpuMicros']) tell(operation, of, all);
  }
  for (const inodes of flags.inodes.split(',').map(Number)) await pauses(client, inodes);
} finally {
  if (unmountBelow(directory)) rmSync(directory, { recursive: true, force: true });
}

function tell(figure, of, all) {
  print({
    figure,
    of,
    without: median(all.map(({ without }) => without[of])),
    ...summary(all.map(({ kept, without }) => kept[of] / without[of])),
    turns: all.length,
    load: loadavg(),
  });
}

/** Appends to `taken` for each turn what an operation takes, by sides. */
async function compare(program, place, taken) {
  const sides = [];
  try {
    for (const side of SIDES)
      sides.push(await startSide(program, join(place, side.name), { ...side, files }));
    for (let turn = -WARM_UP_TURNS; turn < turns; turn++) {
      const stat = {};
      const made = {};
      for (const side of orderOf(sides, turn)) stat[side.name] = await look(side, files, LOOKS);
      for (const side of orderOf(sides, turn)) made[side.name] = await create(side, files, turn);
      if (turn < 0) continue;
      taken.stat.push(stat);
      taken.create.push(made);
    }
  } finally {
    for (const { mount } of sides) await mount.stop();
  }
}

/** Kills and upgrades, in turn, a daemon whose kernel has so many inodes. */
async function pauses(program, inodes) {
  const place = join(directory, `inodes-${inodes}`);
  const mountpoint = join(place, 'mnt');
  const store = join(place, 'store');
  mkdirSync(mountpoint, { recursive: true });
  const spinney = (...words) => run([process.execPath, CLI, ...words]);
  const mount = () => spinney('mount', mountpoint, '--store', store, '--driver', 'kernel', ...CACHED);
  const told = async () => {
    for (;;) {
      try {
        return JSON.parse(await spinney('stats', '--store', store, '--json'));
      } catch (error) {
        // The next daemon does not listen yet.
        if (!String(error).includes('Cannot reach')) throw error;
      }
    }
  };
  await mount();
  const client = new Client(program, mountpoint);
  await client.make('files');
  await client.do('create', 'files', { count: inodes });
  const seconds = { kill: [], upgrade: [] };
  const waits = { kill: [], upgrade: [] };
  for (let time = 0; time < times; time++) {
    for (const kind of ['kill', 'upgrade']) {
      await client.do('stat', 'files', { count: inodes });
      const before = await told();
      const asking = start(['python3', '-c', ASKING, mountpoint], { stdout: 'pipe' });
      let printed = '';
      asking.child.stdout.setEncoding('utf8').on('data', (text) => {
        printed += text;
      });
      while (printed === '') await pause(LOOK_AGAIN_MS);
      if (kind === 'kill') process.kill(before.process.pid, 'SIGKILL');
      else await spinney('upgrade', mountpoint);
      let now = await told();
      while (now.process.pid === before.process.pid) now = await told();
      asking.child.kill('SIGUSR1');
      await asking.ended;
      seconds[kind].push(now.restarts.last.pauseSeconds);
      waits[kind].push(Number(printed.trim().split('\n').at(-1)));
      if (now.mount.nodes < inodes)
        throw new Error(`Cannot compare: the kernel has ${now.mount.nodes} of ${inodes} inodes`);
    }
    if ((time + 1) % DEATHS_PER_MOUNT === 0 && time + 1 < times) {
      await spinney('umount', mountpoint);
      await mount();
    }
  }
  for (const kind of ['kill', 'upgrade']) {
    report(`pause after ${kind}`, { inodes }, seconds[kind], 's', { load: loadavg() });
    report(`longest wait of a client, ${kind}`, { inodes }, waits[kind], 's');
  }
  await spinney('umount', mountpoint);
}
