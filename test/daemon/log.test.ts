import { closeSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { mountLog, openLog } from '../../daemon/process/log.js';
import { temporaryDirectory } from './support.js';

it('appends JSON lines of its level and above to a private file', () => {
  const file = join(temporaryDirectory(), 'spinney.log');
  const log = mountLog(openLog({ level: 'info', file }));
  log('debug', 'hidden');
  log('warn', 'busy', { mountpoint: '/mnt/x' });
  mountLog(openLog({ level: 'info', file }))('info', 'again');
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 40, msg: 'busy', mountpoint: '/mnt/x', pid: process.pid },
    { level: 30, msg: 'again' },
  ]);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

it('names the file that it cannot open', () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'file'), '');
  const file = join(directory, 'file', 'spinney.log');
  expect(() => openLog({ level: 'info', file })).toThrow(`Cannot open the log file ${file}`);
});

it.each([
  [true, /INFO.*hello/],
  [false, /^\{.*"msg":"hello"\}\n$/],
])('on a terminal (%s) lines are readable, else JSON', (terminal, expected) => {
  const file = join(temporaryDirectory(), 'stderr');
  const fd = openSync(file, 'w');
  onTestFinished(() => closeSync(fd));
  openLog({ level: 'info', fd, terminal }).info('hello');
  expect(readFileSync(file, 'utf8')).toMatch(expected);
});
