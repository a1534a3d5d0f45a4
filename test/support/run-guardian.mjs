/**
 * Waits for the end of its standard input, which is the end of a run of the tests, and then clears the run's directory:
 * ends the processes that have it as TMPDIR or name it, unmounts what is mounted below it, and removes it.
 *
 * Touches nothing of others: the directory's name is the run's alone.
 */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const [directory] = process.argv.slice(2);
const LOOKS = 500;
const LOOK_AGAIN_MS = 10;

function read(path) {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** Pids of the run's processes that still run; a zombie holds nothing. */
function processes() {
  return readdirSync('/proc').filter(
    (pid) =>
      /^\d+$/.test(pid) &&
      Number(pid) !== process.pid &&
      (`\0${read(`/proc/${pid}/environ`)}`.includes(`\0TMPDIR=${directory}\0`) ||
        read(`/proc/${pid}/cmdline`).includes(`${directory}/`)) &&
      !/^State:\s+[ZX]/m.test(read(`/proc/${pid}/status`)),
  );
}

/** Mountpoints below the directory, topmost first. */
function mounts() {
  return read('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((mountpoint) => mountpoint.startsWith(`${directory}/`))
    .reverse();
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Gone by itself.
  }
}

for await (const _ of process.stdin);
// One that was just killed may have started another before.
for (let looks = 0; looks < LOOKS && processes().length > 0; looks++) {
  processes().forEach(kill);
  await sleep(LOOK_AGAIN_MS);
}
for (const mountpoint of mounts()) spawnSync('umount', ['-l', mountpoint]);
if (mounts().length === 0) rmSync(directory, { recursive: true, force: true });
else console.error(`Cannot remove ${directory}: something is mounted in it`);
