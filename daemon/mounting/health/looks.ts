/** What can be wrong beside the tree and the mount. */
import type { HealthCode } from '../../health/codes.js';
import { DescriptorProblems } from './descriptor-problems.js';
import { DiskProblems, type DiskSpace } from './disk-problems.js';
import type { HealthWatch } from './health-watch.js';
import type { QuotaWatch } from './quota-watch.js';

/** Counting descriptors is a walk through them on an older kernel. */
const COUNT_EVERY_MS = 5_000;

export interface Watched {
  /** Its path, as people know it. */
  store: string;
  location: { problem(): string | undefined };
  schedule: { problem(): string | undefined };
  survey: { readonly disk: DiskSpace | undefined };
  quotas: QuotaWatch;
  log: () => string | undefined;
}

export function addLooks(
  health: HealthWatch,
  { store, location, schedule, survey, quotas, log }: Watched,
): void {
  const add = (code: HealthCode, find: () => string | undefined): void =>
    health.add(() => {
      const reason = find();
      return reason === undefined ? undefined : { code, reason };
    });
  add('STORE_MOVED', () => location.problem());
  add('LOG_FAILING', log);
  add('SNAPSHOTS_FAILING', () => schedule.problem());
  const disk = new DiskProblems(store);
  health.add(() => survey.disk && disk.of(survey.disk));
  health.add(() => quotas.problems);
  const descriptors = new DescriptorProblems();
  health.add(() => descriptors.find(), COUNT_EVERY_MS);
}
