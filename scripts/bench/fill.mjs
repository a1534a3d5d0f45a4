/**
 * How full blobs are and how deep the tree of blobs is: `node scripts/bench/fill.mjs [shape | order | count ...]` loads a
 * tree in memory for each shape x order x count named (all, where none is), and prints one JSON line after the load, one
 * after each stage of a churn of its keys, and one after compaction. Values are 64 bytes.
 */
import { Tree } from '../../dist/engine/index.js';

const VALUE = Buffer.alloc(64, 'v');
const CACHE_BYTES = 1 << 30;
/** A churn deletes a random half of the keys and puts as many again, so often. */
const CHURNS = 10;
const DELETED_SHARE = 0.6;

/** The i-th of `count` keys; `groups` directories take the keys in turn. */
const SHAPES = {
  bucket: {
    groups: 32,
    key: (i) => `bucket-${pad(i % 32, 2)}/path/sub/file-${pad(Math.floor(i / 32), 4)}.bin`,
  },
  local: {
    groups: 64,
    key: (i) => `/usr/local/share/category-${i % 64}/file-${pad(Math.floor(i / 64), 4)}`,
  },
  /** All numbers of one length: directories of ten, on six levels. */
  wide: {
    groups: 32,
    key: (i) => `bucket-${pad(i % 32, 2)}/path/sub/file-${pad(Math.floor(i / 32), 6)}.bin`,
  },
  bytes: { groups: 1, key: (i) => noise(i) },
};
const ORDERS = ['sorted', 'random', 'interleaved'];

function pad(number, width) {
  return String(number).padStart(width, '0');
}

/** xorshift32, the same in every run. */
function randomNumbers(seed) {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** 32 bytes that look random and depend on `i` only. */
function noise(i) {
  const bytes = Buffer.alloc(32);
  const random = randomNumbers(Math.imul(i + 1, 0x9e3779b1) | 1);
  for (let at = 0; at < 32; at += 4) bytes.writeUInt32LE(Math.floor(random() * 2 ** 32), at);
  return bytes;
}

function shuffle(list, random) {
  for (let i = list.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
  return list;
}

/** Numbers of the keys in the order in which they are put. Keys of one group sort by their number, up to 10,000. */
function inOrder(order, count, { groups, key }) {
  const numbers = Array.from({ length: count }, (_, i) => i);
  if (order === 'random') return shuffle(numbers, randomNumbers(1));
  if (order === 'interleaved') return numbers;
  if (groups === 1) {
    const keys = numbers.map(key);
    return numbers.sort((a, b) => Buffer.compare(keys[a], keys[b]));
  }
  return numbers.sort((a, b) => (a % groups) - (b % groups) || a - b);
}

function report(labels, stage, tree, started) {
  const { averageFill, maxBlobDepth, blobCount, keyCount } = tree.stats();
  const seconds = Number((performance.now() - started).toFixed(0)) / 1000;
  const fill = Number(averageFill.toFixed(3));
  console.log(
    JSON.stringify({
      figure: 'engine.fill',
      ...labels,
      stage,
      fill,
      depth: maxBlobDepth,
      blobs: blobCount,
      keyCount,
      seconds,
    }),
  );
}

function measure(shapeName, order, count, stages) {
  const shape = SHAPES[shapeName];
  const labels = { shape: shapeName, order, keys: count };
  const tree = Tree.open({ memory: true, flushOnWrite: false, cacheBytes: CACHE_BYTES });
  const stage = (name, run) => {
    const started = performance.now();
    run();
    report(labels, name, tree, started);
  };
  const put = (i, name = '') =>
    tree.put(Buffer.concat([Buffer.from(shape.key(i)), Buffer.from(name)]), VALUE);
  const remove = (i, name = '') => tree.delete(Buffer.concat([Buffer.from(shape.key(i)), Buffer.from(name)]));
  stage('load', () => {
    for (const i of inOrder(order, count, shape)) put(i);
  });
  if (stages.includes('churn')) churn(count, stage, put, remove);
  if (stages.includes('delete')) {
    const random = randomNumbers(3);
    stage(`delete ${DELETED_SHARE}`, () => {
      for (let i = 0; i < count; i++) if (random() < DELETED_SHARE) remove(i);
    });
  }
  stage('compact', () => tree.compact());
  tree.close();
}

/** Deletes random halves and puts the same keys again, then halves of what there is for keys of other names. */
function churn(count, stage, put, remove) {
  const random = randomNumbers(2);
  const half = () =>
    shuffle(
      Array.from({ length: count }, (_, i) => i),
      random,
    ).slice(count / 2);
  stage('churn', () => {
    for (let round = 0; round < CHURNS; round++) {
      const some = half();
      for (const i of some) remove(i);
      for (const i of shuffle(some, random)) put(i);
    }
  });
  stage('churn of names', () => {
    const names = new Array(count).fill('');
    for (let round = 0; round < CHURNS; round++) {
      const some = half();
      for (const i of some) remove(i, names[i]);
      for (const i of shuffle(some, random)) {
        names[i] = `-${round}`;
        put(i, names[i]);
      }
    }
    for (let i = 0; i < count; i++) {
      if (names[i] === '') continue;
      remove(i, names[i]);
      put(i);
    }
  });
}

const args = process.argv.slice(2);
const chosen = (all) => {
  const named = all.filter((name) => args.includes(name));
  return named.length > 0 ? named : all;
};
const counts = args.map(Number).filter((count) => count > 0);
const known = [...Object.keys(SHAPES), ...ORDERS, 'churn', 'delete'];
const unknown = args.filter((arg) => !known.includes(arg) && !(Number(arg) > 0));
if (unknown.length > 0) {
  console.error(`fill: Cannot measure ${unknown.join(', ')}: known are ${known.join(', ')} and counts`);
  process.exit(2);
}
for (const count of counts.length > 0 ? counts : [20_000, 500_000]) {
  for (const shape of chosen(Object.keys(SHAPES))) {
    for (const order of chosen(ORDERS)) measure(shape, order, count, args);
  }
}
