import { expect, it } from 'vitest';
import { Progress } from '../../../daemon/commands/output/progress.js';

function shown(isTerminal: boolean) {
  let now = 0;
  const told: string[] = [];
  const progress = new Progress({ err: (text) => told.push(text) }, isTerminal, () => now);
  return { progress, told, pass: (ms: number) => (now += ms) };
}

it('draws a bar on a terminal, in one line, and takes it away', () => {
  const { progress, told, pass } = shown(true);
  progress.begin('checking blobs', 40);
  progress.step();
  expect(told).toEqual([]);
  pass(150);
  progress.step(9);
  expect(told).toEqual(['\rchecking blobs: [########......................] 25% (10 of 40)']);
  const { length } = told[0]!;
  progress.clear();
  expect(told[1]).toBe(`\r${' '.repeat(length - 1)}\r`);
  progress.clear();
  expect(told).toHaveLength(2);
});

it('writes a plain line every few seconds elsewhere', () => {
  const { progress, told, pass } = shown(false);
  progress.begin('reading', 0);
  for (let n = 0; n < 100; n++) {
    pass(100);
    progress.step();
  }
  expect(told).toEqual(['reading: 50\n', 'reading: 100\n']);
  progress.begin('checking', 3);
  pass(6000);
  progress.step();
  expect(told[2]).toBe('checking: 33% (1 of 3)\n');
});

it('tells bytes, files, rate and the time that is left', () => {
  const { progress, told, pass } = shown(true);
  progress.beginBytes('copying contents', 10 * 1024 * 1024, 4);
  pass(2000);
  progress.bytes(1024 * 1024);
  progress.file();
  pass(2000);
  progress.bytes(1024 * 1024);
  expect(told.at(-1)).toBe(
    '\rcopying contents: [######........................] 20% (2 MiB of 10 MiB, 1 of 4 files, 512 KiB/s, 0:16 left)',
  );
  progress.note('a line');
  expect(told.at(-1)).toBe('a line\n');
});
