/** A thread of measure.test.ts: moves units from record to record, and directories to and fro, until it is told to stop. */
import { parentPort, workerData } from 'node:worker_threads';

const { engine, handle, me, accounts, stop } = workerData;
const { Tree } = await import(engine);
const measure = {
  name: 'units',
  fields: ['units'],
  of(_key, value, out) {
    out[0] = value[0] ?? 0;
  },
};
const tree = Tree.attach(handle, { measure });

let state = (me + 1) * 0x9e3779b1;
function below(limit) {
  state = (state + 0x6d2b79f5) >>> 0;
  let mixed = Math.imul(state ^ (state >>> 15), state | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
}

/** A record as it is now, under whichever name its directory has. */
function find() {
  const account = below(accounts);
  for (const prefix of [`bank/${account % 7}/`, `bank/moved${account % 7}/`]) {
    const key = `${prefix}account${account}`;
    const record = tree.getRecord(key);
    if (record !== undefined) return { key, ...record };
  }
  return undefined;
}

let moves = 0;
while (Atomics.load(stop, 0) === 0) {
  if (below(20) === 0) {
    const names = [`bank/${below(7)}/`, ''];
    names[1] = names[0].replace('bank/', 'bank/moved');
    if (below(2) === 0) names.reverse();
    try {
      tree.renamePrefix(names[0], names[1]);
    } catch (error) {
      if (error.code !== 'ERR_PREFIX_NOT_EMPTY') throw error;
    }
    continue;
  }
  const [from, to] = [find(), find()];
  if (from === undefined || to === undefined || from.key === to.key) continue;
  const units = Math.min(from.value[0], 255 - to.value[0], 1 + below(50));
  const less = Buffer.alloc(100 + below(500), from.value[0] - units);
  const more = Buffer.alloc(100 + below(500), to.value[0] + units);
  const done = tree.atomic((batch) => {
    batch.compareAndPut(from.key, from.version, less);
    batch.compareAndPut(to.key, to.version, more);
  });
  if (done) moves++;
}
parentPort.postMessage(moves);
