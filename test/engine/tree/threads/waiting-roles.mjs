/** The threads of waiting.test.ts. */
import { parentPort, workerData } from 'node:worker_threads';

const { engine, handle, role, words, me, keys } = workerData;
const { Tree } = await import(engine);
const tree = Tree.attach(handle);

let state = (me + 1) * 0x9e3779b1;
function below(limit) {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
}

const keyOf = (i) => `${String((i * 7919) % keys).padStart(6, '0')}/name-${i}`;

const roles = {
  /** Changes keys of its own; posts the last stamp of each, 0 where it is deleted. */
  change() {
    const stamps = {};
    for (let n = 1; n < 1200; n++) {
      const i = below(Math.floor(keys / 3)) * 3 + me;
      const stamp = 1 + (n % 250);
      if (below(5) === 0) {
        const deleted = tree.delete(keyOf(i));
        if (deleted !== (stamps[i] !== 0)) throw new Error(`delete of ${keyOf(i)} told ${deleted}`);
        stamps[i] = 0;
      } else {
        tree.put(keyOf(i), Buffer.alloc(1500 + below(1000), stamp));
        stamps[i] = stamp;
      }
      const other = below(Math.floor(keys / 3)) * 3 + me;
      const found = tree.get(keyOf(other));
      if (stamps[other] === undefined) continue;
      if (stamps[other] === 0 ? found !== undefined : found?.[0] !== stamps[other])
        throw new Error(`${keyOf(other)} is ${found?.[0]}, not ${stamps[other]}`);
    }
    return stamps;
  },
  /** Keys come in order, each once, until it is told to stop. */
  scan() {
    let scans = 0;
    do {
      let last = '';
      for (const { key } of tree.range({ keysOnly: true })) {
        const text = Buffer.from(key).toString();
        if (text <= last) throw new Error(`${text} comes after ${last}`);
        last = text;
      }
      scans++;
    } while (Atomics.load(words, 0) === 0);
    return scans;
  },
};

parentPort.postMessage({ started: true });
parentPort.postMessage({ result: roles[role]() });
