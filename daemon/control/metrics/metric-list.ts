/** The metrics, one entry each. Names as Prometheus has them: base units, `_total` for what only grows. */
import type { Latency } from '../../../engine/api.js';
import type { HealthReport, StatsReport } from '../reports.js';
import { healthSamples } from './health-metrics.js';
import { countUpTo } from './latency.js';

export interface Sample {
  labels: Record<string, string>;
  value: number;
  /** Where it is another than the metric's. */
  metricName?: string;
}

export interface Metric {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  /** It needs no stats, and is told where there are none to be had. */
  isOfHealth?: true;
  samples: (stats: StatsReport, health: HealthReport) => Sample[];
}

/** Undefined: it is not known, and left out. */
type Value = (stats: StatsReport, health: HealthReport) => number | undefined;
type Labelled = (stats: StatsReport) => [labels: Record<string, string>, value: number][];

/** Bounds of a histogram's buckets: powers of 2 from 2 us to 16.8 s, which are exact. */
const BOUNDS = Array.from({ length: 24 }, (_, at) => 2 ** (at + 1));

function single(type: 'counter' | 'gauge', name: string, help: string, value: Value): Metric {
  const samples: Metric['samples'] = (stats, health) => {
    const known = value(stats, health);
    return known === undefined ? [] : [{ labels: {}, value: known }];
  };
  return { name, help, type, samples };
}

function gauge(name: string, help: string, value: Value): Metric {
  return single('gauge', name, help, value);
}

function counter(name: string, help: string, value: Value): Metric {
  return single('counter', name, help, value);
}

function labelled(type: 'counter' | 'gauge', name: string, help: string, values: Labelled): Metric {
  return {
    name,
    help,
    type,
    samples: (stats) => values(stats).map(([labels, value]) => ({ labels, value })),
  };
}

function histogram(
  name: string,
  help: string,
  latencies: (stats: StatsReport) => [labels: Record<string, string>, latency: Latency][],
): Metric {
  return {
    name,
    help,
    type: 'histogram',
    samples: (stats) =>
      latencies(stats).flatMap(([labels, latency]) => [
        ...BOUNDS.map((micros) => ({
          metricName: `${name}_bucket`,
          labels: { ...labels, le: String(micros / 1e6) },
          value: countUpTo(latency, micros),
        })),
        { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: latency.count },
        { metricName: `${name}_sum`, labels, value: latency.sumMicros / 1e6 },
        { metricName: `${name}_count`, labels, value: latency.count },
      ]),
  };
}

function seconds(iso: string | undefined): number | undefined {
  return iso === undefined ? undefined : Date.parse(iso) / 1000;
}

const MOUNT: readonly Metric[] = [
  counter('spinney_requests_total', 'Requests of the mount.', (s) => s.mount.requests),
  labelled('counter', 'spinney_operations_total', 'Requests of the mount by operation.', (s) =>
    Object.entries(s.mount.operations).map(([operation, count]) => [{ operation }, count]),
  ),
  histogram('spinney_operation_seconds', 'Time from reading a request to its reply.', (s) =>
    Object.entries(s.mount.latency).map(([operation, latency]) => [{ operation }, latency]),
  ),
  labelled('counter', 'spinney_operation_part_seconds_total', 'What that time went to.', (s) =>
    Object.entries(s.mount.latency).flatMap(([operation, { micros }]) =>
      Object.entries(micros).map(([part, sum]): [Record<string, string>, number] => [
        { operation, part },
        sum / 1e6,
      ]),
    ),
  ),
  labelled('counter', 'spinney_operation_errors_total', 'Requests answered with an error.', (s) =>
    Object.entries(s.mount.latency).flatMap(([operation, { errors }]) =>
      Object.entries(errors).map(([error, count]): [Record<string, string>, number] => [
        { operation, error },
        count,
      ]),
    ),
  ),
  labelled('counter', 'spinney_errors_total', 'Requests answered with an error, of all operations.', (s) =>
    Object.entries(s.mount.errorsByName).map(([error, count]) => [{ error }, count]),
  ),
  counter('spinney_request_errors_total', 'Requests answered with EIO.', (s) => s.mount.errors),
  gauge('spinney_refused_changes', 'Changes that could not be made, of operations that still fail.', (s) =>
    s.mount.refused.reduce((sum, { count }) => sum + count, 0),
  ),
  gauge(
    'spinney_queue_depth',
    'Syncs, removals and copies of contents that wait.',
    (s) => s.mount.queueDepth,
  ),
  gauge('spinney_put_aside_requests', 'Requests that wait for a content.', (s) => s.mount.putAside),
  gauge(
    'spinney_kernel_waiting_requests',
    'Requests that the kernel waits for.',
    (s) => s.mount.waitingInKernel,
  ),
  counter(
    'spinney_read_bytes_total',
    'Bytes of contents that were read through the daemon.',
    (s) => s.mount.bytesRead,
  ),
  counter(
    'spinney_written_bytes_total',
    'Bytes of contents that were written through the daemon.',
    (s) => s.mount.bytesWritten,
  ),
  gauge('spinney_open_files', 'Open file handles.', (s) => s.mount.openFiles),
  gauge('spinney_nodes', 'Inodes that the kernel holds.', (s) => s.mount.nodes),
  gauge('spinney_node_table_bytes', 'Memory of the table of those inodes.', (s) => s.mount.nodeTableBytes),
];

