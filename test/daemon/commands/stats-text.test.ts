import { expect, it } from 'vitest';
import { statsText } from '../../../daemon/commands/output/stats-text.js';
import { statsReport } from '../support.js';

it('shows the operations as a table under the other figures', () => {
  const [figures, table] = statsText(statsReport()).split('\n\n');
  expect(table!.split('\n')).toEqual([
    'operation     count  per second     p50     p99     max  errors',
    'lookup           50        0.83    8 us  120 us  120 us  ENOENT 5',
    'checkpoint        1        0.02   12 ms   12 ms   12 ms',
    'journal sync      2        0.03  640 us    1 ms    1 ms',
    'blob load         0        0.00       0       0       0',
  ]);
  expect(figures).toMatch(/^ {2}waitingInKernel +2$/m);
  expect(figures).toMatch(/^disk\n {2}totalBytes +1000000000000$/m);
  expect(figures).not.toContain('buckets');
});

it('has the busiest operations first', () => {
  const report = statsReport();
  const { lookup } = report.mount.latency;
  report.mount.latency = {
    rename: { ...lookup!, count: 3 },
    lookup: lookup!,
    read: { ...lookup!, count: 4e6 },
  };
  const rows = statsText(report).split('\n\n')[1]!.split('\n').slice(1, 4);
  expect(rows.map((line) => line.split(' ')[0])).toEqual(['read', 'lookup', 'rename']);
  expect(rows[0]).toMatch(/^read +4000000 +66667 /);
});
