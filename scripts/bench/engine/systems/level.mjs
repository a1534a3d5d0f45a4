/** classic-level: LevelDB. Reads are synchronous; writes and iterators are not to be had but as promises. */
import { ClassicLevel } from 'classic-level';
import { rollUp } from './seeks.mjs';

export const name = 'level';
export const levels = ['sync:false'];
export const durableLevel = 'sync:true';

export async function open({ dir, level, cacheBytes }) {
  const db = new ClassicLevel(dir, { keyEncoding: 'buffer', valueEncoding: 'buffer', cacheSize: cacheBytes });
  await db.open();
  const options = { sync: level === 'sync:true' };
  const move = (batch, from, to) => batch.del(from).put(to, db.getSync(from));
  return {
    get: (key) => db.getSync(key),
    put: (key, value) => db.put(key, value, options),
    remove: (key) => db.del(key, options),
    putMany(keys, values) {
      const batch = db.batch();
      for (let i = 0; i < keys.length; i++) batch.put(keys[i], values[i]);
      return batch.write(options);
    },
    async list(after, limit) {
      let bytes = 0;
      let last;
      for (const [key, value] of await db.iterator({ gt: after, limit }).all()) {
        bytes += key.length + value.length;
        last = key;
      }
      return { bytes, last };
    },
    async rollUp(prefix) {
      const keys = db.keys();
      try {
        return await rollUp(prefix, (from) => {
          keys.seek(from);
          return keys.next();
        });
      } finally {
        await keys.close();
      }
    },
    rename: (from, to) => move(db.batch(), from, to).write(options),
    renameMany(from, to) {
      const batch = db.batch();
      for (let i = 0; i < from.length; i++) move(batch, from[i], to[i]);
      return batch.write(options);
    },
    settle() {},
    close: () => db.close(),
  };
}
