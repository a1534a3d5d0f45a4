/** What a run of the tests leaves behind when it is cut short goes, and nothing of anybody else. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import setup from './run-directory.js';

let temporary: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'spinney-guardian-'));
  vi.stubEnv('TMPDIR', temporary);
});

afterEach(() => {
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  execFileSync('bash', ['-c', `for m in ${temporary}/*/*; do umount -l $m 2>/dev/null || true; done`]);
  rmSync(temporary, { recursive: true, force: true });
});

function start(directory: string, ...command: string[]): ChildProcess {
  const child = spawn(command[0]!, command.slice(1), {
    env: { ...process.env, TMPDIR: directory },
    stdio: 'ignore',
    detached: true,
  });
  children.push(child);
  return child;
}

/** What a run leaves that was killed: processes, one of which stands still, and mounts over each other. */
function leave(directory: string): ChildProcess[] {
  mkdirSync(directory);
  for (const name of ['mnt', 'lower', 'upper', 'work']) mkdirSync(join(directory, name));
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(directory, 'upper')]);
  for (const name of ['upper', 'work']) mkdirSync(join(directory, 'upper', name));
  const options = `lowerdir=lower,upperdir=upper/upper,workdir=upper/work`;
  execFileSync('mount', ['-t', 'overlay', '-o', options, 'overlay', 'mnt'], { cwd: directory });
  const still = start(directory, 'sleep', '1000');
  process.kill(still.pid!, 'SIGSTOP');
  return [still, start('/elsewhere', 'bash', '-c', 'while sleep 1000; do :; done', `${directory}/store`)];
}

const ended = (child: ChildProcess) =>
  child.signalCode !== null || new Promise((resolve) => child.once('exit', resolve));

it('clears what killed runs left, and leaves runs alone that go on', async () => {
  const end = await setup();
  const mine = tmpdir();
  expect(mine).toMatch(`${temporary}/spinney-run-`);
  vi.stubEnv('TMPDIR', temporary);
  const stranger = start(temporary, 'sleep', '1000');
  const left = join(temporary, 'spinney-run-0');
  const leftovers = leave(left);

  const endOther = await setup();
  await Promise.all(leftovers.map(ended));
  expect(existsSync(left)).toBe(false);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(left);
  expect(existsSync(mine)).toBe(true);
  await endOther();
  expect(existsSync(mine)).toBe(true);
  await end();
  expect(existsSync(mine)).toBe(false);
  expect(stranger.signalCode).toBe(null);
});

it('clears by itself when the run is killed', async () => {
  const directory = join(temporary, 'spinney-run-1');
  const guardian = join(import.meta.dirname, 'run-guardian.mjs');
  // The run: it holds the other end of the guardian's standard input.
  const run = start(temporary, 'bash', '-c', `exec sleep 1000 > >(exec node ${guardian} ${directory})`);
  const leftovers = leave(directory);
  run.kill('SIGKILL');
  await Promise.all(leftovers.map(ended));
  while (existsSync(directory)) await new Promise((resolve) => setTimeout(resolve, 10));
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(directory);
});
