import { expect, it, onTestFinished, vi } from 'vitest';
import { Progress } from '../../../daemon/commands/output/progress.js';
import { tellWaiting } from '../../../daemon/commands/output/waiting.js';

it('tells on a terminal for how long it has waited, and takes that away again', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  let told = '';
  const output = {
    err: (text: string) => {
      told += text;
    },
  };
  const progress = new Progress(output, true, () => performance.now());
  let done = (_value: string): void => {};
  const work = new Promise<string>((resolve) => {
    done = resolve;
  });
  const waiting = tellWaiting(output, 'making the snapshot x', work, progress);
  await vi.advanceTimersByTimeAsync(3_500);
  done('made');
  expect(await waiting).toBe('made');
  expect(told).toContain('\rmaking the snapshot x: 3 s');
  expect(told.endsWith(`${' '.repeat('making the snapshot x: 3 s'.length)}\r`)).toBe(true);
  const before = told;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(told).toBe(before);
});
