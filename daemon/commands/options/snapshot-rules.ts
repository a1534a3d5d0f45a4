/** The option `--snapshots hourly:24,daily:7`. */
import { RULE_FORMS, readRules } from '../../mounting/snapshots/snapshot-rules.js';
import type { Rule } from '../../mounting/snapshots/snapshot-schedule.js';
import { badArgument, type RawOptions, textOption } from './arguments.js';
import type { CommandOption } from './command.js';

export const snapshotsOption: CommandOption = {
  takesValue: true,
  describe: `Makes snapshots by the clock, and keeps the last N: ${RULE_FORMS}, with commas between them (or, in /etc/fstab, plus signs)`,
  default: 'none',
};

/** Empty where the option was not given. Throws ERR_INVALID_ARGUMENT. */
export function snapshotRulesOf(options: RawOptions): Rule[] {
  return readRules(textOption(options, 'snapshots') ?? 'none', '--snapshots', badArgument);
}
