/** A log that is rotated by its size. */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLog } from '../../../daemon/process/log/log.js';
import { temporaryDirectory } from '../support.js';

const MOST_BYTES = 1_000;

function rotating(file: string) {
  return openLog({ level: 'info', file, mostBytes: MOST_BYTES });
}

/** The numbers of the lines in a file. */
function numbers(file: string): number[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => (JSON.parse(line) as { n: number }).n);
}

it('is five files at most, none larger than it may be, with the last lines in order', () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'log');
  const { logger, problem } = rotating(file);
  for (let n = 0; n < 200; n++) logger.info({ n }, 'line');
  expect(problem()).toBeUndefined();
  const names = ['log.4', 'log.3', 'log.2', 'log.1', 'log'];
  expect(readdirSync(directory).sort()).toEqual([...names].sort());
  for (const name of names) {
    const { size, mode } = statSync(join(directory, name));
    expect(size).toBeLessThanOrEqual(MOST_BYTES);
    expect(mode & 0o777).toBe(0o600);
  }
  const kept = names.flatMap((name) => numbers(join(directory, name)));
  expect(kept).toEqual(Array.from(kept, (_, at) => 200 - kept.length + at));
});

it('counts what is in the file already', () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'log');
  for (let n = 0; n < 20; n++) rotating(file).logger.info({ n }, 'line');
  expect(statSync(file).size).toBeLessThanOrEqual(MOST_BYTES);
  expect(readdirSync(directory)).toContain('log.1');
});

it('grows where a name is taken by what is no log, says so, and is rotated when that is gone', () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'log');
  mkdirSync(`${file}.2`);
  const { logger, problem } = rotating(file);
  for (let n = 0; n < 50; n++) logger.info({ n }, 'line');
  expect(problem()).toBe(`Cannot rotate the log: ${file}.2 is no plain file of this user's; move it away`);
  expect(numbers(file)).toHaveLength(50);
  rmdirSync(`${file}.2`);
  for (let n = 50; n < 70; n++) logger.info({ n }, 'line');
  expect(problem()).toBeUndefined();
  expect([...numbers(`${file}.1`), ...numbers(file)]).toEqual(Array.from({ length: 70 }, (_, n) => n));
});

it('goes on under its name where somebody else has renamed the file', () => {
  const directory = temporaryDirectory();
  const file = join(directory, 'log');
  const { logger } = rotating(file);
  logger.info({ n: 0 }, 'line');
  renameSync(file, `${file}.1`);
  for (let n = 1; n < 20; n++) logger.info({ n }, 'line');
  expect(readdirSync(directory).sort()).toEqual(['log', 'log.1']);
  expect([...numbers(`${file}.1`), ...numbers(file)]).toEqual(Array.from({ length: 20 }, (_, n) => n));
});

it('stays in its directory where that is moved, or reached by a link', () => {
  const directory = temporaryDirectory();
  mkdirSync(join(directory, 'a'));
  symlinkSync(join(directory, 'a/log'), join(directory, 'link'));
  rotating(join(directory, 'a/log')).logger.info({ n: 0 }, 'line');
  const { logger, problem } = rotating(join(directory, 'link'));
  renameSync(join(directory, 'a'), join(directory, 'b'));
  for (let n = 1; n < 20; n++) logger.info({ n }, 'line');
  expect(problem()).toBeUndefined();
  expect(readdirSync(directory).sort()).toEqual(['b', 'link']);
  expect(readdirSync(join(directory, 'b')).sort()).toEqual(['log', 'log.1']);
});
