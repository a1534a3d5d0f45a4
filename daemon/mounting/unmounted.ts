/** What can be done with the snapshots of a store that is not mounted. */
import { join } from 'node:path';
import { setImmediate as pause } from 'node:timers/promises';
import { Tree } from '../../engine/index.js';
import { namespaceChanges } from '../../mount/diff/index.js';
import { withUnmounted } from '../../mount/unmounted.js';
import type { ChangeReport, SnapshotReport } from '../control/reports.js';
import { examineStore } from '../places/store-directory.js';
import { changeReport } from './diff-work.js';
import { findSnapshot, refuseScheduledName, reportOf } from './snapshots.js';

export function listSnapshots(store: string): SnapshotReport[] {
  const tree = openToRead(store);
  try {
    return tree.snapshots().map(reportOf);
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
    return deleted;
  });
}

function openToRead(store: string): Tree {
  examineStore(store, { readOnly: true });
  return Tree.open({ dir: store, readOnly: true, checkpoint: { enabled: false } });
}

function openToWrite(store: string): Tree {
  examineStore(store, { readOnly: true });
  return Tree.open({ dir: store });
}
