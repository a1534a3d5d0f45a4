/**
 * What the log of requests costs: `npm run bench:log [-- flags]` mounts three stores: one without a log, one with it that nobody listens to, as is usual,
 * and one that `spinney log --follow --json` follows. In turns, which change places, a client looks at files of each without
 * caches, so that each look is two requests, and makes files. Only turns beside each other are compared.
 *
 *   --files N    files that a turn looks at, ten times, and files that it makes (2000)
 *   --turns N    turns of each, after a warm-up (30)
 *   --mounts N   times that all are mounted anew: what is compiled, and where, differs between processes (3)
 *   --dir FOLDER where stores and mountpoints are made and removed (the system's temporary folder)
 *
 * Prints a JSON line for each operation: microseconds without a log, and the medians and quartiles of the ratios to these, idle and followed;
 * the same of the daemon's processor time, all its threads together, which a busy machine changes less; and first that of a session
 * alone, without a kernel (request-log-session.mjs).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { machine, median, print } from './lib/report.mjs';
import { compile } from './mount/client/programs.mjs';
import { unmountBelow } from './mount/mounted.mjs';
import { CLI, create, look, orderOf, startSide, summary, WARM_UP_TURNS } from './mount/sides.mjs';
import { measureSession } from './request-log-session.mjs';

const LOOKS = 10;
const SESSION_TURNS = 60;
const SIDES = ['without', 'idle', 'followed'];
/** How it is said that there is to be no log; for this comparison alone. */
const SWITCH = 'SPINNEY_REQUEST_LOG';

const { values: flags } = parseArgs({
  options: {
    files: { type: 'string', default: '2000' },
    turns: { type: 'string', default: '30' },
    mounts: { type: 'string', default: '3' },
    dir: { type: 'string', default: tmpdir() },
  },
});
const [files, turns, mounts] = ['files', 'turns', 'mounts'].map((flag) => Number(flags[flag]));

const directory = mkdtempSync(join(resolve(flags.dir), 'spinney-bench-'));
try {
  const { client } = await compile(directory, []);
  print({ figure: 'machine', ...machine(), load: loadavg() });
  for (const [operation, all] of Object.entries(measureSession(SESSION_TURNS))) {
    tell(`session.${operation}`, 'cpuMicros', all, (side) => side);
  }
  const micros = { stat: [], create: [] };
  for (let time = 0; time < mounts; time++) await measure(client, join(directory, String(time)), micros);
  for (const [operation, all] of Object.entries(micros)) {
    for (const of of ['micros', 'cpuMicros']) tell(operation, of, all, (side) => side[of]);
  }
} finally {
  if (unmountBelow(directory)) rmSync(directory, { recursive: true, force: true });
}

function tell(figure, of, turns, value) {
  const ratios = (side) => turns.map((turn) => value(turn[side]) / value(turn.without));
  print({
    figure,
    of,
    without: rounded(median(turns.map(({ without }) => value(without))), 3),
    idle: summary(ratios('idle')),
    followed: summary(ratios('followed')),
    turns: turns.length,
    load: loadavg(),
  });
}

/** Appends to `micros` for each turn what an operation takes, by sides. */
async function measure(program, place, micros) {
  const sides = [];
  try {
    for (const name of SIDES) sides.push(await start(program, join(place, name), name));
    for (let turn = -WARM_UP_TURNS; turn < turns; turn++) {
      for (const operation of ['stat', 'create']) {
        const taken = {};
        for (const side of orderOf(sides, turn)) taken[side.name] = await take(side, operation, turn);
        if (turn >= 0) micros[operation].push(taken);
      }
    }
  } finally {
    for (const { follower, mount } of sides) {
      follower?.kill();
      await mount.stop();
    }
  }
}

/** Microseconds of one look, or of one file made, and of the daemon's processor time. */
function take(side, operation, turn) {
  return operation === 'stat' ? look(side, files, LOOKS) : create(side, files, turn);
}

async function start(program, place, name) {
  const environment = name === 'without' ? { [SWITCH]: 'off' } : {};
  const side = await startSide(program, place, { name, files, environment });
  return { ...side, follower: name === 'followed' ? await follow(side.mountpoint) : undefined };
}

/** Resolves when it has shown that it listens. */
async function follow(mountpoint) {
  const follower = spawn(process.execPath, [CLI, 'log', mountpoint, '--follow', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let heard = false;
  follower.stdout.on('data', () => {
    heard = true;
  });
  while (!heard) {
    await pause(100);
    spawn('stat', [join(mountpoint, 'absent')], { stdio: 'ignore' });
  }
  return follower;
}

function rounded(value, digits) {
  return Number(value.toFixed(digits));
}
