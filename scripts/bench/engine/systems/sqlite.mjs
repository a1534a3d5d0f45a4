/** better-sqlite3 with a write-ahead log. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { rollUp } from './seeks.mjs';

export const name = 'sqlite';
export const levels = ['OFF', 'NORMAL'];
export const durableLevel = 'FULL';

/** The largest that this build of SQLite takes. */
const MMAP_BYTES = 0x7fff0000;
/** 64 MiB of log between checkpoints, as the engine has; SQLite's default of 4 MiB makes random writes slower. */
const CHECKPOINT_PAGES = 16_384;

export function open({ dir, level, cacheBytes }) {
  const db = new Database(join(dir, 'data.db'));
  db.pragma('journal_mode = WAL');
  db.pragma(`synchronous = ${level}`);
  db.pragma(`cache_size = ${-cacheBytes / 1024}`);
  db.pragma(`mmap_size = ${MMAP_BYTES}`);
  db.pragma(`wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
  db.exec('CREATE TABLE IF NOT EXISTS t (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID');
  const select = db.prepare('SELECT v FROM t WHERE k = ?').pluck();
  const replace = db.prepare('REPLACE INTO t VALUES (?, ?)');
  const remove = db.prepare('DELETE FROM t WHERE k = ?');
  const page = db.prepare('SELECT k, v FROM t WHERE k > ? ORDER BY k LIMIT ?').raw();
  const first = db.prepare('SELECT k FROM t WHERE k >= ? ORDER BY k LIMIT 1').pluck();
  const move = (from, to) => {
    const value = select.get(from);
    remove.run(from);
    replace.run(to, value);
  };
  return {
    get: (key) => select.get(key),
    put: (key, value) => {
      replace.run(key, value);
    },
    remove: (key) => {
      remove.run(key);
    },
    putMany: db.transaction((keys, values) => {
      for (let i = 0; i < keys.length; i++) replace.run(keys[i], values[i]);
    }),
    list(after, limit) {
      let bytes = 0;
      let last;
      for (const [key, value] of page.all(after, limit)) {
        bytes += key.length + value.length;
        last = key;
      }
      return { bytes, last };
    },
    rollUp: (prefix) => rollUp(prefix, (from) => first.get(from)),
    rename: db.transaction(move),
    renameMany: db.transaction((from, to) => {
      for (let i = 0; i < from.length; i++) move(from[i], to[i]);
    }),
    settle: () => {
      db.pragma('wal_checkpoint(TRUNCATE)');
    },
    close: () => {
      db.close();
    },
  };
}
