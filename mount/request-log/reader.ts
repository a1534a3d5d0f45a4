/**
 * Main's side of the request log: the slow requests that are kept, and listeners. A listener reads along in the rings, and holds up
 * nobody; what it is too slow for is counted.
 */
import { Entry, NO_PATH, PATHS_BYTES } from './entry.js';
import type { RequestLogMemory } from './memory.js';
import type { Ring, RingCursor } from './ring.js';

const SLASH = 0x2f;
const ALWAYS = Number.POSITIVE_INFINITY;
/** How long a path may be that requests are looked for by: so much, and a slash, is kept of each of two. */
export const MOST_PATH_BYTES = PATHS_BYTES / 2 - 1;

/** Which requests are looked for. Undefined: all. */
export interface RequestFilter {
  /** At least so many microseconds. */
  micros: number;
  /** Names, as the driver has them. */
  operations: readonly string[] | undefined;
  /** What is at this path or below it, by either of a request's paths. Without a slash at its end: empty for the root. */
  path: Uint8Array | undefined;
  uid: number | undefined;
}

/** Calls for each entry; it is used again for the next. */
export type TakeEntry = (entry: Entry) => void;

export class RequestLog {
  /** Names of operations, by their numbers in entries; sparse. */
  readonly operations: readonly (string | undefined)[];
  /** Whether entries tell who asked. */
  readonly tellsCaller: boolean;
  readonly #memory: RequestLogMemory;
  readonly #listeners = new Set<Listener>();

  constructor(
    memory: RequestLogMemory,
    driver: { operations: readonly (string | undefined)[]; tellsCaller: boolean },
  ) {
    this.#memory = memory;
    this.operations = driver.operations;
    this.tellsCaller = driver.tellsCaller;
  }

  /** Milliseconds that a request takes at least to be kept as slow. */
  get slowMs(): number {
    return this.#memory.slowMicros / 1000;
  }

  set slowMs(milliseconds: number) {
    this.#memory.setSlow(Math.round(milliseconds * 1000));
  }

  /** Listeners, and entries written for these so far. */
  figures(): { listeners: number; written: number } {
    const written = this.#memory.streams.reduce((sum, ring) => sum + ring.written, 0);
    return { listeners: this.#listeners.size, written };
  }

  /** The slow requests that are kept, in the order of their answers. */
  slow(filter: RequestFilter, take: TakeEntry): void {
    const wanted = this.#matcher(filter);
    const merged = new MergedRings(this.#memory.slow, (ring) => ring.fromOldest());
    merged.catchUp();
    for (let entry = merged.next(ALWAYS); entry !== undefined; entry = merged.next(ALWAYS)) {
      if (wanted(entry)) take(entry);
    }
  }

  /** Listens to what is answered from now on, until `end` is called. */
  listen(filter: RequestFilter): Listener {
    const rings = new MergedRings(this.#memory.streams, (ring) => ring.follow());
    const listener = new Listener(rings, filter.micros, this.#matcher(filter), () => {
      this.#listeners.delete(listener);
      this.#tellWanted();
    });
    this.#listeners.add(listener);
    this.#tellWanted();
    return listener;
  }

  #tellWanted(): void {
    const least = [...this.#listeners].map(({ micros }) => micros);
    this.#memory.setListened(least.length === 0 ? undefined : Math.min(...least));
  }

  #matcher({ micros, operations, path, uid }: RequestFilter): (entry: Entry) => boolean {
    const numbers = operations && this.#numbersOf(operations);
    return (entry) =>
      entry.microseconds >= micros &&
      (numbers === undefined || numbers.has(entry.operation)) &&
      (uid === undefined || entry.uid === uid) &&
      (path === undefined ||
        isAtOrBelow(entry.path, entry.pathKept, entry.pathLength, path) ||
        isAtOrBelow(entry.to, entry.toKept, entry.toLength, path));
  }

  /** Several may have one name. */
  #numbersOf(names: readonly string[]): ReadonlySet<number> {
    return new Set(
      [...this.operations.keys()].filter((number) => names.includes(this.operations[number] ?? '')),
    );
  }
}

function isAtOrBelow(path: Uint8Array, kept: number, length: number, above: Uint8Array): boolean {
  if (length === NO_PATH || kept < above.length) return false;
  for (let i = 0; i < above.length; i++) if (path[i] !== above[i]) return false;
  return length === above.length || path[above.length] === SLASH;
}

export class Listener {
  /** Of the requests that it wants. */
  readonly micros: number;
  readonly #rings: MergedRings;
  readonly #wanted: (entry: Entry) => boolean;
  readonly #ended: () => void;
  #missed = 0;

  constructor(rings: MergedRings, micros: number, wanted: (entry: Entry) => boolean, ended: () => void) {
    this.micros = micros;
    this.#rings = rings;
    this.#wanted = wanted;
    this.#ended = ended;
  }

  /**
   * Looks at what was answered since the last call, at most at so many entries, and gives those that are wanted. Returns at how many
   * it looked, and how many were missed before these: overwritten by later ones, wanted or not.
   *
   * `now`: the time on the clock of entries, read before the call. What is answered meanwhile is for the next call, so that of two
   * requests of which one was sent when the other had been answered none comes without the other, whatever threads they were answered by.
   */
  take(now: number, most: number, take: TakeEntry): { looked: number; missed: number } {
    this.skip();
    const missed = this.#missed;
    this.#missed = 0;
    let looked = 0;
    for (; looked < most; looked++) {
      const entry = this.#rings.next(now);
      if (entry === undefined) break;
      if (this.#wanted(entry)) take(entry);
    }
    return { looked, missed };
  }

  /** Has nobody to give to: counts what is lost by now. To be called now and then. */
  skip(): void {
    this.#missed += this.#rings.catchUp();
  }

  end(): void {
    this.#ended();
  }
}

/** Several rings, read in the order in which requests were answered. */
class MergedRings {
  readonly #cursors: readonly RingCursor[];
  /** The next one of each ring, as far as it has been looked at. */
  readonly #next: readonly Entry[];
  readonly #isThere: boolean[];

  constructor(rings: readonly Ring[], start: (ring: Ring) => RingCursor) {
    this.#cursors = rings.map(start);
    this.#next = rings.map(() => new Entry());
    this.#isThere = rings.map(() => false);
  }

  /** `next` goes as far as what is written now. Returns how many entries were lost. */
  catchUp(): number {
    return this.#cursors.reduce((lost, cursor) => lost + cursor.catchUp(), 0);
  }

  /** The next one, if it was answered by then. Undefined: no more for now. */
  next(until: number): Entry | undefined {
    let first = -1;
    for (let i = 0; i < this.#cursors.length; i++) {
      this.#isThere[i] ||= this.#cursors[i]!.next(this.#next[i]!);
      if (this.#isThere[i] && (first < 0 || answeredAt(this.#next[i]!) < answeredAt(this.#next[first]!)))
        first = i;
    }
    if (first < 0 || answeredAt(this.#next[first]!) > until) return undefined;
    this.#isThere[first] = false;
    return this.#next[first];
  }
}

function answeredAt({ begun, microseconds }: Entry): number {
  return begun + microseconds / 1000;
}
