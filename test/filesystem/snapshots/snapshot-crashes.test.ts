/** The end of a process at every call on the disk, in the middle of whatever contents of snapshots need. */
import { describe, expect, it } from 'vitest';
import { isLook } from '../../support/seeded-tree.js';
import { SnapshotStore, type StoreOptions } from './snapshot-store.js';

const O_RDONLY = 0;

interface Scenario {
  name: string;
  /** What there is before. */
  prepare(s: SnapshotStore): void;
  /** What is cut short. */
  act(s: SnapshotStore): void;
  /** What may be read of files afterwards, and what must be of snapshots, where they are there. */
  live: Record<string, readonly string[]>;
  snapshots: Record<string, Record<string, readonly string[]>>;
}

const SCENARIOS: readonly Scenario[] = [
  {
    name: 'a first write',
    prepare: (s) => {
      s.write('/a', 'hello');
      s.fs.snapshots.take('x');
    },
    act: (s) => s.write('/a', 'J'),
    live: { '/a': ['hello', 'Jello'] },
    snapshots: { x: { '/a': ['hello'] } },
  },
  {
    name: 'a replacement',
    prepare: (s) => {
      s.write('/a', 'hello');
      s.fs.snapshots.take('x');
    },
    act: (s) => s.replace('/a', 'new'),
    live: { '/a': ['hello', '', 'new'] },
    snapshots: { x: { '/a': ['hello'] } },
  },
  {
    name: 'a first write to a file that somebody reads',
    prepare: (s) => {
      s.write('/a', 'hello');
      s.fs.snapshots.take('x');
      s.open('/a', O_RDONLY);
    },
    act: (s) => s.write('/a', 'J'),
    live: { '/a': ['hello', 'Jello'] },
    snapshots: { x: { '/a': ['hello'] } },
  },
  {
    name: 'the moment of a snapshot',
    prepare: (s) => {
      s.write('/rest', 'rest');
      s.write('/a', 'hello');
      s.put(s.open('/a'), 'J');
      s.poke(s.createPassed('/passed').fd, 'passed');
      s.createPassed('/unwritten');
    },
    act: (s) => {
      s.fs.snapshots.take('x');
      s.goOn();
    },
    live: { '/rest': ['rest'], '/a': ['Jello'], '/passed': ['passed'], '/unwritten': [''] },
    snapshots: { x: { '/rest': ['rest'], '/a': ['Jello'], '/passed': ['passed'], '/unwritten': [''] } },
  },
  {
    name: 'a deletion',
    prepare: (s) => {
      s.write('/a', 'one');
      s.write('/b', 'gone');
      s.fs.snapshots.take('x');
      s.patiently(() => s.write('/a', 'two'));
      s.unlink('/b');
      s.fs.snapshots.take('y');
      s.patiently(() => s.write('/a', '3'));
      s.reclaim();
    },
    act: (s) => {
      s.fs.snapshots.delete('x');
      s.reclaim();
    },
    live: { '/a': ['3wo'] },
    snapshots: { x: { '/a': ['one'], '/b': ['gone'] }, y: { '/a': ['two'] } },
  },
];

const OPTIONS: readonly StoreOptions[] = [
  { isKernel: true, clones: false },
  { isKernel: true, clones: true, hasWorker: true },
  { isKernel: false, clones: true },
];

function verify(s: SnapshotStore, scenario: Scenario, where: string): void {
  const damage = s.damage();
  expect([where, damage]).toEqual([where, []]);
  const there = s.tree.snapshots().map(({ name }) => name);
  for (const [name, files] of Object.entries(scenario.snapshots)) {
    if (!there.includes(name)) continue;
    for (const [path, texts] of Object.entries(files)) {
      expect(texts, `${where}: ${path} of snapshot ${name}`).toContain(s.readAt(name, path));
    }
  }
  for (const [path, texts] of Object.entries(scenario.live)) {
    expect(texts, `${where}: ${path}`).toContain(s.read(path));
  }
}

/** Afterwards files are written, snapshots deleted: nothing is left over. */
function useOn(s: SnapshotStore, scenario: Scenario, where: string): void {
  s.goOn();
  const paths = Object.keys(scenario.live);
  const before = Object.fromEntries(s.tree.snapshots().map(({ name }) => [name, s.shown(name)] as const));
  for (const path of paths) {
    expect(
      s.patiently(() => s.write(path, '!', 9)),
      where,
    ).toBe(0);
  }
  for (const [name, shown] of Object.entries(before)) expect(s.shown(name), where).toEqual(shown);
  for (const name of Object.keys(before)) s.fs.snapshots.delete(name);
  s.reclaim();
  expect([where, s.files().length, s.keptRecords(), s.findings()]).toEqual([where, paths.length, 0, []]);
}

describe.each(OPTIONS)('killed, with %j', (options) => {
  it.each(SCENARIOS)('in the middle of $name', (scenario) => {
    const whole = new SnapshotStore(options);
    scenario.prepare(whole);
    const first = whole.disk.calls.length;
    whole.patiently(() => scenario.act(whole));
    const calls = whole.disk.calls.slice(first);
    whole.end();
    const points = calls.flatMap((call, at) => (isLook(call.name) ? [] : [{ call, at }]));
    expect(points.length).toBeGreaterThan(2);
    for (const { call, at } of points) {
      const where = `before call ${at}, ${call.name} ${call.path}`;
      const s = new SnapshotStore(options);
      scenario.prepare(s);
      const index = s.disk.calls.length + at;
      s.disk.onCall = (made) => (made.index === index ? { crash: 'before' } : undefined);
      try {
        s.patiently(() => scenario.act(s));
      } catch (error) {
        if (!s.disk.crashed) throw error;
      }
      expect(s.disk.crashed, where).toBe(true);
      s.restart();
      verify(s, scenario, where);
      s.reclaim();
      useOn(s, scenario, where);
      s.end();
    }
  });
});
