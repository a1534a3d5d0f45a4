import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { mountLog, openLog } from '../../../daemon/process/log/log.js';
import { temporaryDirectory } from '../support.js';

/** As ISO 8601 tells it. */
const TIME = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string;

it('appends JSON lines of its level and above to a private file', () => {
  const file = join(temporaryDirectory(), 'spinney.log');
  const log = mountLog(openLog({ level: 'info', file }).logger);
  log('debug', 'hidden');
  log('warn', 'busy', { mountpoint: '/mnt/x' });
  mountLog(openLog({ level: 'info', file }).logger)('info', 'again');
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { level: 'warn', time: TIME, msg: 'busy', mountpoint: '/mnt/x', pid: process.pid },
    { level: 'info', time: TIME, msg: 'again' },
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
  [false, /^\{"level":"info","time":"[^"]+Z",.*"msg":"hello"\}\n$/],
])('on a terminal (%s) lines are readable, else JSON', (terminal, expected) => {
  const file = join(temporaryDirectory(), 'stderr');
  const fd = openSync(file, 'w');
  onTestFinished(() => closeSync(fd));
  openLog({ level: 'info', fd, terminal }).logger.info('hello');
  expect(readFileSync(file, 'utf8')).toMatch(expected);
});

it('drops and counts what cannot be written', () => {
  const full = openSync('/dev/full', 'w');
  onTestFinished(() => closeSync(full));
  const { logger, problem } = openLog({ level: 'info', fd: full });
  expect(problem()).toBeUndefined();
  logger.info('one');
  logger.error(new Error('two'));
  expect(problem()).toMatch(/^the log cannot be written since \d.*, lines lost: 2; ENOSPC: no space left/);
});

it('does not wait for the reader of a pipe, and tells what is missing when it reads again', () => {
  const fifo = join(temporaryDirectory(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  onTestFinished(() => closeSync(reader));
  const writer = openSync(fifo, 'w');
  const { logger, problem } = openLog({ level: 'info', fd: writer });
  closeSync(writer);
  const text = 'x'.repeat(10_000);
  for (let n = 0; n < 20; n++) logger.info({ n }, text);
  const lost = Number(/lines lost: (\d+); EAGAIN/.exec(problem()!)![1]);
  expect(lost).toBeGreaterThan(10);
  const read = (): string => {
    const into = Buffer.alloc(1_000_000);
    let length = 0;
    for (;;) {
      try {
        const some = readSync(reader, into, length, into.length - length, null);
        if (some === 0) return into.toString('utf8', 0, length);
        length += some;
      } catch {
        return into.toString('utf8', 0, length);
      }
    }
  };
  const before = read();
  logger.info('after');
  expect(problem()).toBeUndefined();
  // The line that was cut short ends where the next one begins.
  const lines = (before + read()).trimEnd().split('\n');
  expect(JSON.parse(lines.at(-2)!)).toMatchObject({ msg: 'after' });
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({
    level: 'warn',
    count: lost,
    cause: expect.stringContaining('EAGAIN') as string,
  });
});

it('survives a reader that has gone', () => {
  const fifo = join(temporaryDirectory(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  const writer = openSync(fifo, 'w');
  const { logger, problem } = openLog({ level: 'info', fd: writer });
  closeSync(reader);
  logger.info('to nobody');
  expect(problem()).toContain('EPIPE');
  closeSync(writer);
});

it('goes on in a new file after a rotation, and in the old one where that cannot be', () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'log');
  const { logger, reopen, problem } = openLog({ level: 'info', file });
  logger.info('one');
  renameSync(file, `${file}.1`);
  logger.info('two');
  reopen();
  logger.info('three');
  expect(readFileSync(`${file}.1`, 'utf8').split('\n')).toHaveLength(3);
  expect(readFileSync(file, 'utf8')).toContain('three');
  rmSync(file);
  execFileSync('mkdir', [file]);
  reopen();
  expect(problem()).toContain('it is a directory');
  logger.info('four');
  expect(problem()).toBeUndefined();
});
