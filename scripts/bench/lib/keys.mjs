/** The keys and values of the benchmarks: all of them follow from a number, so that nothing of them is kept. */

/** A small generator of numbers (mulberry32): the same seed gives the same run. */
export class Random {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** 32 random bits. */
  bits() {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  }

  /** From 0 to limit - 1. */
  below(limit) {
    return Math.floor((this.bits() / 2 ** 32) * limit);
  }
}

export const VALUE_BYTES = 64;

/** Values that do not compress, as LevelDB compresses its blocks. */
export const VALUES = Array.from({ length: 1024 }, (_, i) => randomBytes(i, VALUE_BYTES));

function randomBytes(seed, length) {
  const random = new Random(Math.imul(seed + 1, 0x9e3779b1));
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4) bytes.writeUInt32LE(random.bits(), at);
  return bytes;
}

function padded(number, width) {
  return String(number).padStart(width, '0');
}

/** A shape of paths: `path(i)` are the keys, new ones appear beside them, `rollup` is the level that is rolled up. */
function paths({ path, ...rest }) {
  return { key: (i) => Buffer.from(path(i)), freshKey: (i) => Buffer.from(`${path(i)}.new`), ...rest };
}

/** What is measured with every shape but the last. */
const COMMON = 'get put putBig mixed list100 createDelete rename metadata putDurable space threads'.split(
  ' ',
);

/**
 * The shapes of keys, what is measured with each, and the systems, if not all. `key(i)` is the key number i of those in the store, `freshKey(i)` one that is not in it.
 * Key number i is also the i-th that is loaded: paths come as many directories that grow at the same time.
 */
export const SHAPES = {
  bucket: paths({
    title: '`bucket-NN/path/sub/file-NNNN.bin`, 32 directories',
    path: (i) => `bucket-${padded(i % 32, 2)}/path/sub/file-${padded(Math.floor(i / 32), 4)}.bin`,
    rollup: { prefix: Buffer.alloc(0), directories: 32 },
    parts: [...COMMON, 'rollup'],
  }),
  local: paths({
    title: '`/usr/local/share/category-N/file-NNNN`, 64 directories',
    path: (i) => `/usr/local/share/category-${i % 64}/file-${padded(Math.floor(i / 64), 4)}`,
    rollup: { prefix: Buffer.from('/usr/local/share/'), directories: 64 },
    parts: [...COMMON, 'rollup'],
  }),
  random: {
    title: '32 random bytes',
    key: (i) => randomBytes(i, 32),
    freshKey: (i) => randomBytes(2 ** 31 + i, 32),
    parts: COMMON,
  },
  // Two top directories, so that one of them holds half of the keys.
  halves: paths({
    title: '`half-N/path-NN/file-NNNN`',
    path: (i) => `half-${i % 2}/path-${padded((i >> 1) % 32, 2)}/file-${padded(Math.floor(i / 64), 4)}`,
    parts: ['renamePrefix', 'renameMany'],
    systems: ['spinney', 'lmdb'],
  }),
};

/**
 * Bytes of the keys that a key does not share with the one before it in key order: what a store that keeps no
 * common prefix twice has to keep.
 */
export function unsharedKeyBytes(shape, count) {
  // In Latin-1 strings the order of the code units is that of the bytes, and strings sort faster.
  const sorted = Array.from({ length: count }, (_, i) => shape.key(i).latin1Slice()).sort();
  let bytes = 0;
  let before = '';
  for (const key of sorted) {
    let shared = 0;
    while (shared < before.length && before.charCodeAt(shared) === key.charCodeAt(shared)) shared++;
    bytes += key.length - shared;
    before = key;
  }
  return bytes;
}
