/**
 * Requests that were answered with an error: how many, by operation and errno; and changes that the filesystem itself refuses, as long as
 * it does. In shared memory, so that the main thread reads it at any time; one thread alone writes an area.
 *
 * What is refused is kept by operation, since a full disk refuses to make files and lets others be removed. It is over when
 * the same operation succeeds, or when nobody has tried for a while.
 */
import { constants } from 'node:os';
import type { MountProblem, RefusedChanges } from '../types.js';

const { EDQUOT, EIO, ENOMEM, ENOSPC, EROFS } = constants.errno;
/** Errors that are no answer to what was asked, but say that the filesystem cannot do its work. */
const REFUSALS = new Set([EDQUOT, EIO, ENOMEM, ENOSPC, EROFS]);
const NAMES = new Map(Object.entries(constants.errno).map(([name, errno]) => [errno, name]));

/** Above all that Linux has. */
const ERRNO_LIMIT = 256;
/** How many operations are refused. */
const REFUSED = 0;
const OPERATIONS = 1;
// Of each operation: refusals in a row, errno of the last, times of the first and the last (ms of the clock), answers by errno.
const COUNT = 0;
const ERRNO = 1;
const FIRST = 2;
const LAST = 3;
const ANSWERS = 4;
const FIELDS = ANSWERS + ERRNO_LIMIT;

/** Nobody has tried again for so long: what it is like now is not known. */
const FORGOTTEN_AFTER_MS = 5 * 60_000;

export class RequestFailures {
  readonly #numbers: Float64Array;
  readonly #now: () => number;
  readonly #wall: () => number;

  /** Numbers that an area for operations 0 to `operations - 1` takes. */
  static size(operations: number): number {
    return OPERATIONS + operations * FIELDS;
  }

  /**
   * `now`: milliseconds of a clock that nobody sets and that is the same for all threads. `wall`: milliseconds of the one
   * that people go by.
   */
  constructor(numbers: Float64Array, now: () => number = monotonic, wall: () => number = Date.now) {
    this.#numbers = numbers;
    this.#now = now;
    this.#wall = wall;
  }

  /** A request of the operation was answered with `errno`, above 0. */
  failed(operation: number, errno: number, changes: boolean): void {
    const numbers = this.#numbers;
    const at = OPERATIONS + operation * FIELDS;
    if (errno < ERRNO_LIMIT) numbers[at + ANSWERS + errno]! += 1;
    if (!changes || !REFUSALS.has(errno)) return;
    const now = this.#now();
    if (numbers[at + COUNT] === 0) {
      numbers[at + FIRST] = now;
      numbers[REFUSED]! += 1;
    }
    numbers[at + COUNT]! += 1;
    numbers[at + ERRNO] = errno;
    numbers[at + LAST] = now;
  }

  /** Whether anything is refused, so that `succeeded` is worth a call. */
  get areAny(): boolean {
    return this.#numbers[REFUSED] !== 0;
  }

  /** A change was made. */
  succeeded(operation: number): void {
    const at = OPERATIONS + operation * FIELDS;
    if (this.#numbers[at + COUNT] === 0) return;
    this.#numbers[at + COUNT] = 0;
    this.#numbers[REFUSED]! -= 1;
  }

  /** Adds the answers of an operation to `counts`, by the errno's name. */
  addCounts(operation: number, counts: Record<string, number>): void {
    const at = OPERATIONS + operation * FIELDS + ANSWERS;
    for (let errno = 1; errno < ERRNO_LIMIT; errno++) {
      const count = this.#numbers[at + errno]!;
      const name = NAMES.get(errno) ?? String(errno);
      if (count > 0) counts[name] = (counts[name] ?? 0) + count;
    }
  }

  /** What is refused now; `nameOf` tells an operation's name. */
  refused(nameOf: (operation: number) => string): RefusedChanges[] {
    const found: RefusedChanges[] = [];
    if (!this.areAny) return found;
    const now = this.#now();
    const timeOf = (at: number): string => new Date(this.#wall() - (now - at)).toISOString();
    for (let at = OPERATIONS; at < this.#numbers.length; at += FIELDS) {
      const [count, errno, first, last] = this.#numbers.subarray(at, at + ANSWERS) as unknown as [
        number,
        number,
        number,
        number,
      ];
      if (count === 0 || now - last > FORGOTTEN_AFTER_MS) continue;
      found.push({
        operation: nameOf((at - OPERATIONS) / FIELDS),
        error: NAMES.get(errno) ?? String(errno),
        count,
        since: timeOf(first),
        last: timeOf(last),
      });
    }
    return found;
  }
}

/** Adds up errors by their names. */
export function totalOf(errors: Iterable<Record<string, number>>): Record<string, number> {
  const total: Record<string, number> = {};
  for (const counts of errors) {
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count;
  }
  return total;
}

/** Milliseconds of a clock that nobody sets and that is the same for all threads. */
export function monotonic(): number {
  const [seconds, nanos] = process.hrtime();
  return seconds * 1000 + nanos / 1e6;
}

/** What health says of them: one problem for each error, since one cause has many operations refused. */
export function describeRefused(refused: readonly RefusedChanges[]): MountProblem[] {
  return [...new Set(refused.map(({ error }) => error))].map((error) => {
    const changes = refused.filter((change) => change.error === error);
    const operations = changes.map(({ operation }) => operation).join(', ');
    const count = changes.reduce((sum, change) => sum + change.count, 0);
    // As ISO 8601 tells them, times sort as text.
    const [since] = changes.map((change) => change.since).sort();
    const last = changes
      .map((change) => change.last)
      .sort()
      .at(-1);
    return {
      code: error === 'EDQUOT' ? 'QUOTA_EXCEEDED' : 'CHANGES_REFUSED',
      subject: error,
      reason: `${operations} ${changes.length === 1 ? 'is' : 'are'} refused with ${error}: ${count} since ${since}, the last at ${last}`,
    };
  });
}

/** `ENOENT` for 2, and so on. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? String(errno);
}
