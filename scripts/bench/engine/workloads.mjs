/**
 * What is measured. A workload prepares its input, which all systems get alike in one round, and runs the first `ops`
 * operations of it on a store; it leaves the store's keys as they were. `run` returns the number of operations
 * where it did another.
 *
 * Stores may answer with a promise where their library has no other way; only then something is awaited, so that
 * the synchronous ones do not pay for it.
 *
 * - `pool`: most operations in one run; `unit`: operations that go together, of which a run has a multiple.
 * - `writes`: measured at every durability level, not only at one.
 * - `latency`: operations of a separate run whose times are taken one by one: `one(store, input, i)`.
 * - `systems`: the only ones that it is for. `durable`: at the level that survives a power cut.
 */
import { Random, VALUES } from '../lib/keys.mjs';

const BATCH = 10_000;

/** `pool` random keys of those in the store, with values; with `fresh`, as many keys that are not in the store. */
function picks({ shape, count, seed, pool, fresh = false }) {
  const random = new Random(seed);
  const input = { keys: [], fresh: [], values: [] };
  for (let i = 0; i < pool; i++) {
    const pick = random.below(count);
    input.keys.push(shape.key(pick));
    input.values.push(VALUES[random.below(VALUES.length)]);
    if (fresh) input.fresh.push(shape.freshKey(pick));
  }
  return input;
}

const withFresh = (options) => picks({ ...options, fresh: true });

/** Spreads what is created over all directories; a prime, so that no number comes twice. */
const STRIDE = 7919;

const GET = 0;
const PUT = 1;
const LIST = 2;
const CREATE = 3;
const DELETE = 4;

/** A script of 70 % get, 12 % put, 8 % list of 10, 5 % create, 5 % delete of what was created. */
function metadataScript({ shape, count, seed, pool }) {
  const random = new Random(seed);
  const input = { codes: new Uint8Array(pool), keys: [], values: [] };
  const created = [];
  let creations = 0;
  for (let i = 0; i < pool; i++) {
    const draw = random.below(100);
    let code = draw < 70 ? GET : draw < 82 ? PUT : draw < 90 ? LIST : draw < 95 ? CREATE : DELETE;
    if (code === DELETE && created.length === 0) code = CREATE;
    let key = shape.key(random.below(count));
    if (code === CREATE) {
      key = shape.freshKey((creations++ * STRIDE) % count);
      created.push(key);
    } else if (code === DELETE) key = created.shift();
    input.codes[i] = code;
    input.keys.push(key);
    input.values.push(VALUES[random.below(VALUES.length)]);
  }
  return input;
}

/** Below which path the keys of the one half are, and where they are moved. */
const HALF = Buffer.from('half-0/');
const MOVED = Buffer.from('moved/');

function halves({ shape, count }) {
  const keys = Array.from({ length: Math.min(BATCH, Math.floor(count / 2)) }, (_, i) => shape.key(2 * i));
  return { keys, fresh: keys.map((key) => Buffer.concat([MOVED, key.subarray(HALF.length)])) };
}

async function putEach(store, { keys, values }, ops) {
  for (let i = 0; i < ops; i++) {
    const pending = store.put(keys[i], values[i]);
    if (pending !== undefined) await pending;
  }
}

