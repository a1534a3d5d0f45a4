/** The engine. Checkpoints run in its maintenance worker, as they do in the daemon. */
import { Tree } from '../../../../dist/engine/index.js';

export const name = 'spinney';
export const levels = ['written', 'buffered'];
export const durableLevel = 'synced';

export function open({ dir, level, cacheBytes }) {
  return storeOf(Tree.open({ dir, durability: level, cacheBytes, checkpoint: { host: 'worker' } }));
}

/** For another thread: the same tree. */
export function attach(shared) {
  return storeOf(Tree.attach(shared));
}

function storeOf(tree) {
  return {
    get: (key) => tree.get(key),
    put: (key, value) => tree.put(key, value),
    remove: (key) => {
      tree.delete(key);
    },
    putMany(keys, values) {
      tree.atomic((batch) => {
        for (let i = 0; i < keys.length; i++) batch.put(keys[i], values[i]);
      });
    },
    list(after, limit) {
      let bytes = 0;
      let last;
      let left = limit;
      for (const { key, value } of tree.range({ startAfter: after })) {
        bytes += key.length + value.length;
        last = key;
        if (--left === 0) break;
      }
      return { bytes, last };
    },
    rollUp(prefix) {
      let directories = 0;
      for (const entry of tree.range({ prefix, delimiter: '/' })) if (entry.type === 'prefix') directories++;
      return directories;
    },
    rename: (from, to) => tree.rename(from, to),
    renameMany(from, to) {
      const done = tree.atomic((batch) => {
        for (let i = 0; i < from.length; i++) batch.rename(from[i], to[i]);
      });
      if (!done) throw new Error('a key to rename is missing, or one is in the way');
    },
    renamePrefix: (from, to) => tree.renamePrefix(from, to),
    settle: () => tree.checkpoint(),
    /** Figures of its own about space. */
    space() {
      const { liveBytes, averageFill, maxBlobDepth, keyCount } = tree.stats();
      return { liveBytes, averageFill, maxBlobDepth, keyCount };
    },
    share: () => tree.share(),
    threadDied: (threadId) => tree.threadDied(threadId),
    close: () => tree.close(),
  };
}
