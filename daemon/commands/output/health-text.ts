/** What `spinney health` prints for people. */
import type { HealthReport, ProblemReport } from '../../control/reports.js';
import { formatTable } from './output.js';

export function healthText({ status, reasons, problems }: HealthReport): string {
  // Where all is well, and of a daemon of before, there is no more to tell.
  if (problems === undefined) return formatTable({ status, reasons });
  const lines = [`status  ${status}`, 'reasons'];
  let told: ProblemReport | undefined;
  const next = problems[Symbol.iterator]();
  let due = next.next();
  // A problem has its reason, and maybe lines that say more; what to do follows on these.
  for (const reason of reasons) {
    if (!due.done && due.value.reason === reason) {
      lines.push(...remedyOf(told));
      told = due.value;
      due = next.next();
    }
    lines.push(`  ${reason}`);
  }
  return [...lines, ...remedyOf(told)].join('\n');
}

function remedyOf(problem: ProblemReport | undefined): string[] {
  if (problem === undefined) return [];
  const { code, severity, since, remedy } = problem;
  return [`    ${code}, ${severity} since ${since}`, `    ${remedy}`];
}