export const WORKLOADS = {
  get: {
    title: 'get',
    pool: 65_536,
    latency: 20_000,
    prepare: picks,
    one: (store, { keys }, i) => store.get(keys[i]),
    async run(store, { keys, values }, ops) {
      let bytes = 0;
      for (let i = 0; i < ops; i++) bytes += store.get(keys[i]).length;
      if (bytes !== ops * values[0].length) throw new Error('a value has another length than was put');
    },
  },
  put: {
    title: 'put',
    writes: true,
    pool: 32_768,
    latency: 10_000,
    prepare: picks,
    one: (store, { keys, values }, i) => store.put(keys[i], values[i]),
    run: putEach,
  },
  mixed: {
    title: '50 % get, 50 % put',
    writes: true,
    pool: 32_768,
    unit: 2,
    prepare: picks,
    async run(store, { keys, values }, ops) {
      let bytes = 0;
      for (let i = 0; i < ops; i += 2) {
        bytes += store.get(keys[i]).length;
        const pending = store.put(keys[i + 1], values[i]);
        if (pending !== undefined) await pending;
      }
      if (bytes !== (ops / 2) * values[0].length) throw new Error('a value has another length than was put');
    },
  },
  list100: {
    title: 'list of 100',
    pool: 8192,
    prepare: picks,
    async run(store, { keys }, ops) {
      for (let i = 0; i < ops; i++) {
        const pending = store.list(keys[i], 100);
        if (pending instanceof Promise) await pending;
      }
    },
  },
  rollup: {
    title: 'rollup of all directories',
    pool: 8192,
    prepare: ({ shape }) => shape.rollup,
    async run(store, { prefix, directories }, ops) {
      for (let i = 0; i < ops; i++) {
        const found = await store.rollUp(prefix);
        if (found !== directories)
          throw new Error(`${found} directories were listed instead of ${directories}`);
      }
    },
  },
  createDelete: {
    title: 'create and delete',
    writes: true,
    pool: 16_384,
    prepare: withFresh,
    async run(store, { fresh, values }, ops) {
      for (let i = 0; i < ops; i++) {
        const created = store.put(fresh[i], values[i]);
        if (created !== undefined) await created;
        const removed = store.remove(fresh[i]);
        if (removed !== undefined) await removed;
      }
    },
  },
  rename: {
    title: 'rename',
    writes: true,
    pool: 16_384,
    unit: 2,
    prepare: withFresh,
    async run(store, { keys, fresh }, ops) {
      for (let i = 0; i < ops / 2; i++) {
        const there = store.rename(keys[i], fresh[i]);
        if (there !== undefined) await there;
        const back = store.rename(fresh[i], keys[i]);
        if (back !== undefined) await back;
      }
    },
  },
  metadata: {
    title: 'metadata mix',
    writes: true,
    pool: 32_768,
    prepare: metadataScript,
    async run(store, { codes, keys, values }, ops) {
      for (let i = 0; i < ops; i++) {
        const code = codes[i];
        let pending;
        if (code === GET) store.get(keys[i]);
        else if (code === LIST) pending = store.list(keys[i], 10);
        else if (code === DELETE) pending = store.remove(keys[i]);
        else pending = store.put(keys[i], values[i]);
        if (pending instanceof Promise) await pending;
      }
    },
    /** Takes away what the script's first `ops` operations created and did not delete; not timed. */
    async cleanUp(store, { codes, keys }, ops) {
      for (let i = 0; i < ops; i++) if (codes[i] === CREATE) await store.remove(keys[i]);
    },
  },
  renamePrefix: {
    title: 'renamePrefix',
    writes: true,
    systems: ['spinney'],
    pool: 1024,
    unit: 2,
    prepare: halves,
    async run(store, { keys, fresh }, ops) {
      for (let i = 0; i < ops / 2; i++) {
        store.renamePrefix(HALF, MOVED);
        if (store.get(fresh[0]) === undefined || store.get(keys[0]) !== undefined)
          throw new Error('nothing was moved');
        store.renamePrefix(MOVED, HALF);
      }
    },
  },
  renameMany: {
    title: 'rename, 10,000 in one transaction',
    writes: true,
    pool: 2 * BATCH,
    unit: 2 * BATCH,
    prepare: halves,
    async run(store, { keys, fresh }) {
      await store.renameMany(keys, fresh);
      await store.renameMany(fresh, keys);
      return 2 * keys.length;
    },
  },
  putDurable: {
    title: 'put that survives a power cut',
    writes: true,
    durable: true,
    pool: 256,
    prepare: picks,
    run: putEach,
  },
  putBig: {
    title: 'put, 10,000 in one transaction',
    writes: true,
    pool: 6 * BATCH,
    unit: BATCH,
    prepare: picks,
    async run(store, { keys, values }, ops) {
      for (let i = 0; i < ops; i += BATCH) {
        const pending = store.putMany(keys.slice(i, i + BATCH), values.slice(i, i + BATCH));
        if (pending !== undefined) await pending;
      }
    },
  },
};

/**
 * All that can be asked for by name, in the order in which it is done: what is measured in other ways, and the
 * workloads. `putBig` is the last, since after a large transaction the next few hundred of lmdb take milliseconds each.
 */
export const PARTS = ['space', 'threads', ...Object.keys(WORKLOADS)];
