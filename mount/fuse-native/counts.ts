/** What the driver counts, as the kernel driver does in memory that threads share; here there is one. */
import { stopwatch } from '../../engine/stopwatch.js';
import { descriptorLimit, openDescriptors } from '../libc/descriptor-limit.js';
import { RequestFailures, totalOf } from '../requests/request-failures.js';
import { RequestTimes } from '../requests/request-times.js';
import type { MountStats, OperationFigures, RefusedChanges } from '../types.js';

/** The operations of the binding that are served; the first of them change something, or make changes durable. */
const CHANGES = [
  'mknod',
  'mkdir',
  'symlink',
  'link',
  'unlink',
  'rmdir',
  'rename',
  'chmod',
  'chown',
  'truncate',
  'ftruncate',
  'utimens',
  'create',
  'write',
  'fsync',
  'fsyncdir',
  'setxattr',
  'removexattr',
] as const;
const LOOKS = [
  'getattr',
  'fgetattr',
  'readlink',
  'open',
  'read',
  'flush',
  'release',
  'readdir',
  'getxattr',
  'listxattr',
  'statfs',
] as const;

export type OperationName = (typeof CHANGES)[number] | (typeof LOOKS)[number];
export const NAMES: readonly OperationName[] = [...CHANGES, ...LOOKS];

export class Counts {
  openFiles = 0;
  /** The last opening of a file failed because there was no descriptor for it. */
  openingFails = false;
  /** Requests that were put aside. */
  putAside = 0;
  bytesRead = 0;
  bytesWritten = 0;
  /** Begun, by their places in NAMES. */
  readonly #begun = new Float64Array(NAMES.length);
  readonly #failures = new RequestFailures(new Float64Array(RequestFailures.size(NAMES.length)));
  readonly #times = new RequestTimes(new Float64Array(RequestTimes.size(NAMES.length)));

  begun(name: OperationName): void {
    this.#begun[NAMES.indexOf(name)]! += 1;
  }

  /** A request was served, with this result: below 0, an errno. What the stopwatch has is its time. */
  served(name: OperationName, result: number): void {
    const operation = NAMES.indexOf(name);
    const changes = operation < CHANGES.length;
    if (result < 0) this.#failures.failed(operation, -result, changes);
    else this.#failures.succeeded(operation);
    stopwatch.stop();
    this.#times.record(operation, stopwatch.times);
  }

  refused(): RefusedChanges[] {
    return this.#failures.refused((operation) => NAMES[operation]!);
  }

  stats(): Omit<MountStats, 'driver' | 'waitingInKernel' | 'requestLog'> {
    const operations: Record<string, number> = {};
    const latency: Record<string, OperationFigures> = {};
    for (const [operation, name] of NAMES.entries()) {
      const begun = this.#begun[operation]!;
      if (begun === 0) continue;
      operations[name] = begun;
      const errors: Record<string, number> = {};
      this.#failures.addCounts(operation, errors);
      latency[name] = { ...this.#times.of(operation), errors };
    }
    const errorsByName = totalOf(Object.values(latency).map(({ errors }) => errors));
    return {
      requests: this.#begun.reduce((sum, count) => sum + count, 0),
      errors: errorsByName.EIO ?? 0,
      errorsByName,
      refused: this.refused(),
      openFiles: this.openFiles,
      descriptors: openDescriptors(),
      descriptorLimit: descriptorLimit(),
      passthrough: false,
      // The node table is libfuse's own.
      nodes: 0,
      nodeTableBytes: 0,
      operations,
      latency,
      // Contents are removed and copied between requests, on the same thread.
      queueDepth: 0,
      putAside: this.putAside,
      bytesRead: this.bytesRead,
      bytesWritten: this.bytesWritten,
    };
  }
}