const STORE: readonly Metric[] = [
  gauge('spinney_files', 'Files and links in the mount, by their names.', (s) => s.contents?.files),
  gauge('spinney_directories', 'Directories below the root.', (s) => s.contents?.directories),
  gauge('spinney_content_bytes', 'Sizes of files that are not being written.', (s) => s.contents?.bytes),
  gauge('spinney_disk_size_bytes', "Size of the store's filesystem.", (s) => s.disk?.totalBytes),
  gauge('spinney_disk_free_bytes', 'Bytes that it has left for anyone.', (s) => s.disk?.freeBytes),
  gauge('spinney_disk_inodes', 'Inodes that it can have; 0: any number.', (s) => s.disk?.totalInodes),
  gauge('spinney_disk_free_inodes', 'Inodes that it has left.', (s) => s.disk?.freeInodes),
  gauge('spinney_snapshots', 'Snapshots.', (s) => s.snapshots.count),
  gauge(
    'spinney_snapshot_bytes',
    'Bytes that only snapshots hold, of names and contents.',
    (s) => s.snapshots.bytes + s.snapshots.contentBytes,
  ),
];

const TREE: readonly Metric[] = [
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
  gauge('spinney_cache_used_bytes', 'Of the cache, what holds blobs.', (s) => s.tree.cacheUsedBytes),
  counter('spinney_cache_hits_total', 'Blobs found in the cache.', (s) => s.tree.cacheHits),
  counter('spinney_cache_misses_total', 'Blobs read from the store.', (s) => s.tree.cacheMisses),
  counter('spinney_cold_reads_total', 'Keys looked up without loading their blob.', (s) => s.tree.coldReads),
  histogram('spinney_blob_load_seconds', 'Time to read a blob into the cache.', (s) => [
    [{}, s.tree.latency.blobLoad],
  ]),
  counter('spinney_optimistic_restarts_total', 'Walks begun anew.', (s) => s.tree.optimisticRestarts),
  counter('spinney_spillovers_total', 'Subtrees moved to a blob of their own.', (s) => s.tree.spillovers),
  counter('spinney_merges_total', 'Blobs merged into their parent.', (s) => s.tree.merges),
  counter('spinney_compactions_total', 'Blobs repacked.', (s) => s.tree.compactions),
  gauge('spinney_last_lsn', 'LSN of the last mutation.', (s) => s.tree.lastLsn),
  counter('spinney_journal_appends_total', 'Journal records.', (s) => s.tree.journal.appends),
  counter('spinney_journal_syncs_total', 'Journal fdatasync calls.', (s) => s.tree.journal.syncs),
  counter('spinney_journal_bytes_total', 'Bytes written to the journal.', (s) => s.tree.journal.bytes),
  histogram('spinney_journal_sync_seconds', 'Time of a journal fdatasync.', (s) => [
    [{}, s.tree.latency.journalSync],
  ]),
  counter('spinney_checkpoint_rounds_total', 'Checkpoints published.', (s) => s.tree.checkpoint.rounds),
  counter('spinney_checkpoint_failures_total', 'Checkpoints that failed.', (s) => s.tree.checkpoint.failures),
  gauge('spinney_checkpoint_lsn', 'LSN of the last checkpoint.', (s) => s.tree.checkpoint.lastLsn),
  gauge(
    'spinney_checkpoint_duration_seconds',
    'Duration of the last checkpoint.',
    (s) => s.tree.checkpoint.lastDurationMs / 1000,
  ),
  histogram('spinney_checkpoint_seconds', 'Time of a checkpoint.', (s) => [[{}, s.tree.latency.checkpoint]]),
  gauge(
    'spinney_last_checkpoint_timestamp_seconds',
    'When the last checkpoint since the start was published.',
    (s) => seconds(s.tree.checkpoint.lastAt),
  ),
];

