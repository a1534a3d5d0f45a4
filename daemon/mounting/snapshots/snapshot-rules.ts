/** The schedule of snapshots as people write it: `hourly:24,daily:7`, or `none`. */
import type { Refuse } from '../../process/text/option-text.js';
import { PERIODS, type Rule } from './snapshot-schedule.js';

const MOST_KEPT = 1_000;
const NO_RULES = 'none';
export const RULE_FORMS = PERIODS.map((period) => `${period}:N`).join(', ');

/** Commas or plus signs are between rules. */
export function readRules(text: string, name: string, refuse: Refuse): Rule[] {
  if (text === NO_RULES) return [];
  const rules: Rule[] = [];
  for (const part of text.split(/[,+]/)) {
    const [, word, count] = /^([a-z]+):(\d{1,6})$/.exec(part) ?? [];
    const period = PERIODS.find((known) => known === word);
    const keep = Number(count);
    if (period === undefined || keep < 1 || keep > MOST_KEPT) {
      throw refuse(
        `${name} has "${part}", but takes ${RULE_FORMS} with N from 1 to ${MOST_KEPT}, or ${NO_RULES}`,
      );
    }
    if (rules.some((rule) => rule.period === period)) throw refuse(`${name} has ${period} twice`);
    rules.push({ period, keep });
  }
  return rules;
}

export function rulesText(rules: readonly Rule[]): string {
  if (rules.length === 0) return NO_RULES;
  return rules.map(({ period, keep }) => `${period}:${keep}`).join(',');
}
