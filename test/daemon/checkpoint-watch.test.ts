import { afterEach, expect, it, vi } from 'vitest';
import { CheckpointWatch } from '../../daemon/mounting/checkpoint-watch.js';
import { statsReport } from './support.js';

afterEach(() => {
  vi.useRealTimers();
});

it('each failure of checkpoints gets into the log once, and their end', () => {
  vi.useFakeTimers();
  const checkpoint = { ...statsReport().tree.checkpoint };
  const told: string[] = [];
  const log = {
    error: (fields: { reason: string }, message: string) => told.push(`${message}: ${fields.reason}`),
    info: (_fields: object, message: string) => told.push(message),
  };
  const watch = new CheckpointWatch(() => checkpoint, log as never);
  vi.advanceTimersByTime(5_000);
  expect(told).toEqual([]);
  checkpoint.lastError = 'EMFILE: open manifest';
  vi.advanceTimersByTime(5_000);
  checkpoint.lastError = 'no space left';
  vi.advanceTimersByTime(5_000);
  checkpoint.lastError = undefined;
  vi.advanceTimersByTime(5_000);
  const failed = 'a checkpoint failed; the journal keeps what it lacks';
  expect(told).toEqual([
    `${failed}: EMFILE: open manifest`,
    `${failed}: no space left`,
    'checkpoints succeed again',
  ]);
  watch.stop();
  checkpoint.lastError = 'again';
  vi.advanceTimersByTime(5_000);
  expect(told.length).toBe(3);
});
