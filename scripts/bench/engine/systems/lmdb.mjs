/** lmdb-js, through its synchronous calls: a put outside a transaction is a transaction. Its cache is the page cache. */
import { open as openEnvironment } from 'lmdb';
import { rollUp } from './seeks.mjs';

export const name = 'lmdb';
export const levels = ['noSync'];
export const durableLevel = 'sync';

const MAP_BYTES = 16 * 1024 ** 3;
const SYNC_OPTIONS = { noSync: { noSync: true }, sync: { overlappingSync: false } };

export function open({ dir, level }) {
  const db = openEnvironment({
    path: dir,
    keyEncoding: 'binary',
    encoding: 'binary',
    mapSize: MAP_BYTES,
    ...SYNC_OPTIONS[level],
  });
  const seek = (from) => {
    for (const key of db.getKeys({ start: from, limit: 1 })) return key;
    return undefined;
  };
  const move = (from, to) => {
    const value = db.get(from);
    db.removeSync(from);
    db.putSync(to, value);
  };
  return {
    get: (key) => db.get(key),
    put: (key, value) => {
      db.putSync(key, value);
    },
    remove: (key) => {
      db.removeSync(key);
    },
    putMany(keys, values) {
      db.transactionSync(() => {
        for (let i = 0; i < keys.length; i++) db.putSync(keys[i], values[i]);
      });
    },
    list(after, limit) {
      let bytes = 0;
      let last;
      for (const { key, value } of db.getRange({ start: after, exclusiveStart: true, limit })) {
        bytes += key.length + value.length;
        last = key;
      }
      return { bytes, last };
    },
    rollUp: (prefix) => rollUp(prefix, seek),
    rename: (from, to) => {
      db.transactionSync(() => move(from, to));
    },
    renameMany(from, to) {
      db.transactionSync(() => {
        for (let i = 0; i < from.length; i++) move(from[i], to[i]);
      });
    },
    settle() {},
    share: () => ({ dir, level }),
    threadDied() {},
    close: () => db.close(),
  };
}

/** For another thread: it opens the environment too. */
export const attach = open;
