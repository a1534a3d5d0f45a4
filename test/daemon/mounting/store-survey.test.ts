import { statfs } from 'node:fs/promises';
import { beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { StoreSurvey } from '../../../daemon/mounting/store-survey.js';

vi.mock('node:fs/promises', async (original) => {
  const promises = await original<typeof import('node:fs/promises')>();
  return { ...promises, statfs: vi.fn(promises.statfs) };
});

const DISK = { type: 0, bsize: 4096, blocks: 1000, bfree: 500, bavail: 400, files: 300, ffree: 200 };
const TOTALS = { files: 3, directories: 2, bytes: 1024, unsized: 0 };

let lsn: number;
let runs: number;
let sums: () => Promise<typeof TOTALS>;

beforeEach(() => {
  lsn = 1;
  runs = 0;
  sums = async () => TOTALS;
  vi.mocked(statfs).mockReset();
  vi.mocked(statfs).mockImplementation(async () => DISK);
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
});

function start(): StoreSurvey {
  const admin = {
    run: () => {
      runs++;
      return sums();
    },
  };
  const survey = new StoreSurvey({ lastLsn: () => lsn }, admin as never, '/srv/store');
  onTestFinished(() => survey.stop());
  survey.start();
  return survey;
}

it('tells what the disk has, and what the store has in all', async () => {
  const survey = start();
  expect([survey.disk, survey.contents]).toEqual([undefined, undefined]);
  await vi.advanceTimersByTimeAsync(0);
  expect(survey.disk).toMatchObject({
    totalBytes: 4_096_000,
    freeBytes: 1_638_400,
    totalInodes: 300,
    freeInodes: 200,
  });
  expect(survey.contents).toEqual(TOTALS);
});

it('has one look waiting where the disk hangs, and tells the last figures', async () => {
  const survey = start();
  await vi.advanceTimersByTimeAsync(0);
  const { lookedAt } = survey.disk!;
  vi.mocked(statfs).mockImplementation(() => new Promise(() => {}));
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(vi.mocked(statfs)).toHaveBeenCalledTimes(2);
  expect(survey.disk).toMatchObject({ freeBytes: 1_638_400, lookedAt });
});

it('sums up anew only what has changed, and not all the time', async () => {
  const survey = start();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(runs).toBe(1);
  lsn++;
  for (let ask = 0; ask < 100; ask++) expect(survey.contents).toEqual(TOTALS);
  await vi.advanceTimersByTimeAsync(0);
  expect(runs).toBe(2);
  lsn++;
  expect(survey.contents).toEqual(TOTALS);
  expect(runs).toBe(2);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(runs).toBe(3);
});

it('goes on where neither can be told', async () => {
  vi.mocked(statfs).mockImplementation(() => Promise.reject(new Error('EIO')));
  sums = () => Promise.reject(new Error('no sums'));
  const survey = start();
  await vi.advanceTimersByTimeAsync(30_000);
  expect([survey.disk, survey.contents]).toEqual([undefined, undefined]);
  expect(runs).toBeGreaterThan(2);
});
