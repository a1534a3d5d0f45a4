/** What can be done with the snapshots of a store that is not mounted. */
import { join } from 'node:path';
import { setImmediate as pause } from 'node:timers/promises';
import { examineDirectory, NodeDisk } from '../../engine/before-open.js';
import { SpinneyError } from '../../engine/errors.js';
import { Tree } from '../../engine/index.js';
import { namespaceChanges } from '../../mount/diff/index.js';
import { measureKeptContents } from '../../mount/stores/kept-contents.js';
import { withUnmounted } from '../../mount/stores/unmounted.js';
import type { ChangeReport, SnapshotReport } from '../control/reports.js';
import { examineStore } from '../places/store-directory.js';
import { changeReport } from './admin/diff-work.js';
import { findSnapshot, refuseScheduledName, reportOf } from './snapshots/snapshots.js';

export function listSnapshots(store: string): SnapshotReport[] {
  const tree = openToRead(store);
  try {
    const snapshots = tree.snapshots();
    const ids = snapshots.map(({ id }) => id);
    const most = Number.POSITIVE_INFINITY;
    const { own } = measureKeptContents(tree, join(store, 'content'), ids, undefined, most);
    return snapshots.map((snapshot) => reportOf(snapshot, own.get(snapshot.id)));
  } finally {
    tree.close();
  }
}

export async function* diffSnapshots(
  store: string,
  before: string,
  after: string | undefined,
): AsyncGenerator<ChangeReport> {
  const tree = openToRead(store);
  try {
    for (const change of namespaceChanges(tree, before, after)) {
      if (change === undefined) await pause();
      else yield changeReport(change);
    }
  } finally {
    tree.close();
  }
}

export async function createSnapshot(store: string, name: string): Promise<SnapshotReport> {
  refuseScheduledName(name);
  return withUnmounted(openToWrite(store), join(store, 'content'), (fileSystem) => {
    return reportOf(fileSystem.snapshots.take(name));
  });
}

export async function deleteSnapshot(store: string, name: string): Promise<SnapshotReport> {
  return withUnmounted(openToWrite(store), join(store, 'content'), (fileSystem, tree) => {
    const deleted = findSnapshot(tree, name);
    fileSystem.snapshots.delete(name);
    return reportOf(deleted);
  });
}

/** Throws as `examineStore`, and makes nothing. */
function refuseNoStore(store: string): void {
  if (examineDirectory(new NodeDisk(), store).state === 'empty')
    throw new SpinneyError('ERR_NO_STORE', `Cannot use ${store} as a store: it is an empty directory`);
  examineStore(store, { readOnly: true });
}

function openToRead(store: string): Tree {
  refuseNoStore(store);
  return Tree.open({ dir: store, readOnly: true, checkpoint: { enabled: false } });
}

function openToWrite(store: string): Tree {
  refuseNoStore(store);
  return Tree.open({ dir: store });
}
