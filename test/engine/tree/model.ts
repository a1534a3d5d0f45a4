/** The tree's contents as a plain Map, operations as data, and what they do to it. */
import type { RangeEntry, RangeOptions } from '../../../engine/api.js';
import { MAX_KEY_BYTES } from '../../../engine/limits.js';

export interface ModelRecord {
  value: Uint8Array;
  version: number;
}

export const nameOf = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1');
export const keyOf = (name: string): Uint8Array => Buffer.from(name, 'latin1');

/** One step of a batch; versions are told as right or wrong, since only the run knows them. */
export type Step =
  | { op: 'put' | 'putIfAbsent'; key: string; value: Uint8Array }
  | { op: 'compareAndPut'; key: string; right: boolean; value: Uint8Array }
  | { op: 'delete'; key: string }
  | { op: 'deleteIfVersion' | 'assertVersion'; key: string; right: boolean }
  | { op: 'rename'; key: string; to: string; force: boolean }
  | { op: 'renamePrefix'; key: string; to: string }
  | { op: 'deletePrefix' | 'assertPrefixEmpty'; key: string }
  | { op: 'assertAbsent'; key: string };

export type Operation =
  | Step
  | { op: 'atomic'; steps: Step[] }
  | { op: 'range'; key: string; after: string | undefined; delimiter: number | undefined; keysOnly: boolean }
  | { op: 'get' | 'longestPrefix'; key: string }
  | { op: 'countPrefix'; key: string; limit: number }
  | { op: 'checkpoint' | 'compact' | 'reopen' | 'kill' | 'compare' };

/** Stands for "written by this batch": no version matches it. */
export const IN_BATCH = -1;

/** The contents as a Map; names are keys in latin1, whose order is the bytes'. */
export class Model {
  records = new Map<string, ModelRecord>();
  #sorted: string[] | undefined;

  sorted(): string[] {
    if (this.#sorted?.length !== this.records.size) this.#sorted = [...this.records.keys()].sort(compare);
    return this.#sorted;
  }

  set(name: string, value: Uint8Array, version: number): void {
    if (!this.records.has(name)) this.#sorted = undefined;
    this.records.set(name, { value, version });
  }

  delete(name: string): boolean {
    this.#sorted = undefined;
    return this.records.delete(name);
  }

  /** The contents as they are now. */
  snapshot(): Model {
    const copy = new Model();
    copy.records = new Map(this.records);
    return copy;
  }

  /** The longest name that `name` begins with. */
  longestPrefix(name: string): string | undefined {
    let longest: string | undefined;
    for (const key of this.records.keys()) {
      if (name.startsWith(key) && key.length > (longest?.length ?? 0)) longest = key;
    }
    return longest;
  }

  countPrefix(prefix: string): number {
    return this.sorted().filter((name) => name.startsWith(prefix)).length;
  }

  /** Plays the steps; undefined when a guard failed, and then nothing has changed. */
  play(steps: readonly Step[]): Map<string, ModelRecord | undefined> | undefined {
    const changed = new Map<string, ModelRecord | undefined>();
    const record = (name: string): ModelRecord | undefined =>
      changed.has(name) ? changed.get(name) : this.records.get(name);
    const value = (name: string): Uint8Array | undefined => record(name)?.value;
    const put = (name: string, written: Uint8Array): void => {
      changed.set(name, { value: written, version: IN_BATCH });
    };
    const names = (prefix: string): string[] =>
      [...new Set([...this.records.keys(), ...changed.keys()])].filter(
        (name) => name.startsWith(prefix) && value(name) !== undefined,
      );
    // The run takes the right version from what was there under this name before the batch.
    const matches = (name: string, right: boolean): boolean =>
      right && record(name) !== undefined && record(name)?.version === this.records.get(name)?.version;
    for (const step of steps) {
      const { op, key } = step;
      if (op === 'put') put(key, step.value);
      else if (op === 'putIfAbsent') {
        if (value(key) !== undefined) return undefined;
        put(key, step.value);
      } else if (op === 'compareAndPut') {
        if (!matches(key, step.right)) return undefined;
        put(key, step.value);
      } else if (op === 'delete') changed.set(key, undefined);
      else if (op === 'deleteIfVersion') {
        if (!matches(key, step.right)) return undefined;
        changed.set(key, undefined);
      } else if (op === 'assertVersion') {
        if (!matches(key, step.right)) return undefined;
      } else if (op === 'assertAbsent') {
        if (value(key) !== undefined) return undefined;
      } else if (op === 'assertPrefixEmpty') {
        if (names(key).length > 0) return undefined;
      } else if (op === 'deletePrefix') for (const name of names(key)) changed.set(name, undefined);
      else if (op === 'rename') {
        const moved = value(key);
        if (moved === undefined || (value(step.to) !== undefined && !step.force)) return undefined;
        changed.set(key, undefined);
        put(step.to, moved);
      } else if (op === 'renamePrefix') {
        const moved = names(key).map((name) => [name, record(name) as ModelRecord] as const);
        if (moved.length === 0 || key === step.to) continue;
        // With an empty prefix keys are moved one by one; a graft lets them grow and keep their versions.
        const isGraft = key !== '' && step.to !== '';
        if (!isGraft) for (const [name] of moved) assertKey(step.to + name.slice(key.length));
        for (const [name] of moved) changed.set(name, undefined);
        if (names(step.to).length > 0) return undefined;
        for (const [name, { value: kept, version }] of moved) {
          const to = step.to + name.slice(key.length);
          if (isGraft) changed.set(to, { value: kept, version });
          else put(to, kept);
        }
      }
    }
    return changed;
  }

  range({ prefix = '', startAfter, delimiter, keysOnly }: RangeOptions): RangeEntry[] {
    const from = prefix as string;
    const after = startAfter === '' ? undefined : (startAfter as string | undefined);
    const byte = delimiter === undefined ? undefined : String.fromCharCode(delimiter as number);
    const skipped =
      byte !== undefined &&
      after !== undefined &&
      after.length > from.length &&
      after.startsWith(from) &&
      after.indexOf(byte, from.length) === after.length - 1
        ? after
        : undefined;
    const entries: RangeEntry[] = [];
    let rolled: string | undefined;
    for (const name of this.sorted()) {
      if (!name.startsWith(from) || (after !== undefined && name <= after)) continue;
      if (skipped !== undefined && name.startsWith(skipped)) continue;
      if (rolled !== undefined && name.startsWith(rolled)) continue;
      const at = byte === undefined ? -1 : name.indexOf(byte, from.length);
      if (at >= 0) {
        rolled = name.slice(0, at + 1);
        entries.push({ type: 'prefix', prefix: keyOf(rolled) });
        continue;
      }
      const { value, version } = this.records.get(name) as ModelRecord;
      entries.push({ type: 'key', key: keyOf(name), value: keysOnly ? new Uint8Array(0) : value, version });
    }
    return entries;
  }
}

/** Thrown by `Model.play` where the tree must refuse a key. */
export class Refusal extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

function assertKey(name: string): void {
  if (name === '') throw new Refusal('ERR_INVALID_ARGUMENT');
  if (name.length > MAX_KEY_BYTES) throw new Refusal('ERR_KEY_TOO_LARGE');
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
