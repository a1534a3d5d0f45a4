import { constants } from 'node:os';
import { expect, test } from 'vitest';
import { describeRefused, RequestFailures, totalOf } from '../../mount/requests/request-failures.js';

const { EIO, ENOENT, ENOSPC } = constants.errno;

test('a refusal that nobody repeats is forgotten after a while', () => {
  let now = 0;
  const began = Date.UTC(2026, 0, 1);
  const failures = new RequestFailures(
    new Float64Array(RequestFailures.size(3)),
    () => now,
    () => began + now,
  );
  failures.failed(2, ENOSPC, true);
  now += 60_000;
  failures.failed(2, EIO, true);
  failures.failed(1, EIO, false);
  failures.failed(0, ENOENT, true);
  const refused = failures.refused((operation) => `operation ${operation}`);
  expect(describeRefused(refused)).toEqual([
    {
      code: 'CHANGES_REFUSED',
      subject: 'EIO',
      reason:
        'operation 2 is refused with EIO: 2 since 2026-01-01T00:00:00.000Z, the last at 2026-01-01T00:01:00.000Z',
    },
  ]);
  now += 6 * 60_000;
  expect(failures.refused(String)).toEqual([]);
  const counts = { EIO: 1 };
  failures.addCounts(2, counts);
  expect(counts).toEqual({ EIO: 2, ENOSPC: 1 });
  const others: Record<string, number>[] = [{}, {}];
  for (const operation of [0, 1]) failures.addCounts(operation, others[operation]!);
  expect(others).toEqual([{ ENOENT: 1 }, { EIO: 1 }]);
  expect(totalOf([counts, ...others])).toEqual({ EIO: 3, ENOENT: 1, ENOSPC: 1 });
});

test('one cause is one problem, however many operations are refused for it', () => {
  const at = (second: number) => `2026-01-01T00:00:0${second}.000Z`;
  const refused = [
    { operation: 'MKDIR', error: 'EDQUOT', count: 2, since: at(3), last: at(4) },
    { operation: 'WRITE', error: 'EIO', count: 1, since: at(2), last: at(2) },
    { operation: 'CREATE', error: 'EDQUOT', count: 3, since: at(1), last: at(2) },
  ];
  expect(describeRefused(refused)).toEqual([
    {
      code: 'QUOTA_EXCEEDED',
      subject: 'EDQUOT',
      reason: `MKDIR, CREATE are refused with EDQUOT: 5 since ${at(1)}, the last at ${at(4)}`,
    },
    {
      code: 'CHANGES_REFUSED',
      subject: 'EIO',
      reason: `WRITE is refused with EIO: 1 since ${at(2)}, the last at ${at(2)}`,
    },
  ]);
});

test('a clock that is set hides no refusal and keeps none', () => {
  const YEAR = 365 * 24 * 3600 * 1000;
  let now = 0;
  let wall = Date.UTC(2026, 0, 1);
  const failures = new RequestFailures(
    new Float64Array(RequestFailures.size(3)),
    () => now,
    () => wall,
  );
  failures.failed(1, ENOSPC, true);
  for (const jump of [100 * YEAR, -101 * YEAR]) {
    wall += jump;
    expect(failures.refused(String)).toHaveLength(1);
  }
  now += 6 * 60_000;
  expect(failures.refused(String)).toEqual([]);
});
