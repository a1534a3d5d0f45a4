/** What the last scrub found. */
import type { ScrubReport } from '../../control/reports.js';
import type { Problem } from '../../health/codes.js';

export function scrubProblems(last: ScrubReport | undefined): Problem[] {
  const problems = (last?.damaged ?? []).map(({ id, message, prefix, snapshot }): Problem => {
    const of = snapshot === undefined ? '' : ` of snapshot ${JSON.stringify(snapshot)}`;
    const keys = prefix === undefined ? '' : `; its keys begin with "${prefix}"`;
    const reason = `the last scrub found blob ${id}${of} damaged: ${message}${keys}`;
    return { code: 'SCRUB_FOUND_DAMAGE', subject: `blob ${id}${of}`, reason };
  });
  if (last?.manifest !== undefined) {
    const reason = `the last scrub found the manifest damaged: ${last.manifest}`;
    problems.push({ code: 'MANIFEST_DAMAGED', reason });
  }
  return problems;
}
