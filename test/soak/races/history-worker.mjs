/**
 * A thread of line-11-histories: does random operations on a few keys in rounds, and notes of each when it was begun and
 * ended, by a counter that all threads share, and what it gave.
 */
import { parentPort, workerData } from 'node:worker_threads';

const { engine, handle, words, me, members, rounds, operations, seed } = workerData;
const { Tree } = await import(engine);
const tree = Tree.attach(handle);

/** Words that all threads share. */
const OVER = 0;
const TICKET = 1;
const ARRIVED = 2;

let state = Math.imul(seed, 0x9e3779b1) + Math.imul(me + 1, 0x85ebca6b);
function below(limit) {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
}
const of = (items) => items[below(items.length)];

/** Keys that are never moved, so that a value tells its version; and those that are. */
const FIXED = ['a', 'ab', 'b/1'];
const MOVED = ['c/1', 'c/2', 'd/1', 'd/2'];
const key = () => of(below(2) === 0 ? FIXED : MOVED);

let last = 0;
/** A number that no other value has, and bytes that show whether the value is whole. */
function newValue() {
  const number = ++last * 8 + me;
  const bytes = Buffer.alloc(8 + below(below(4) === 0 ? 20_000 : 200), number & 255);
  bytes.writeDoubleLE(number, 0);
  return { number, bytes };
}

function numberIn(bytes) {
  if (bytes === undefined) return 0;
  const value = Buffer.from(bytes);
  const number = value.readDoubleLE(0);
  for (let i = 8; i < value.length; i++) if (value[i] !== (number & 255)) throw new Error('a value is torn');
  return number;
}

function codeOf(act) {
  try {
    act();
    return 'done';
  } catch (error) {
    if (error.code === undefined) throw error;
    return error.code;
  }
}

const isOurs = (name) => FIXED.includes(name) || MOVED.includes(name);

/** All keys that the histories are about, with their numbers, in order. */
function contents(reads) {
  const found = [];
  let before = '';
  for (const entry of reads.range()) {
    const name = Buffer.from(entry.key).toString();
    if (name <= before) throw new Error(`a range gave ${name} after ${before}`);
    before = name;
    if (isOurs(name)) found.push([name, numberIn(entry.value)]);
  }
  return found;
}

const history = [];
/** Notes what `act` gives; with `step`, in which the checker finds what it is to do. */
function note(step, act) {
  const from = Atomics.add(words, TICKET, 1);
  const result = act();
  const to = Atomics.add(words, TICKET, 1);
  history.push({ from, to, step, result });
  return result;
}

function batchSteps() {
  return Array.from({ length: 1 + below(4) }, () => {
    const name = key();
    const roll = below(5);
    if (roll === 0) return { op: 'assertAbsent', key: name };
    if (roll === 1) return { op: 'delete', key: name };
    return { op: 'put', key: name, ...newValue() };
  });
}

function operate() {
  const roll = below(20);
  const name = key();
  if (roll < 4) {
    const { number, bytes } = newValue();
    note({ op: 'put', key: name, number }, () => tree.put(name, bytes));
  } else if (roll < 7) note({ op: 'get', key: name }, () => numberIn(tree.get(name)));
  else if (roll < 9) note({ op: 'delete', key: name }, () => tree.delete(name));
  else if (roll < 10) {
    const { number, bytes } = newValue();
    note({ op: 'putIfAbsent', key: name, number }, () => tree.putIfAbsent(name, bytes));
  } else if (roll < 12) {
    const fixed = of(FIXED);
    let version;
    const expected = note({ op: 'get', key: fixed }, () => {
      const found = tree.getRecord(fixed);
      version = found?.version;
      return numberIn(found?.value);
    });
    if (expected === 0) return;
    if (below(2) === 0) {
      const { number, bytes } = newValue();
      note({ op: 'compareAndPut', key: fixed, expected, number }, () =>
        tree.compareAndPut(fixed, version, bytes),
      );
    } else note({ op: 'deleteIfVersion', key: fixed, expected }, () => tree.deleteIfVersion(fixed, version));
  } else if (roll < 15) {
    const steps = batchSteps();
    const told = steps.map(({ op, key: at, number }) => ({ op, key: at, number }));
    note({ op: 'atomic', steps: told }, () =>
      tree.atomic((batch) => {
        for (const step of steps) {
          if (step.op === 'put') batch.put(step.key, step.bytes);
          else batch[step.op](step.key);
        }
      }),
    );
  } else if (roll < 16) {
    const [from, to, force] = [of(MOVED), of(MOVED), below(2) === 0];
    if (from === to) return;
    note({ op: 'rename', key: from, to, force }, () => codeOf(() => tree.rename(from, to, { force })));
  } else if (roll < 18) {
    const [from, to] = of([
      ['c/', 'd/'],
      ['d/', 'c/'],
    ]);
    note({ op: 'renamePrefix', key: from, to }, () => codeOf(() => tree.renamePrefix(from, to)));
  } else if (roll < 19) {
    const prefix = of(['c/', 'd/']);
    if (below(3) === 0)
      note({ op: 'deletePrefix', key: prefix }, () => codeOf(() => tree.deletePrefix(prefix)));
    else note({ op: 'isPrefixEmpty', key: prefix }, () => tree.isPrefixEmpty(prefix));
  } else {
    note({ op: 'all' }, () => {
      let found;
      const code = codeOf(() =>
        tree.view('', (view) => {
          found = contents(view);
        }),
      );
      if (code !== 'done' && code !== 'ERR_VIEW_EXPIRED') throw new Error(`a view ended with ${code}`);
      return code === 'done' ? found : undefined;
    });
  }
}

/** Waits until all threads have come here `times` times. */
function meet(times) {
  Atomics.add(words, ARRIVED, 1);
  Atomics.notify(words, ARRIVED);
  for (let come = Atomics.load(words, ARRIVED); come < times * members; come = Atomics.load(words, ARRIVED)) {
    if (Atomics.load(words, OVER) !== 0) process.exit(1);
    Atomics.wait(words, ARRIVED, come, 1000);
  }
}

/** Makes blobs come and go around the keys. */
function churn() {
  for (let i = 0; Atomics.load(words, OVER) === 0; i++) {
    const name = `${of(['a', 'ab', 'b', 'b/', 'c', 'c.', 'c0', 'd', 'd0'])}x${below(40)}`;
    if (below(3) === 0) tree.delete(name);
    else tree.put(name, Buffer.alloc(below(40_000)));
    if (i % 300 === 299) tree.compact();
    if (i % 150 === 149) tree.checkpoint();
  }
}

if (me < 0) {
  churn();
  parentPort.postMessage({ result: [] });
} else {
  const result = [];
  for (let round = 0; round < rounds; round++) {
    meet(2 * round + 1);
    const before = me === 0 ? contents(tree) : undefined;
    meet(2 * round + 2);
    history.length = 0;
    for (let i = 0; i < operations; i++) operate();
    result.push({ before, history: [...history] });
  }
  parentPort.postMessage({ result });
}
