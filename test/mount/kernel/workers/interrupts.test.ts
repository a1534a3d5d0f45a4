import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SharedQueue } from '../../../../mount/kernel/device/shared-queue.js';
import { Interrupts, isThreadDying } from '../../../../mount/kernel/workers/interrupts.js';
import { IoTask } from '../../../../mount/kernel/workers/io-tasks.js';

const { EINTR } = constants.errno;

let directory: string;
/** Stands for /dev/fuse: replies are appended to a file. */
let fd: number;
let tasks: SharedQueue;
let interrupts: Interrupts;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-interrupts-'));
  fd = openSync(join(directory, 'replies'), 'w');
  tasks = new SharedQueue(8);
  interrupts = new Interrupts(fd, [tasks], undefined, (pid) => pid === 66);
  tasks.put(IoTask.REMOVE, 7, 0);
  tasks.put(IoTask.SYNC, 7, 0, -1, 0, 66);
  tasks.put(IoTask.SYNC, 8, 1, -1, 0, 66);
  tasks.put(IoTask.SYNC, 9, 0, -1, 0, 42);
});

afterEach(() => {
  closeSync(fd);
  rmSync(directory, { recursive: true });
});

function replies(): Buffer {
  return readFileSync(join(directory, 'replies'));
}

test('a sync of a dying caller is answered EINTR', () => {
  interrupts.interrupt(8, 1);
  const reply = replies();
  expect(reply).toHaveLength(16);
  expect([reply.readInt32LE(4), reply.readUInt32LE(8), reply.readUInt32LE(12)]).toEqual([-EINTR, 8, 1]);
  // The task stays: the disk has it already, and what comes of it still counts.
  expect(tasks.length).toBe(4);
});

test('a sweep answers all of them', () => {
  interrupts.sweep();
  const found = replies();
  expect(found).toHaveLength(32);
  expect([found.readInt32LE(4), found.readUInt32LE(8)]).toEqual([-EINTR, 7]);
  expect([found.readInt32LE(20), found.readUInt32LE(24)]).toEqual([-EINTR, 8]);
});

test('one of a caller that lives on, or of nobody, is not', () => {
  interrupts.interrupt(9, 0);
  interrupts.interrupt(8, 0);
  interrupts.interrupt(1000, 0);
  expect(replies()).toHaveLength(0);
});

test('a process is dying that has a signal which it does nothing about', async () => {
  // Stopped, it cannot take the signals; this shell ignores one of them.
  const child = spawn('sh', ['-c', 'trap "" USR1; echo; exec sleep 100'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout, 'data');
  const pid = child.pid!;
  expect(isThreadDying(pid)).toBe(false);
  child.kill('SIGSTOP');
  child.kill('SIGWINCH');
  child.kill('SIGUSR1');
  expect(isThreadDying(pid)).toBe(false);
  child.kill('SIGTERM');
  expect(isThreadDying(pid)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isThreadDying(pid)).toBe(false);
  expect(isThreadDying(2 ** 22 + 1)).toBe(false);
});
