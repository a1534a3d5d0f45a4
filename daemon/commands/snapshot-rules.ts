/** Reads `--snapshots hourly:24,daily:7`. */
import { PERIODS, type Rule } from '../mounting/snapshot-schedule.js';
import { badArgument, type RawOptions, textOption } from './arguments.js';
import type { CommandOption } from './command.js';

const MOST_KEPT = 1_000;
const FORMS = PERIODS.map((period) => `${period}:N`).join(', ');

export const snapshotsOption: CommandOption = {
  takesValue: true,
  describe: `Makes snapshots by the clock, and keeps the last N: ${FORMS}, with commas between them (or, in /etc/fstab, plus signs)`,
  default: 'none',
};

/** Empty where the option was not given. Throws ERR_INVALID_ARGUMENT. */
export function snapshotRulesOf(options: RawOptions): Rule[] {
  const rules: Rule[] = [];
  for (const part of textOption(options, 'snapshots')?.split(/[,+]/) ?? []) {
    const [, name, count] = /^([a-z]+):(\d{1,6})$/.exec(part) ?? [];
    const period = PERIODS.find((known) => known === name);
    const keep = Number(count);
    if (period === undefined || keep < 1 || keep > MOST_KEPT) {
      throw badArgument(`--snapshots has "${part}", but takes ${FORMS} with N from 1 to ${MOST_KEPT}`);
    }
    if (rules.some((rule) => rule.period === period)) throw badArgument(`--snapshots has ${period} twice`);
    rules.push({ period, keep });
  }
  return rules;
}