/** Of a store that has a remote. */
const REMOTE: readonly Metric[] = [
  gauge('spinney_remote_serving', '1 while no other machine has the remote, else 0.', (s) =>
    s.remote === undefined ? undefined : Number(s.remote.state !== 'taken'),
  ),
  gauge('spinney_remote_reachable', '1 while the object store answers, else 0.', (s) =>
    s.remote === undefined ? undefined : Number(s.remote.state === 'ok' || s.remote.state === 'behind'),
  ),
  gauge('spinney_remote_epoch', 'Of the writer, which is another with each start.', (s) => s.remote?.epoch),
  gauge(
    'spinney_remote_lag_seconds',
    'Age of the oldest change that the remote has not; 0: it has all.',
    (s) => s.remote?.lagSeconds,
  ),
  gauge('spinney_remote_lag_records', 'Changes that the remote has not.', (s) => s.remote?.lagRecords),
  gauge('spinney_remote_lag_bytes', 'Bytes of these.', (s) => s.remote?.lagBytes),
  gauge(
    'spinney_remote_contents_waiting',
    'Contents that the remote has not, or not as they are.',
    (s) => s.remote?.contentsWaiting,
  ),
  gauge('spinney_remote_content_bytes_waiting', 'Bytes of these.', (s) => s.remote?.contentBytesWaiting),
  counter(
    'spinney_remote_record_bytes_total',
    'Bytes of changes shipped.',
    (s) => s.remote?.shippedRecordBytes,
  ),
  counter(
    'spinney_remote_content_bytes_total',
    'Bytes of contents shipped.',
    (s) => s.remote?.shippedContentBytes,
  ),
  counter('spinney_remote_images_total', 'Images of blobs shipped.', (s) => s.remote?.shippedImages),
  gauge('spinney_remote_checkpoint_timestamp_seconds', 'When the last checkpoint was shipped.', (s) =>
    seconds(s.remote?.checkpointAt),
  ),
  counter(
    'spinney_remote_fetched_bytes_total',
    'Bytes of contents fetched.',
    (s) => s.remote?.cache.fetchedBytes,
  ),
  gauge('spinney_content_cache_bytes', 'Disk that contents take.', (s) => s.remote?.cache.bytes),
  gauge('spinney_content_cache_limit_bytes', 'Disk that they may take.', (s) => s.remote?.cache.limitBytes),
  gauge('spinney_content_cache_contents', 'Contents that are here.', (s) => s.remote?.cache.contents),
  counter('spinney_content_cache_evictions_total', 'Contents given up.', (s) => s.remote?.cache.evictions),
];

/** Names that all programs have. */
const PROCESS: readonly Metric[] = [
  counter(
    'process_cpu_seconds_total',
    'User and system CPU time.',
    (s) => s.process.cpuUserSeconds + s.process.cpuSystemSeconds,
  ),
  gauge('process_start_time_seconds', 'Start of the process since 1970.', (s) =>
    seconds(s.process.startedAt),
  ),
  gauge('process_resident_memory_bytes', 'Resident memory.', (s) => s.process.rssBytes),
  gauge('process_open_fds', 'Open file descriptors.', (s) => s.mount.descriptors),
  gauge('process_max_fds', 'Most file descriptors that it may have.', (s) => s.mount.descriptorLimit),
];

export const METRICS: readonly Metric[] = [
  labelled('gauge', 'spinney_info', 'Always 1; the labels tell the version and the driver.', (s) => [
    [{ version: s.version, driver: s.mount.driver }, 1],
  ]),
  {
    name: 'spinney_healthy',
    help: '1 if the daemon is healthy, 0 if degraded.',
    type: 'gauge',
    isOfHealth: true,
    samples: (_, { status }) => [{ labels: {}, value: status === 'ok' ? 1 : 0 }],
  },
  {
    name: 'spinney_health',
    help: '1 while what the code stands for is so, else 0.',
    type: 'gauge',
    isOfHealth: true,
    samples: (_, health) => healthSamples(health),
  },
  counter('spinney_restarts_total', 'Daemons that went on with the mount of another.', (s) =>
    s.restarts === undefined ? undefined : s.restarts.count,
  ),
  gauge(
    'spinney_restart_pause_seconds',
    'How long nobody answered at the last restart; 0: there was none.',
    (s) => (s.restarts === undefined ? undefined : (s.restarts.last?.pauseSeconds ?? 0)),
  ),
  gauge('spinney_uptime_seconds', 'Seconds since the daemon started.', (s) => s.process.uptimeSeconds),
  ...MOUNT,
  ...STORE,
  ...TREE,
  ...REMOTE,
  ...PROCESS,
];
