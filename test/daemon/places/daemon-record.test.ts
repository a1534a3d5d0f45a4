import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import {
  DaemonRecord,
  daemonsOf,
  findDaemon,
  isRestarting,
  leftSettings,
} from '../../../daemon/places/daemon-record.js';
import { identifyProcess, isRunning } from '../../../daemon/process/process-identity.js';
import { PATIENTLY } from '../../support/until.js';
import { temporaryDirectory } from '../support.js';

it('finds the daemon of a mountpoint, and its socket, until its record is removed', async () => {
  const store = temporaryDirectory();
  const record = DaemonRecord.write(store, { mountpoint: '/mnt/a', control: '/run/a.sock' });
  expect(findDaemon(store, '/mnt/a')).toMatchObject({ pid: process.pid, control: '/run/a.sock' });
  expect(findDaemon(store, '/mnt/b')).toBeUndefined();
  await record.remove();
  expect(findDaemon(store, '/mnt/a')).toBeUndefined();
  expect(readdirSync(store)).toEqual([]);
});

it('tells what the daemon is doing', async () => {
  const store = temporaryDirectory();
  const record = DaemonRecord.write(store, { mountpoint: '/mnt/a' });
  expect(daemonsOf(store)).toMatchObject([{ pid: process.pid, state: 'starting' }]);
  await record.serving({ major: 0, minor: 53 });
  expect(daemonsOf(store)).toMatchObject([{ state: 'serving', device: { major: 0, minor: 53 } }]);
  await record.ending();
  expect(daemonsOf(store)).toMatchObject([{ state: 'ending', mountpoint: '/mnt/a' }]);
  await record.remove();
  expect(daemonsOf(store)).toEqual([]);
});

it('does not take a later process with the same pid for the daemon', () => {
  const store = temporaryDirectory();
  const record = { pid: process.pid, startTime: 1, mountpoint: '/mnt/a' };
  writeFileSync(join(store, `daemon-${process.pid}.json`), JSON.stringify(record));
  expect(findDaemon(store, '/mnt/a')).toBeUndefined();
});

it.runIf(process.geteuid?.() === 0)(
  "does not believe a record about another user's process, or a link",
  () => {
    const store = temporaryDirectory();
    DaemonRecord.write(store, { mountpoint: '/mnt/a', control: '/run/a.sock' });
    const file = join(store, `daemon-${process.pid}.json`);
    chownSync(file, 65_534, 65_534);
    expect(findDaemon(store, '/mnt/a')).toBeUndefined();
    chownSync(file, 0, 0);
    expect(findDaemon(store, '/mnt/a')).toBeDefined();
    renameSync(file, join(store, 'elsewhere'));
    symlinkSync('elsewhere', file);
    expect(findDaemon(store, '/mnt/a')).toBeUndefined();
  },
);

it('finds the record of a version that tells no socket', () => {
  const store = temporaryDirectory();
  const record = { ...identifyProcess(process.pid), mountpoint: '/mnt/a' };
  writeFileSync(join(store, `daemon-${process.pid}.json`), JSON.stringify(record));
  expect(findDaemon(store, '/mnt/a')).toEqual(record);
});

it('ignores and clears away what killed daemons left', () => {
  const store = temporaryDirectory();
  writeFileSync(join(store, 'daemon-1.json'), '{"pid": 1, "sta');
  writeFileSync(
    join(store, 'daemon-2.json'),
    JSON.stringify({ pid: 2 ** 22 + 1, startTime: 5, mountpoint: '/m' }),
  );
  writeFileSync(join(store, 'manifest'), '');
  expect(findDaemon(store, '/m')).toBeUndefined();
  DaemonRecord.write(store, { mountpoint: '/mnt/a', control: '/run/a.sock' });
  expect(readdirSync(store).sort()).toEqual([`daemon-${process.pid}.json`, 'manifest']);
});

