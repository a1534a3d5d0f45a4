import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DaemonRecord, daemonsOf, findDaemon } from '../../daemon/places/daemon-record.js';
import { identifyProcess, isRunning } from '../../daemon/process/process-identity.js';
import { temporaryDirectory } from './support.js';

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

it('knows when a process has ended', async () => {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  const identity = identifyProcess(child.pid!)!;
  expect(isRunning(identity)).toBe(true);
  child.stdin!.end();
  await once(child, 'exit');
  expect(isRunning(identity)).toBe(false);
});
