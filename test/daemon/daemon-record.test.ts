import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { findDaemon, writeRecord } from '../../daemon/mounting/daemon-record.js';
import { identifyProcess, isRunning } from '../../daemon/process/process-identity.js';
import { temporaryDirectory } from './support.js';

it('finds the daemon of a mountpoint until its record is removed', () => {
  const store = temporaryDirectory();
  const remove = writeRecord(store, '/mnt/a');
  expect(findDaemon(store, '/mnt/a')?.pid).toBe(process.pid);
  expect(findDaemon(store, '/mnt/b')).toBeUndefined();
  remove();
  expect(findDaemon(store, '/mnt/a')).toBeUndefined();
  expect(readdirSync(store)).toEqual([]);
});

it('does not take a later process with the same pid for the daemon', () => {
  const store = temporaryDirectory();
  const record = { pid: process.pid, startTime: 1, mountpoint: '/mnt/a' };
  writeFileSync(join(store, `daemon-${process.pid}.json`), JSON.stringify(record));
  expect(findDaemon(store, '/mnt/a')).toBeUndefined();
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
  writeRecord(store, '/mnt/a');
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
