/** Names of snapshots that the daemon's schedule makes, and prunes. Nobody else may give them, so that it deletes nobody's. */
const SCHEDULED = /^(hourly-\d{4}-\d\d-\d\dT\d\dZ|daily-\d{4}-\d\d-\d\d|weekly-\d{4}-W\d\d)$/;

export function isScheduledName(name: string): boolean {
  return SCHEDULED.test(name);
}