it('a store that does not exist has no daemon', () => {
  expect(findDaemon('/nowhere/store', '/mnt/a')).toBeUndefined();
});

it('a process whose first thread has ended still runs as long as another does, with its locks', async () => {
  // System call 60 ends a thread, 231 the process.
  const script = `
import ctypes, sys, threading
libc = ctypes.CDLL(None)
def other():
    sys.stdin.read()
    libc.syscall(231, 0)
threading.Thread(target=other).start()
print("there", flush=True)
libc.syscall(60, 0)
`;
  const child = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  const status = () => readFileSync(`/proc/${child.pid}/status`, 'utf8');
  await vi.waitUntil(() => /^State:\s+Z/m.test(status()), PATIENTLY);
  const identity = identifyProcess(child.pid!);
  expect(identity).toBeDefined();
  expect(isRunning(identity!)).toBe(true);
  child.stdin!.end();
  await once(child, 'exit');
  expect(isRunning(identity!)).toBe(false);
});

it('knows when a process has ended', async () => {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  const identity = identifyProcess(child.pid!)!;
  expect(isRunning(identity)).toBe(true);
  child.stdin!.end();
  await once(child, 'exit');
  expect(isRunning(identity)).toBe(false);
});

it('keeps what a daemon was set to for the one that goes on with its mount', async () => {
  const store = temporaryDirectory();
  const record = DaemonRecord.write(store, { mountpoint: '/mnt/a', version: '1.2.3', settings: {} });
  await record.serving({ major: 0, minor: 53 }, { driver: 'kernel', since: '2026-11-30T00:00:00.000Z' });
  await record.settings({ scrub: '7' });
  expect(daemonsOf(store)).toMatchObject([
    { version: '1.2.3', driver: 'kernel', since: '2026-11-30T00:00:00.000Z', settings: { scrub: '7' } },
  ]);
  // Of one that runs nothing is left.
  expect(leftSettings(store, '/mnt/a')).toEqual({});
  const dead = spawn('true');
  await once(dead, 'close');
  const leave = (startTime: number, mountpoint: string, settings?: Record<string, string>) =>
    writeFileSync(
      join(store, `daemon-${dead.pid! + startTime}.json`),
      JSON.stringify({ pid: dead.pid, startTime, mountpoint, settings, state: 'serving' }),
    );
  leave(2, '/mnt/a', { durability: 'synced' });
  leave(1, '/mnt/a', { durability: 'buffered' });
  leave(3, '/mnt/b', { durability: 'buffered' });
  expect(leftSettings(store, '/mnt/a')).toEqual({ durability: 'synced' });
  leave(4, '/mnt/a');
  expect(leftSettings(store, '/mnt/a')).toEqual({});
  // The next daemon takes the records of dead ones away.
  DaemonRecord.write(store, { mountpoint: '/mnt/a' });
  expect(leftSettings(store, '/mnt/b')).toEqual({});
});

it('a mount is being gone on with until the next daemon can be asked', async () => {
  const store = temporaryDirectory();
  const guard = identifyProcess(process.pid)!;
  const dead = { pid: process.pid, startTime: 1, mountpoint: '/mnt/a', state: 'serving', guard };
  writeFileSync(join(store, 'daemon-1.json'), JSON.stringify(dead));
  const told = () => [isRestarting(store), isRestarting(store, '/mnt/a'), isRestarting(store, '/mnt/b')];
  expect(told()).toEqual([true, true, false]);
  const next = DaemonRecord.write(store, { mountpoint: '/mnt/a', guard, restarts: 1 });
  expect(told()).toEqual([true, true, false]);
  await next.serving({ major: 0, minor: 53 });
  expect(told()).toEqual([false, false, false]);
  await next.remove();
});

it('the first start of a daemon is none that is waited for', () => {
  const store = temporaryDirectory();
  DaemonRecord.write(store, { mountpoint: '/mnt/a' });
  expect(isRestarting(store)).toBe(false);
});
