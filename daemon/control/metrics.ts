/** Prometheus text of the daemon's stats. Nothing is collected between scrapes. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { ControlTarget, HealthReport, StatsReport } from './reports.js';

interface Metric {
  name: string;
  help: string;
  type: 'counter' | 'gauge';
  value: (stats: StatsReport, health: HealthReport) => number;
}

function counter(name: string, help: string, value: Metric['value']): Metric {
  return { name, help, type: 'counter', value };
}

function gauge(name: string, help: string, value: Metric['value']): Metric {
  return { name, help, type: 'gauge', value };
}

const METRICS: readonly Metric[] = [
  gauge('spinney_healthy', '1 if the daemon is healthy, 0 if degraded.', (_, h) =>
    h.status === 'ok' ? 1 : 0,
  ),
  gauge('spinney_blobs', 'Blobs of the tree.', (s) => s.tree.blobCount),
  gauge('spinney_space_bytes', 'Bytes that the blobs take.', (s) => s.tree.totalSpaceUsed),
  gauge('spinney_live_bytes', 'Bytes of nodes and leaves.', (s) => s.tree.liveBytes),
  gauge('spinney_fill_ratio', 'Live bytes by the space that the blobs take.', (s) => s.tree.averageFill),
  gauge('spinney_blob_depth', 'Blobs on the longest way from the root.', (s) => s.tree.maxBlobDepth),
  gauge('spinney_keys', 'Keys in the tree.', (s) => s.tree.keyCount),
  gauge('spinney_dirty_blobs', 'Blobs changed since the last checkpoint.', (s) => s.tree.bmDirtyCount),
  gauge('spinney_pending_deletes', 'Blobs whose deletion is pending.', (s) => s.tree.bmPendingDeleteCount),
  gauge('spinney_unreadable_blobs', 'Blobs that could not be read.', (s) => s.tree.unreadableBlobs.length),
  gauge('spinney_cache_bytes', 'Size of the cache.', (s) => s.tree.cacheBytes),
  counter('spinney_cache_hits_total', 'Blobs found in the cache.', (s) => s.tree.cacheHits),
  counter('spinney_cache_misses_total', 'Blobs read from the store.', (s) => s.tree.cacheMisses),
  counter('spinney_optimistic_restarts_total', 'Walks begun anew.', (s) => s.tree.optimisticRestarts),
  counter('spinney_spillovers_total', 'Subtrees moved to a blob of their own.', (s) => s.tree.spillovers),
  counter('spinney_merges_total', 'Blobs merged into their parent.', (s) => s.tree.merges),
  counter('spinney_compactions_total', 'Blobs repacked.', (s) => s.tree.compactions),
  gauge('spinney_last_lsn', 'LSN of the last mutation.', (s) => s.tree.lastLsn),
  counter('spinney_journal_appends_total', 'Journal records.', (s) => s.tree.journal.appends),
  counter('spinney_journal_syncs_total', 'Journal fdatasync calls.', (s) => s.tree.journal.syncs),
  counter('spinney_journal_bytes_total', 'Bytes written to the journal.', (s) => s.tree.journal.bytes),
  counter('spinney_checkpoint_rounds_total', 'Checkpoints published.', (s) => s.tree.checkpoint.rounds),
  counter('spinney_checkpoint_failures_total', 'Checkpoints that failed.', (s) => s.tree.checkpoint.failures),
  gauge('spinney_checkpoint_lsn', 'LSN of the last checkpoint.', (s) => s.tree.checkpoint.lastLsn),
  gauge(
    'spinney_checkpoint_duration_seconds',
    'Duration of the last checkpoint.',
    (s) => s.tree.checkpoint.lastDurationMs / 1000,
  ),
  gauge('spinney_snapshots', 'Snapshots.', (s) => s.snapshots.count),
  gauge(
    'spinney_snapshot_bytes',
    'Bytes that only snapshots hold, of names and contents.',
    (s) => s.snapshots.bytes + s.snapshots.contentBytes,
  ),
  counter('spinney_requests_total', 'Requests of the mount.', (s) => s.mount.requests),
  counter('spinney_request_errors_total', 'Requests answered with EIO.', (s) => s.mount.errors),
  gauge('spinney_refused_changes', 'Changes that could not be made, of operations that still fail.', (s) =>
    s.mount.refused.reduce((sum, { count }) => sum + count, 0),
  ),
  gauge('spinney_open_files', 'Open file handles.', (s) => s.mount.openFiles),
  gauge('spinney_descriptors', 'File descriptors of the daemon.', (s) => s.mount.descriptors),
  gauge('spinney_descriptor_limit', 'Most that it may have.', (s) => s.mount.descriptorLimit),
  gauge('spinney_nodes', 'Inodes that the kernel holds.', (s) => s.mount.nodes),
  gauge('spinney_node_table_bytes', 'Memory of the table of those inodes.', (s) => s.mount.nodeTableBytes),
  gauge('spinney_uptime_seconds', 'Seconds since the daemon started.', (s) => s.process.uptimeSeconds),
  gauge('spinney_resident_bytes', 'Resident memory of the daemon.', (s) => s.process.rssBytes),
];

export class Metrics {
  readonly #registry = new Registry();
  readonly #target: ControlTarget;
  readonly #set: ((stats: StatsReport, health: HealthReport) => void)[] = [];

  constructor(target: ControlTarget) {
    this.#target = target;
    const registers = [this.#registry];
    for (const { name, help, type, value } of METRICS) {
      if (type === 'gauge') {
        const metric = new Gauge({ name, help, registers });
        this.#set.push((stats, health) => metric.set(value(stats, health)));
      } else {
        const metric = new Counter({ name, help, registers });
        this.#set.push((stats, health) => {
          metric.reset();
          metric.inc(value(stats, health));
        });
      }
    }
    const operations = new Counter({
      name: 'spinney_operations_total',
      help: 'Requests of the mount by operation.',
      labelNames: ['operation'],
      registers,
    });
    this.#set.push((stats) => {
      operations.reset();
      for (const [operation, count] of Object.entries(stats.mount.operations)) {
        operations.inc({ operation }, count);
      }
    });
    const errors = new Counter({
      name: 'spinney_errors_total',
      help: 'Requests of the mount answered with an error, by its name.',
      labelNames: ['error'],
      registers,
    });
    this.#set.push((stats) => {
      errors.reset();
      for (const [error, count] of Object.entries(stats.mount.errorsByName)) errors.inc({ error }, count);
    });
    const info = new Gauge({
      name: 'spinney_info',
      help: 'Always 1; the labels tell the version and the driver.',
      labelNames: ['version', 'driver'],
      registers,
    });
    this.#set.push((stats) => info.set({ version: stats.version, driver: stats.mount.driver }, 1));
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** One scrape: all values are of one moment. */
  async text(): Promise<string> {
    const stats = this.#target.stats({ blobs: false });
    const health = this.#target.health();
    for (const set of this.#set) set(stats, health);
    return this.#registry.metrics();
  }
}
