/**
 * A client of a mount, in a process of its own: does one workload in the directory given and prints the elapsed
 * microseconds. Arguments: workload, directory, number of files.
 */

import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, statSync, unlinkSync } from 'node:fs';

const [workload, directory, countText] = process.argv.slice(2);
const count = Number(countText);
const names = Array.from({ length: count }, (_, i) => `${directory}/file-${String(i).padStart(6, '0')}`);

const WORKLOADS = {
  create: () => {
    for (const name of names) closeSync(openSync(name, 'wx'));
  },
  stat: () => {
    for (const name of names) statSync(name);
  },
  unlink: () => {
    for (const name of names) unlinkSync(name);
  },
  readdir: () => {
    if (readdirSync(directory).length !== count) throw new Error(`${directory} does not list ${count} files`);
  },
  'ls -l': () => {
    execFileSync('ls', ['-l', directory], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, LC_ALL: 'C' },
    });
  },
};

const started = process.hrtime.bigint();
WORKLOADS[workload]();
console.log(Number(process.hrtime.bigint() - started) / 1000);
