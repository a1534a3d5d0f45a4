import { expect, it, vi } from 'vitest';
import { snapshotRulesOf } from '../../../daemon/commands/options/snapshot-rules.js';
import {
  type Rule,
  SnapshotSchedule,
  scheduledName,
} from '../../../daemon/mounting/snapshots/snapshot-schedule.js';
import { SpinneyError } from '../../../engine/errors.js';
import { isScheduledName } from '../../../mount/snapshot-names.js';
import { PATIENTLY } from '../../support/until.js';

const HOUR = 3600_000;
const DAY = 24 * HOUR;

/** A schedule whose clock the test sets, on snapshots that are names in the order in which they were made. */
function scheduled(rules: readonly Rule[], start = '2026-11-30T06:10:00Z') {
  const names: string[] = [];
  const told: string[] = [];
  const state = { now: Date.parse(start), failure: undefined as string | undefined };
  const log = {
    info: (...words: unknown[]) => told.push(`info ${words.at(-1)}`),
  };
  const schedule = new SnapshotSchedule(
    rules,
    {
      names: () => names.map((name) => ({ name })),
      make: async (name) => {
        if (state.failure !== undefined) throw new SpinneyError('ERR_NO_SPACE', state.failure);
        names.push(name);
      },
      delete: async (name) => {
        names.splice(names.indexOf(name), 1);
      },
    },
    log,
    () => state.now,
  );
  const look = async (at: number) => {
    state.now = at;
    await schedule.look();
  };
  return { names, told, state, schedule, look };
}

it('names what it makes after the hour, the day and the ISO week, in UTC', () => {
  const at = (time: string) => Date.parse(time);
  expect(scheduledName('hourly', at('2026-11-30T06:59:59.999Z'))).toBe('hourly-2026-11-30T06Z');
  expect(scheduledName('daily', at('2026-11-30T00:00:00Z'))).toBe('daily-2026-11-30');
  expect(scheduledName('weekly', at('2026-11-30T00:00:00Z'))).toBe('weekly-2026-W49');
  expect(scheduledName('weekly', at('2026-11-29T23:59:59Z'))).toBe('weekly-2026-W48');
  // Years begin and end within a week.
  expect(scheduledName('weekly', at('2027-01-03T12:00:00Z'))).toBe('weekly-2026-W53');
  expect(scheduledName('weekly', at('2027-01-04T00:00:00Z'))).toBe('weekly-2027-W01');
  expect(scheduledName('weekly', at('2024-12-30T00:00:00Z'))).toBe('weekly-2025-W01');
  for (const period of ['hourly', 'daily', 'weekly'] as const) {
    expect(isScheduledName(scheduledName(period, Date.now()))).toBe(true);
  }
  expect(isScheduledName('hourly-before-the-upgrade')).toBe(false);
});

it('makes one in each period, and keeps as many as it is told', async () => {
  const { names, look, state } = scheduled([
    { period: 'hourly', keep: 3 },
    { period: 'daily', keep: 2 },
  ]);
  const start = state.now;
  for (let minutes = 0; minutes <= 4 * 60; minutes += 15) await look(start + minutes * 60_000);
  expect(names).toEqual([
    'daily-2026-11-30',
    'hourly-2026-11-30T08Z',
    'hourly-2026-11-30T09Z',
    'hourly-2026-11-30T10Z',
  ]);
  await look(start + DAY);
  await look(start + 2 * DAY);
  expect(names.filter((name) => name.startsWith('daily'))).toEqual(['daily-2026-12-01', 'daily-2026-12-02']);
});

it('makes up for what was missed while the machine slept by one snapshot', async () => {
  const { names, look, state } = scheduled([{ period: 'hourly', keep: 24 }]);
  await look(state.now);
  await look(state.now + 9 * HOUR);
  expect(names).toEqual(['hourly-2026-11-30T06Z', 'hourly-2026-11-30T15Z']);
});

it('lives with a clock that jumps', async () => {
  const { names, look, state } = scheduled([{ period: 'hourly', keep: 3 }]);
  const start = state.now;
  await look(start);
  await look(start + 365 * DAY);
  // Back again: the hour has its snapshot, the one of the future stays for now.
  await look(start);
  expect(names).toEqual(['hourly-2026-11-30T06Z', 'hourly-2027-11-30T06Z']);
  await look(start + HOUR);
  await look(start + 2 * HOUR);
  await look(start + 3 * HOUR);
  // It went in its turn, not those that were made after it.
  expect(names).toEqual(['hourly-2026-11-30T07Z', 'hourly-2026-11-30T08Z', 'hourly-2026-11-30T09Z']);
});

it('never deletes names that somebody gave', async () => {
  const { names, look, state } = scheduled([{ period: 'hourly', keep: 1 }]);
  names.push('hourly-by-hand', 'hourly', 'daily-2026-01-01', 'before');
  const start = state.now;
  for (let hours = 0; hours < 5; hours++) await look(start + hours * HOUR);
  expect(names).toEqual(['hourly-by-hand', 'hourly', 'daily-2026-01-01', 'before', 'hourly-2026-11-30T10Z']);
});

it('tells a failure as long as there is one, and tries again', async () => {
  const { names, told, schedule, look, state } = scheduled([{ period: 'hourly', keep: 3 }]);
  state.failure = 'Cannot make the snapshot: the disk is full';
  await look(state.now);
  await look(state.now + 60_000);
  const problem = "the schedule's hourly snapshots: Cannot make the snapshot: the disk is full";
  expect(schedule.problem()).toBe(problem);
  state.failure = undefined;
  await look(state.now + 60_000);
  expect(schedule.problem()).toBeUndefined();
  expect(names).toEqual(['hourly-2026-11-30T06Z']);
  expect(told).toEqual(['info made a scheduled snapshot']);
});

it('reads what the option says', () => {
  const read = (snapshots?: string) => snapshotRulesOf({ snapshots });
  expect(read()).toEqual([]);
  expect(read('hourly:24,daily:7,weekly:4')).toEqual([
    { period: 'hourly', keep: 24 },
    { period: 'daily', keep: 7 },
    { period: 'weekly', keep: 4 },
  ]);
  expect(read('hourly:1+weekly:2')).toHaveLength(2);
  for (const [text, reason] of [
    ['hourly', '--snapshots has "hourly", but takes hourly:N, daily:N, weekly:N with N from 1 to 1000'],
    ['hourly:0', '--snapshots has "hourly:0", but'],
    ['monthly:3', '--snapshots has "monthly:3", but'],
    ['hourly:24,', '--snapshots has "", but'],
    ['daily:7,daily:8', '--snapshots has daily twice'],
  ] as const) {
    expect(() => read(text)).toThrow(reason);
  }
});

it('goes by new rules at once, also where a look goes on', async () => {
  const { schedule, names, state, told } = scheduled([]);
  schedule.start();
  schedule.setRules([{ period: 'hourly', keep: 2 }]);
  schedule.setRules([{ period: 'daily', keep: 1 }]);
  await vi.waitFor(() => expect(names).toContain('daily-2026-11-30'), PATIENTLY);
  state.failure = 'no space';
  state.now += DAY;
  await schedule.look();
  expect(schedule.problem()).toContain('no space');
  schedule.setRules([]);
  expect([schedule.problem(), schedule.rules]).toEqual([undefined, []]);
  const before = told.length;
  await schedule.look();
  expect(told).toHaveLength(before);
  schedule.stop();
});
