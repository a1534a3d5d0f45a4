/** A run whose snapshots are compared with what the model held when they were taken. */
import type { TreeChange, TreeReads } from '../../../../engine/api.js';
import type { Tree } from '../../../../engine/index.js';
import {
  compareCount,
  compareEntries,
  compareLongestPrefix,
  compareRange,
  compareRecord,
  Run,
} from '../harness.js';
import { below, lookAlike, type Random } from '../keys.js';
import { keyOf, type Model, nameOf } from '../model.js';

interface Taken {
  id: number;
  lsn: number;
  model: Model;
}

export class SnapshotRun extends Run {
  readonly taken = new Map<string, Taken>();
  #lastId = 0;

  take(name: string): void {
    const { id, lsn, name: told } = this.tree.snapshot(name);
    if (told !== name || id !== ++this.#lastId) throw new Error(`snapshot ${name} has id ${id}`);
    if (lsn !== this.tree.lastLsn()) throw new Error(`snapshot ${name} is of LSN ${lsn}`);
    this.taken.set(name, { id, lsn, model: this.model.snapshot() });
  }

  drop(name: string): void {
    this.tree.deleteSnapshot(name);
    this.taken.delete(name);
  }

  /** Names of the snapshots, and a name that none has. */
  get names(): string[] {
    return [...this.taken.keys()];
  }

  compareSnapshots(random: Random): void {
    const listed = this.tree.snapshots().map(({ name, id, lsn }) => `${name} ${id} ${lsn}`);
    const expected = Array.from(this.taken, ([name, { id, lsn }]) => `${name} ${id} ${lsn}`);
    if (listed.join() !== expected.join()) throw new Error(`snapshots ${listed}, expected ${expected}`);
    for (const [name, { model }] of this.taken) {
      const reads = this.tree.at(name);
      try {
        compareWhole(reads, model, random);
      } catch (error) {
        throw new Error(`in snapshot ${name}: ${error}`, { cause: error });
      } finally {
        reads.close();
      }
    }
  }

  /** Compares what differs between each two of the snapshots and the tree as it is. */
  compareDiffs(random: Random): void {
    const ends: (string | undefined)[] = [undefined, ...this.names];
    const modelOf = (name: string | undefined): Model =>
      name === undefined ? this.model : (this.taken.get(name) as Taken).model;
    for (const before of ends) {
      const after = ends[below(random, ends.length)];
      const [one, other] = [modelOf(before), modelOf(after)];
      const some = one.sorted()[below(random, one.records.size)] ?? 'x';
      for (const prefix of ['', lookAlike(random, some)]) {
        const what = `between ${before} and ${after} below ${JSON.stringify(prefix.slice(0, 60))}`;
        compareChanges(this.tree, [before, after], [one, other], prefix, what);
      }
    }
  }
}

function compareWhole(reads: TreeReads, model: Model, random: Random): void {
  compareEntries([...reads.range()], model.range({}));
  const names = model.sorted();
  for (let i = 0; i < names.length; i += 1 + (names.length >> 6))
    compareRecord(reads, model, names[i] as string);
  for (let n = 0; n < 4; n++) {
    const name = names[below(random, names.length)] ?? 'x';
    const key = lookAlike(random, name);
    compareRecord(reads, model, key);
    compareLongestPrefix(reads, model, key);
    compareCount(reads, model, key);
    const delimiter = name.charCodeAt(below(random, name.length));
    compareRange(reads, model, { key: '', after: key, delimiter, keysOnly: false });
  }
}

export function changesOf(before: Model, after: Model, prefix: string): string[] {
  const names = new Set([...before.records.keys(), ...after.records.keys()]);
  const sorted = [...names].filter((name) => name.startsWith(prefix)).sort((a, b) => (a < b ? -1 : 1));
  const changes: string[] = [];
  for (const name of sorted) {
    const [was, is] = [before.records.get(name), after.records.get(name)];
    if (was !== undefined && is !== undefined && Buffer.compare(was.value, is.value) === 0) continue;
    changes.push(shown({ key: keyOf(name), before: was, after: is }));
  }
  return changes;
}

function shown({ key, before, after }: TreeChange): string {
  const [was, is] = [before, after].map((record) =>
    record === undefined
      ? '-'
      : `${record.version}:${record.value.length}:${Buffer.from(record.value).toString('latin1', 0, 20)}`,
  );
  return `${nameOf(key)} ${was} ${is}`;
}

function compareChanges(
  tree: Tree,
  [before, after]: [string | undefined, string | undefined],
  [one, other]: [Model, Model],
  prefix: string,
  what: string,
): void {
  const found = Array.from(tree.diff(before, after, { prefix: keyOf(prefix) }), shown);
  const expected = before === after ? [] : changesOf(one, other, prefix);
  for (let i = 0; i < Math.max(found.length, expected.length); i++) {
    if (found[i] === expected[i]) continue;
    throw new Error(
      `change ${i} of ${found.length}/${expected.length} ${what}: ${found[i]?.slice(0, 200)}, expected ${expected[i]?.slice(0, 200)}`,
    );
  }
}
