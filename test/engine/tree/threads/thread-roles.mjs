/** The threads of threads.test.ts: each attaches to the tree, plays one role and posts what it found. */
import { parentPort, threadId, workerData } from 'node:worker_threads';

const { engine, handle, role, me, count, stop } = workerData;
const { Tree } = await import(engine);
const tree = Tree.attach(handle);

let state = (me + 1) * 0x9e3779b1;
function below(limit) {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
}

/** A value that shows when it is not whole: a number, then the same byte to the end. */
function stamped(number, size) {
  const value = Buffer.alloc(8 + size, number & 255);
  value.writeDoubleLE(number, 0);
  return value;
}

function numberIn(value, what) {
  if (value === undefined) throw new Error(`${what} is missing`);
  const bytes = Buffer.from(value);
  const number = bytes.readDoubleLE(0);
  for (let i = 8; i < bytes.length; i++) if (bytes[i] !== (number & 255)) throw new Error(`${what} is torn`);
  return number;
}

const pairKeys = (pair) => [`a/pair${pair}`, `z/pair${pair}`];

const roles = {
  /** Writes both keys of a pair in one batch, with ever larger numbers. */
  pairs() {
    for (let number = 1; number <= count; number++) {
      const [left, right] = pairKeys(me * 10 + below(10));
      tree.atomic((batch) => {
        batch.put(left, stamped(number, below(2000)));
        batch.put(right, stamped(number, below(2000)));
      });
    }
  },
  /** Puts and deletes below a prefix of its own; posts what must be there in the end. */
  churn() {
    const mine = new Map();
    for (let i = 0; i < count; i++) {
      const key = `m/thread${me}/${(i >> 6) % 20}/${below(100)}`;
      if (below(10) < 3) {
        const deleted = tree.delete(key);
        if (deleted !== mine.delete(key)) throw new Error(`delete of ${key} told ${deleted}`);
      } else {
        const size = below(3000);
        tree.put(key, stamped(i, size));
        mine.set(key, [i, size]);
      }
      const other = `m/thread${me}/${(i >> 6) % 20}/${below(100)}`;
      const found = tree.get(other);
      const expected = mine.get(other);
      if ((found === undefined) !== (expected === undefined)) throw new Error(`${other} is ${found}`);
      if (found !== undefined && numberIn(found, other) !== expected[0]) throw new Error(`${other} is old`);
    }
    return [...mine.keys()].sort();
  },
  /** Adds one to counters that all share, by compareAndPut. */
  counters() {
    let retries = 0;
    for (let i = 0; i < count; i++) {
      const key = `counter${i % 3}`;
      for (;;) {
        const record = tree.getRecord(key);
        const next = numberIn(record.value, key) + 1;
        if (tree.compareAndPut(key, record.version, stamped(next, 100))) break;
        retries++;
      }
    }
    return retries;
  },
  /** Reads until told to stop. A pair's second key, read later, is never behind the first. */
  reader() {
    let reads = 0;
    const seen = new Map();
    const inOrder = (key, number) => {
      if ((seen.get(key) ?? 0) > number) throw new Error(`${key} went back to ${number}`);
      seen.set(key, number);
    };
    while (Atomics.load(stop, 0) === 0) {
      const keys = pairKeys(below(20));
      if (below(2) === 0) keys.reverse();
      const first = numberIn(tree.get(keys[0]), keys[0]);
      const second = numberIn(tree.get(keys[1]), keys[1]);
      if (second < first) throw new Error(`${keys[1]} is at ${second}, ${keys[0]} was at ${first}`);
      inOrder(keys[0], first);
      inOrder(keys[1], second);
      if (reads % 20 === 0) {
        let last = '';
        let fixed = 0;
        const prefix = below(2) === 0 ? 'm/' : '';
        for (const entry of tree.range({ prefix })) {
          const key = Buffer.from(entry.key).toString();
          if (key <= last) throw new Error(`range gave ${key} after ${last}`);
          last = key;
          numberIn(entry.value, key);
          if (key.startsWith('m/fixed/')) fixed++;
        }
        if (fixed !== 500) throw new Error(`range gave ${fixed} of the fixed keys`);
        const levels = [...tree.range({ prefix: 'm/', delimiter: '/' })].length;
        if (levels < 1) throw new Error('range gave no levels');
      }
      reads++;
    }
    return reads;
  },
  /** Compacts and checkpoints until told to stop. */
  upkeep() {
    let rounds = 0;
    while (Atomics.load(stop, 0) === 0) {
      tree.compact();
      tree.checkpoint();
      Atomics.wait(stop, 0, 0, 5);
      rounds++;
    }
    return rounds;
  },
  /** Takes snapshots, finds in each what was acknowledged before it and whole pairs, and deletes it. */
  snapshots() {
    let taken = 0;
    for (let i = 0; i < count; i++) {
      const name = `of ${me}, ${i}`;
      tree.put(`own${me}`, stamped(i, 10));
      const { lsn } = tree.snapshot(name);
      tree.put(`own${me}`, stamped(i + 1000, 10));
      if (lsn > tree.lastLsn()) throw new Error(`${name} is of LSN ${lsn}`);
      const reads = tree.at(name);
      if (numberIn(reads.get(`own${me}`), name) !== i) throw new Error(`${name} is of another moment`);
      for (let pair = 0; pair < 20; pair++) {
        const [left, right] = pairKeys(pair).map((key) => reads.get(key));
        if ((left === undefined) !== (right === undefined))
          throw new Error(`${name} has half of pair ${pair}`);
        if (left !== undefined && numberIn(left, 'left') !== numberIn(right, 'right'))
          throw new Error(`${name} has two ages of pair ${pair}`);
      }
      if (reads.countPrefix('key/') !== 3000) throw new Error(`${name} has too few keys`);
      let own = 0;
      for (const { key, before, after } of tree.diff(name, undefined)) {
        if (Buffer.from(key).toString() !== `own${me}`) continue;
        own = numberIn(after.value, 'after') - numberIn(before.value, 'before');
      }
      if (own !== 1000) throw new Error(`${name} differs from now by ${own}`);
      reads.close();
      tree.deleteSnapshot(name);
      taken++;
    }
    return taken;
  },
  exits() {
    for (let i = 0; i < count; i++) tree.put(`exits/${i}`, stamped(i, 10));
    process.exit(0);
  },
  throws() {
    for (let i = 0; i < count; i++) tree.put(`throws/${i}`, stamped(i, 10));
    throw new Error('as ordered');
  },
  /** Ends where a mutation would have the tree half changed. */
  async diesInside() {
    const { Mutex } = await import(new URL('./shared/mutex.js', engine));
    const { C_TREE_LOCK } = await import(new URL('./shared/control.js', engine));
    new Mutex(new Int32Array(handle.control), C_TREE_LOCK, threadId + 1).lock();
    process.exit(0);
  },
  /** Writes until that fails; posts the code. */
  untilRefused() {
    parentPort.postMessage('started');
    for (let i = 0; ; i++) {
      try {
        tree.put(`until/${i % 100}`, stamped(i, 10));
      } catch (error) {
        return error.code;
      }
    }
  },
};

parentPort.postMessage({ result: await roles[role]() });
