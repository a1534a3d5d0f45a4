/** The stores of all systems for one size and shape of keys: loaded, measured on disk, copied and opened. */
import { execFileSync } from 'node:child_process';
import { cpSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { VALUE_BYTES, VALUES } from '../lib/keys.mjs';

/** Adapters by their systems' names; each is imported only where it takes part, since its library may not be there. */
const SYSTEMS = {
  spinney: () => import('./systems/spinney.mjs'),
  lmdb: () => import('./systems/lmdb.mjs'),
  sqlite: () => import('./systems/sqlite.mjs'),
  level: () => import('./systems/level.mjs'),
};
export const ENGINES = Object.keys(SYSTEMS);
/**
 * Keys in one transaction of the load: enough that the commits do not cost the time, and few enough to leave a store
 * that is not still busy with what the load freed (lmdb, after large ones).
 */
const LOAD_BATCH = 100;
/** Batches between two turns of the event loop, for libraries that put things off. */
const LOAD_STRETCH = 100;
/** Keys that are listed at a time to warm the caches. */
const WARM_PAGE = 10_000;
const SIGNALS = ['SIGINT', 'SIGTERM'];
const MIB = 1024 * 1024;
const LARGE = 2_000_000;

/**
 * Makes the stores of the systems of these names, calls `use` with the open ones and with the figures of space, and removes them.
 * An open one is { system, level, first, durable, store }: whether its level is the system's first, and whether it
 * survives a power cut.
 */
export async function withStores({ systems, durable, shape, count }, use) {
  const base = mkdtempSync(join(tmpdir(), 'spinney-bench-'));
  const cacheBytes = (count >= LARGE ? 1024 : 512) * MIB;
  const open = [];
  const removeAll = () => rmSync(base, { recursive: true, force: true });
  // Gigabytes are not to stay behind when someone loses patience.
  const interrupted = () => {
    removeAll();
    process.exit(1);
  };
  for (const signal of SIGNALS) process.once(signal, interrupted);
  try {
    const spaces = [];
    for (const name of systems) {
      const system = await SYSTEMS[name]();
      if (shape.systems?.includes(system.name) === false) continue;
      const dir = join(base, system.name);
      spaces.push(await load(system, dir, { shape, count, cacheBytes }));
      const levels = durable ? [...system.levels, system.durableLevel] : system.levels;
      for (const level of levels) {
        const copy = join(base, `${system.name}-${level.replace(':', '-')}`);
        cpSync(dir, copy, { recursive: true });
        const store = await system.open({ dir: copy, level, cacheBytes });
        const first = level === system.levels[0];
        open.push({ system: system.name, level, first, durable: level === system.durableLevel, store });
      }
      rmSync(dir, { recursive: true });
    }
    // What was written so far is not to be written back during the measurements.
    execFileSync('sync');
    for (const { store } of open) await warm(store, shape, count);
    await use(open, spaces);
  } finally {
    for (const { store } of open) await store.close();
    removeAll();
    for (const signal of SIGNALS) process.off(signal, interrupted);
  }
}

async function load(system, dir, { shape, count, cacheBytes }) {
  mkdirSync(dir);
  let loadMs = 0;
  let own = {};
  const store = await system.open({ dir, level: system.levels[0], cacheBytes });
  try {
    for (let from = 0; from < count; from += LOAD_BATCH) {
      const length = Math.min(LOAD_BATCH, count - from);
      const keys = Array.from({ length }, (_, i) => shape.key(from + i));
      const values = keys.map((_, i) => VALUES[(from + i) % VALUES.length]);
      const started = performance.now();
      await store.putMany(keys, values);
      loadMs += performance.now() - started;
      if ((from / LOAD_BATCH) % LOAD_STRETCH === 0) await pause(0);
    }
    own = store.space?.() ?? {};
  } finally {
    await store.close();
  }
  return { system: system.name, loadMs, diskBytes: allocatedBytes(dir), ...own };
}

/** Bytes that the files in a directory occupy on disk. */
function allocatedBytes(dir) {
  let bytes = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += lstatSync(join(entry.parentPath, entry.name)).blocks * 512;
  }
  return bytes;
}

/** Reads all there is once, so that every cache is warm, and makes sure that it is what was loaded. */
async function warm(store, shape, count) {
  let keyBytes = 0;
  for (let i = 0; i < count; i++) keyBytes += shape.key(i).length;
  let bytes = 0;
  let after = Buffer.alloc(0);
  while (after !== undefined) {
    const page = await store.list(after, WARM_PAGE);
    bytes += page.bytes;
    after = page.last;
  }
  const loaded = keyBytes + count * VALUE_BYTES;
  if (bytes !== loaded) throw new Error(`Cannot measure: a store has ${bytes} bytes instead of ${loaded}`);
}
