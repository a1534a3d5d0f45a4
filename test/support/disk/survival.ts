/** What is left of a simulated disk: by a kill all that was seen, by a power cut what was durable and perhaps more. */
import {
  applyToDirectory,
  applyToFile,
  applyTorn,
  type DirectoryNode,
  type FileNode,
  isFile,
  type Node,
  newDirectory,
  newFile,
} from './nodes.js';
import { Pages } from './pages.js';
import { Volume } from './volume.js';

/** What a power cut leaves of the unsynced changes: none, all, or a random subset (a function like Math.random). */
export type Survivors = 'drop' | 'keep' | (() => number);

/** As the next process finds it after this one was killed: no open files, no locks. */
export function afterKill(volume: Volume): Volume {
  volume.takeStores();
  return copyOf(
    volume,
    (file) => ({
      ...newFile(file.number),
      seen: new Pages(file.seen),
      durable: new Pages(file.durable),
      unsynced: [...file.unsynced],
    }),
    (directory) => directory,
  );
}

/** As the machine finds it after a power cut now; see MemoryDisk's `afterPowerCut`. */
export function afterPowerCut(volume: Volume, survivors: Survivors, tearBytes: number): Volume {
  volume.takeStores();
  const random = typeof survivors === 'function' ? survivors : undefined;
  const chance =
    random === undefined
      ? survivors === 'keep'
        ? 1
        : 0
      : ([0.15, 0.5, 0.85][Math.floor(random() * 3)] ?? 0.5);
  const survives = (): boolean => (random === undefined ? chance === 1 : random() < chance);
  const cut = copyOf(
    volume,
    (file) => {
      const pages = new Pages(file.durable);
      const kept = file.unsynced.filter(survives);
      const last = random === undefined ? undefined : kept.pop();
      for (const change of kept) applyToFile(pages, change);
      if (last !== undefined && random !== undefined) {
        if (random() < 0.5) applyToFile(pages, last);
        else applyTorn(pages, last, random, tearBytes);
      }
      return { ...newFile(file.number), seen: new Pages(pages), durable: pages };
    },
    (directory) => {
      const entries = new Map(directory.durable);
      for (const change of directory.unsynced) if (survives()) applyToDirectory(entries, change);
      return { ...newDirectory(directory.number), seen: entries, durable: entries };
    },
  );
  cut.boot = (volume.boot % 255) + 1;
  return cut;
}

/** Copies the tree of nodes; each node is copied once, however many names lead to it. */
function copyOf(
  volume: Volume,
  copyFile: (file: FileNode) => FileNode,
  pick: (directory: DirectoryNode) => DirectoryNode,
): Volume {
  const copy = new Volume();
  const { capacityBytes, boot, device, mount, inode, clock, nextNumber } = volume;
  Object.assign(copy, { capacityBytes, boot, device, mount, inode, clock, nextNumber });
  const copies = new Map<Node, Node>();
  const copyNode = (node: Node): Node => {
    const known = copies.get(node);
    if (known !== undefined) return known;
    if (isFile(node)) {
      const file = copyFile(node);
      copies.set(node, file);
      return file;
    }
    const directory = newDirectory(node.number);
    copies.set(node, directory);
    const picked = pick(node);
    for (const [name, child] of picked.seen) directory.seen.set(name, copyNode(child));
    for (const [name, child] of picked.durable) directory.durable.set(name, copyNode(child));
    directory.unsynced = picked.unsynced.map((change) =>
      'node' in change ? { ...change, node: copyNode(change.node) } : change,
    );
    return directory;
  };
  copy.root = copyNode(volume.root) as DirectoryNode;
  count(copy, copy.root);
  return copy;
}

function count(volume: Volume, directory: DirectoryNode): void {
  for (const node of directory.seen.values()) {
    if (!isFile(node)) count(volume, node);
    else if (node.links++ === 0) volume.usedPages += node.seen.count;
  }
}
