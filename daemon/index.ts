/** The package's main entry: a daemon as a library. The engine alone is `spinney/engine`. */
export { SpinneyError } from '../engine/errors.js';
export type { CheckpointReport, CompactReport, HealthReport, StatsReport } from './control/reports.js';
export { Daemon } from './mounting/daemon.js';
export type { DaemonOptions } from './mounting/daemon-options.js';
export { version } from './process/version.js';
export { run } from './run.js';
