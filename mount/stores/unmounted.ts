/** The filesystem of a store that is not mounted, for work that has to change it as a mount would. */
import type { Tree } from '../../engine/index.js';
import { ContentFiles } from '../filesystem/contents/content.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { FileSystem } from '../filesystem/file-system.js';
import type { MountLog } from '../types.js';
import { InlineReclaimer } from './inline-reclaimer.js';

/** Does the work, makes what it left to do durable, and closes the tree. `contentDirectory` is `<store>/content`. */
export function withUnmounted<T>(
  tree: Tree,
  contentDirectory: string,
  work: (fileSystem: FileSystem, tree: Tree) => T,
  log: MountLog = () => {},
): T {
  try {
    const disk = new SystemDisk();
    const reclaimer = new InlineReclaimer(
      tree,
      new ContentFiles(disk, contentDirectory, false),
      (contents) => fileSystem.reclaimed(contents),
      log,
    );
    const fileSystem = new FileSystem(tree, {
      contentDirectory,
      readOnly: false,
      keepsNodes: false,
      rests: false,
      reclaimer,
      log,
      disk,
    });
    fileSystem.start();
    try {
      const result = work(fileSystem, tree);
      while (fileSystem.snapshots.work()) reclaimer.run();
      return result;
    } finally {
      reclaimer.run();
      fileSystem.close();
    }
  } finally {
    tree.close();
  }
}
