import { expect, it, onTestFinished } from 'vitest';
import { OpenSnapshots } from '../../../mount/filesystem/past/open-snapshots.js';
import { SnapshotIds } from '../../../mount/filesystem/records/snapshot-ids.js';
import { ModelTree } from '../../support/model-tree.js';
import { Fixture } from '../fixture.js';

it('keeps a few snapshots open, those that were used last, and none that nobody uses', () => {
  const f = new Fixture(new ModelTree());
  onTestFinished(() => f.cleanUp());
  for (let i = 1; i <= 6; i++) f.fs.snapshots.take(`s${i}`);
  let now = 0;
  const opened: string[] = [];
  const closed: string[] = [];
  const tree = new Proxy(f.tree, {
    get: (target, name) => {
      if (name !== 'at') return Reflect.get(target, name).bind(target);
      return (snapshot: string) => {
        opened.push(snapshot);
        return Object.assign(target.at(snapshot), { close: () => closed.push(snapshot) });
      };
    },
  });
  const snapshots = new SnapshotIds(tree);
  const open = new OpenSnapshots({ tree, snapshots }, f.fs.snapshots, () => now);
  for (const id of [1, 2, 3, 4, 1, 5]) expect(open.use(id)).toBeDefined();
  expect(opened).toEqual(['s1', 's2', 's3', 's4', 's5']);
  expect(closed).toEqual(['s2']);
  now = 20_000;
  open.use(3);
  expect(open.rest()).toBe(true);
  now = 31_000;
  expect(open.rest()).toBe(true);
  expect(closed.toSorted()).toEqual(['s1', 's2', 's4', 's5']);
  // One that is deleted is closed when it is next looked for.
  f.tree.deleteSnapshot('s3');
  snapshots.removed(3);
  expect(open.use(3)).toBeUndefined();
  expect(open.count).toBe(0);
  expect(open.rest()).toBe(false);
  expect(open.list().map(({ id }) => id)).toEqual([1, 2, 4, 5, 6]);
});
