import { expect, it, vi } from 'vitest';
import type { ScrubReport } from '../../../daemon/control/reports.js';
import type { Admin } from '../../../daemon/mounting/admin/admin.js';
import { Scrubber } from '../../../daemon/mounting/scrub/scrubber.js';
import { PATIENTLY } from '../../support/until.js';
import { silentLog } from '../support.js';

/** An admin over so many blobs, of which some are damaged. */
function adminOf(count: number, damaged: readonly number[] = [], manifest?: string) {
  const asked: number[][] = [];
  const run = async (work: string, ids: number[] = []) => {
    if (work === 'listBlobs') return Array.from({ length: count }, (_, n) => n + 1);
    if (work === 'scrubIndex') return manifest;
    if (work === 'prefixesOf') return ids.map((id) => `d/${id}`);
    asked.push(ids);
    const found = ids
      .filter((id) => damaged.includes(id))
      .map((id) => ({ id, message: `Blob ${id}: rotten` }));
    return { blobs: ids.length, damaged: found, parents: [] };
  };
  return { admin: { run } as unknown as Pick<Admin, 'run'>, asked };
}

it('verifies each blob once, tells what it found, and keeps it', async () => {
  const { admin, asked } = adminOf(20, [7]);
  const kept: ScrubReport[] = [];
  const scrubber = new Scrubber(admin, silentLog, { last: undefined, keep: (report) => kept.push(report) });
  const running = scrubber.run(1_000_000);
  expect(scrubber.isRunning).toBe(true);
  expect(scrubber.run(1)).toBe(running);
  expect(await running).toMatchObject({
    blobs: 20,
    damaged: [{ id: 7, message: 'Blob 7: rotten', prefix: 'd/7' }],
  });
  expect(asked.flat()).toEqual(Array.from({ length: 20 }, (_, n) => n + 1));
  expect(kept).toEqual([scrubber.last]);
  expect(scrubber.isRunning).toBe(false);
});

it('tells what is wrong with the manifest', async () => {
  const { admin } = adminOf(2, [], 'Cannot open manifest: its CRC is wrong');
  const scrubber = new Scrubber(admin, silentLog, { last: undefined, keep: () => {} });
  expect(await scrubber.run(1_000_000)).toMatchObject({
    damaged: [],
    manifest: 'Cannot open manifest: its CRC is wrong',
  });
});

it('is no faster than its rate, and ends when it is told to', async () => {
  const { admin, asked } = adminOf(100);
  const scrubber = new Scrubber(admin, silentLog, { last: undefined, keep: () => {} });
  // Eight blobs are 4 MiB: a minute's worth.
  const running = scrubber.run(4 / 60);
  await vi.waitFor(() => expect(asked).toHaveLength(1), PATIENTLY);
  scrubber.stop();
  await expect(running).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  expect(asked).toHaveLength(1);
  expect(scrubber.last).toBeUndefined();
});

it('begins by schedule when the last scrub is long ago', async () => {
  vi.useFakeTimers({
    now: Date.parse('2026-03-10T00:00:00Z'),
    toFake: ['setInterval', 'clearInterval', 'Date'],
  });
  try {
    const { admin, asked } = adminOf(2);
    const last = {
      startedAt: '2026-03-04T00:00:00Z',
      endedAt: '2026-03-04T00:00:00Z',
      blobs: 2,
      damaged: [],
    };
    const scrubber = new Scrubber(admin, silentLog, { last, keep: () => {} });
    scrubber.schedule(7);
    vi.advanceTimersByTime(23 * 3600_000);
    expect(scrubber.isRunning).toBe(false);
    vi.advanceTimersByTime(3600_000);
    expect(scrubber.isRunning).toBe(true);
    vi.useRealTimers();
    await vi.waitFor(() => expect(scrubber.isRunning).toBe(false), PATIENTLY);
    expect(asked).toEqual([[1, 2]]);
    scrubber.stop();
  } finally {
    vi.useRealTimers();
  }
});
