/** What a record counts in the sums of directories does not depend on the format in which it is kept. */
import { expect, test } from 'vitest';
import * as record from '../../mount/filesystem/records/record.js';

function counted(value: Uint8Array): number[] {
  const out = new Float64Array(5);
  record.countRecord(value, out);
  return [...out];
}

test('a file counts the same before and after a snapshot', () => {
  const file = record.newRecord(7, record.REGULAR | 0o644);
  record.setSize(file, 5_000_000_000);
  expect(counted(file)).toEqual([1, 0, 5_000_000_000, 0, 0]);
  expect(counted(record.withBorn(file, 3))).toEqual(counted(file));
  record.setFlag(file, record.LIVE);
  expect(counted(record.withBorn(file, 3))).toEqual([1, 0, 0, 0, 1]);
});
