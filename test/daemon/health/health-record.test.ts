import { beforeEach, expect, it } from 'vitest';
import { HEALTH_CODES, type Problem } from '../../../daemon/health/codes.js';
import { GONE_AFTER_MS, HealthRecord } from '../../../daemon/health/health-record.js';
import { Threshold } from '../../../daemon/health/threshold.js';

let now: number;
let told: string[];
let record: HealthRecord;

const failed: Problem = { code: 'CHECKPOINT_FAILED', reason: 'the last checkpoint failed: no space' };
const blob = (id: number, errors: number): Problem => ({
  code: 'BLOB_UNREADABLE',
  subject: `blob ${id}`,
  reason: `blob ${id} cannot be read (tried ${errors} times)`,
});

beforeEach(() => {
  now = 1_000;
  told = [];
  const tell = (level: string) => (fields: object, message: string) => {
    told.push(`${level} ${(fields as { code: string }).code}: ${message}`);
  };
  const log = { error: tell('error'), warn: tell('warn'), info: tell('info') };
  record = new HealthRecord(log as never, () => now);
});

it('tells a problem with its code, what to do, and since when', () => {
  expect(record.update([], true)).toEqual({ status: 'ok', reasons: [] });
  const report = record.update([{ ...failed, more: ['and more'] }], true);
  expect(report).toEqual({
    status: 'degraded',
    reasons: [failed.reason, 'and more'],
    problems: [
      {
        code: 'CHECKPOINT_FAILED',
        severity: 'degraded',
        reason: failed.reason,
        remedy: HEALTH_CODES.CHECKPOINT_FAILED.remedy,
        since: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      },
    ],
  });
});

it('has a line in the log when a problem begins and one when it ends, whatever its figures do', () => {
  for (let errors = 1; errors < 100; errors++) {
    record.update([blob(7, errors)], true);
    now += 1_000;
  }
  expect(told).toEqual(['error BLOB_UNREADABLE: blob 7 cannot be read (tried 1 times)']);
  record.update([], true);
  record.update([], true);
  expect(told.slice(1)).toEqual([]);
  now += GONE_AFTER_MS;
  for (let look = 0; look < 3; look++) record.update([], true);
  expect(told.slice(1)).toEqual(['info BLOB_UNREADABLE: no longer: blob 7 cannot be read (tried 99 times)']);
});

it('knows several of one code by their subjects', () => {
  record.update([blob(7, 1)], true);
  record.update([blob(7, 2), blob(9, 1)], true);
  expect(told).toHaveLength(2);
  expect(told[1]).toContain('blob 9');
});

it('takes what goes and comes back at once for one problem, and yet does not tell of it meanwhile', () => {
  const { problems } = record.update([failed], true);
  for (let look = 0; look < 60; look++) {
    now += 1_000;
    const found = look % 2 === 0 ? [] : [failed];
    const report = record.update(found, true);
    expect(report.status).toBe(found.length === 0 ? 'ok' : 'degraded');
    if (found.length > 0) expect(report.problems![0]!.since).toBe(problems![0]!.since);
  }
  expect(told).toHaveLength(1);
});

it('does not tell the log what nobody shall be told yet', () => {
  record.update([failed], false);
  expect(told).toEqual([]);
  record.update([failed], true);
  expect(told).toHaveLength(1);
  const patient = { ...blob(1, 1), tellAfterMs: 5_000 };
  record.update([failed, patient], true);
  now += 4_999;
  expect(record.update([failed, patient], true).problems).toHaveLength(2);
  expect(told).toHaveLength(1);
  now += 1;
  record.update([failed, patient], true);
  expect(told).toHaveLength(2);
});

it('a threshold does not change its mind at each look', () => {
  const low = new Threshold();
  expect([10, 5, 4, 5, 6, 7, 5, 4].map((value) => low.update(value, 5, 7))).toEqual([
    false,
    false,
    true,
    true,
    true,
    false,
    false,
    true,
  ]);
  const high = new Threshold();
  expect([5, 8, 9, 8, 6, 5, 8].map((value) => high.update(value, 8, 5))).toEqual([
    false,
    false,
    true,
    true,
    true,
    false,
    false,
  ]);
});
