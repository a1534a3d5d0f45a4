/** What the request log has of the binding's operations. The binding does not tell who asks. */
import { stopwatch } from '../../engine/stopwatch.js';
import { Entry, NO_PATH } from '../request-log/entry.js';
import { Lane, RequestLogMemory } from '../request-log/memory.js';
import { RequestLog } from '../request-log/reader.js';
import { monotonic } from '../requests/request-failures.js';

/** Those that the kernel has one operation for. */
const OTHER_NAMES: Readonly<Record<string, string>> = { fgetattr: 'getattr', ftruncate: 'truncate' };
/** Operations about two paths. */
const WITH_TWO_PATHS: ReadonlySet<string> = new Set(['link', 'rename']);

export class OperationLog {
  readonly #memory = new RequestLogMemory();
  readonly #names: readonly string[];
  readonly #entry = new Entry();
  /** For whoever wants to know. */
  readonly reader: RequestLog;

  /** `names`: of the binding's operations. */
  constructor(names: readonly string[]) {
    this.#names = names;
    this.reader = new RequestLog(this.#memory, {
      operations: names.map((name) => OTHER_NAMES[name] ?? name),
      tellsCaller: false,
    });
  }

  /** An operation was answered, with a negative errno or more, and the stopwatch has its time. `args`: as the binding gave them. */
  answered(name: string, args: readonly unknown[], result: number): void {
    if (!this.#memory.wants(stopwatch.elapsed * 1000)) return;
    const entry = this.#entry;
    // The first argument of symlink is what the link says.
    const [path, to] = name === 'symlink' ? [args[1]] : args;
    entry.operation = this.#names.indexOf(name);
    entry.result = Math.max(0, -result);
    entry.pathLength = put(entry.path, path);
    entry.toLength = WITH_TWO_PATHS.has(name) ? put(entry.to, to) : NO_PATH;
    entry.setTimes(stopwatch.times, monotonic());
    this.#memory.write(Lane.MAIN, entry);
  }
}

function put(into: Buffer, path: unknown): number {
  if (typeof path !== 'string') return NO_PATH;
  const bytes = path === '/' ? Buffer.alloc(0) : Buffer.from(path);
  bytes.copy(into);
  return bytes.length;
}
