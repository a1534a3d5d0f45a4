/** The metrics as a parser of Prometheus' text format reads them. */
import { expect, it } from 'vitest';
import { METRICS } from '../../../daemon/control/metrics/metric-list.js';
import { Metrics } from '../../../daemon/control/metrics/metrics.js';
import type { StatsReport } from '../../../daemon/control/reports.js';
import { HEALTH_CODES } from '../../../daemon/health/codes.js';
import { SpinneyError } from '../../../engine/errors.js';
import { parseMetrics, type Scraped } from '../../support/metrics/prometheus.js';
import { statsReport, stubTarget } from '../support.js';

async function scrape(change: (report: StatsReport) => void = () => {}): Promise<Scraped> {
  const report = statsReport();
  change(report);
  return parseMetrics(await new Metrics(stubTarget({ stats: () => report })).text());
}

it('has all metrics once, each with its type and help', async () => {
  const { families } = await scrape();
  const expected = METRICS.map(({ name, help, type }): [string, object] => [name, { help, type }]);
  expect(new Map(expected).size).toBe(METRICS.length);
  expect([...families]).toEqual(expected);
});

it('has names as Prometheus wants them: base units, and _total for counters alone', () => {
  for (const { name, type } of METRICS) {
    expect(name).toMatch(/^(spinney|process)_[a-z]+(_[a-z]+)*$/);
    expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter']);
    expect(name).not.toMatch(/_(ms|us|millis|micros|milliseconds|microseconds|kib|mib|percent)(_|$)/);
    // Left to histograms' own samples.
    expect(name).not.toMatch(/_(bucket|sum|count)$/);
    if (type === 'histogram') expect(name).toMatch(/_seconds$/);
  }
});

it('has histograms that only grow up to their count', async () => {
  const { samples } = await scrape();
  const buckets = samples('spinney_operation_seconds_bucket');
  for (const { labels } of buckets) expect(Object.keys(labels).sort()).toEqual(['le', 'operation']);
  const bounds = buckets.map(({ labels }) => labels.le!);
  expect(bounds).toHaveLength(25);
  expect([bounds[0], ...bounds.slice(-2)]).toEqual(['0.000002', '16.777216', '+Inf']);
  expect(bounds.slice(0, -1).map(Number)).toEqual(Array.from({ length: 24 }, (_, at) => 2 ** (at + 1) / 1e6));
  const counts = buckets.map(({ value }) => value);
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  // 49 took at most 8 us, and one 128.
  expect(counts.slice(1, 7)).toEqual([0, 49, 49, 49, 49, 50]);
  const labels = { operation: 'lookup' };
  expect(samples('spinney_operation_seconds_sum')).toEqual([{ labels, value: 0.00052 }]);
  expect(samples('spinney_operation_seconds_count')).toEqual([{ labels, value: 50 }]);
  expect(counts.at(-1)).toBe(50);
  expect(samples('spinney_journal_sync_seconds_sum')).toEqual([{ labels: {}, value: 0.0016 }]);
  expect(samples('spinney_blob_load_seconds_count')).toEqual([{ labels: {}, value: 0 }]);
});

it('has the parts of the time and the errors, by operation', async () => {
  const { samples } = await scrape();
  expect(samples('spinney_operation_part_seconds_total')).toContainEqual({
    labels: { operation: 'lookup', part: 'loading' },
    value: 0.0001,
  });
  expect(samples('spinney_operation_errors_total')).toEqual([
    { labels: { operation: 'lookup', error: 'ENOENT' }, value: 5 },
  ]);
});

it('has what an error could be called, as it is', async () => {
  const { samples } = await scrape((report) => {
    report.version = '1"2\\3\n4';
  });
  expect(samples('spinney_info')[0]!.labels.version).toBe('1"2\\3\n4');
});

it.each([
  ['process_start_time_seconds', 1_793_534_340],
  ['process_cpu_seconds_total', 4],
  ['process_resident_memory_bytes', 50_000_000],
  ['process_open_fds', 50],
  ['process_max_fds', 1024],
  ['spinney_last_checkpoint_timestamp_seconds', 1_793_534_400.5],
  ['spinney_disk_free_bytes', 4e11],
  ['spinney_disk_free_inodes', 9e5],
  ['spinney_files', 12],
  ['spinney_directories', 4],
  ['spinney_content_bytes', 123_000],
  ['spinney_read_bytes_total', 4096],
  ['spinney_written_bytes_total', 512],
  ['spinney_queue_depth', 3],
  ['spinney_put_aside_requests', 1],
  ['spinney_kernel_waiting_requests', 2],
])('%s is %d', async (name, value) => {
  expect((await scrape()).samples(name)).toEqual([{ labels: {}, value }]);
});

it('leaves out what is not known', async () => {
  const { samples } = await scrape((report) => {
    delete report.contents;
    delete report.disk;
    report.mount.waitingInKernel = undefined;
    report.tree.checkpoint.lastAt = undefined;
  });
  for (const name of [
    'spinney_files',
    'spinney_disk_free_bytes',
    'spinney_kernel_waiting_requests',
    'spinney_last_checkpoint_timestamp_seconds',
  ])
    expect(samples(name)).toEqual([]);
});

it('has every code of health, also where the disk hangs and there are no figures to be had', async () => {
  const problem = {
    code: 'REQUEST_STUCK',
    severity: 'failing',
    reason: 'it hangs',
    remedy: '',
    since: '',
  } as const;
  const stats = () => {
    throw new SpinneyError('ERR_IO', 'Cannot look at the tree: its disk may hang');
  };
  const health = () => ({ status: 'degraded' as const, reasons: ['it hangs'], problems: [problem, problem] });
  const { samples } = parseMetrics(await new Metrics(stubTarget({ stats, health })).text());
  const told = samples('spinney_health').map(({ labels, value }) => [labels.code, value]);
  expect(told).toEqual(Object.keys(HEALTH_CODES).map((code) => [code, code === 'REQUEST_STUCK' ? 1 : 0]));
  expect(samples('spinney_healthy')).toMatchObject([{ value: 0 }]);
  expect(samples('spinney_keys')).toEqual([]);
  await expect(
    new Metrics(
      stubTarget({
        stats: () => {
          throw new SpinneyError('ERR_MOUNT', 'Cannot tell: the mount is not up yet');
        },
      }),
    ).text(),
  ).rejects.toMatchObject({ code: 'ERR_MOUNT' });
});
