import { HEALTH_CODES } from '../../health/codes.js';
import type { HealthReport } from '../../health/health-record.js';

/** Each code at any time, so that an alert can tell what is not so from what is not known. */
export function healthSamples({
  problems = [],
}: HealthReport): { labels: { code: string }; value: number }[] {
  const codes = new Set<string>(problems.map(({ code }) => code));
  return Object.keys(HEALTH_CODES).map((code) => ({ labels: { code }, value: codes.has(code) ? 1 : 0 }));
}
