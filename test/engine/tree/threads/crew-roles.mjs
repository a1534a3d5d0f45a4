/** The threads of view.test.ts and parallel.test.ts: each attaches to the tree, plays one role and posts what it found. */
import { parentPort, workerData } from 'node:worker_threads';

const { engine, handle, role, words, me, count } = workerData;
const { Tree } = await import(engine);
const tree = Tree.attach(handle);

let state = ((me ?? 0) + 1) * 0x9e3779b1;
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

const isOver = () => Atomics.load(words, 0) !== 0;
const text = (bytes) => Buffer.from(bytes).toString();

function codeOf(act) {
  try {
    act();
  } catch (error) {
    if (error.code === undefined) throw error;
    return error.code;
  }
  return undefined;
}

/** Everyone begins when all have come. */
function meet(members) {
  if (Atomics.add(words, 1, 1) + 1 === members) Atomics.notify(words, 1);
  for (let come = Atomics.load(words, 1); come < members; come = Atomics.load(words, 1)) {
    Atomics.wait(words, 1, come, 1000);
  }
}

/** What a thread did and saw, for the comparison with what the others did. */
class Journey {
  mine = new Map();
  mutations = 0;
  versions = [];
  seen = new Map();
  won = { races: 0, deaths: 0, counted: 0 };

  observe(key, version) {
    const before = this.seen.get(key) ?? 0;
    if (version < before) throw new Error(`${key} went from version ${before} back to ${version}`);
    this.seen.set(key, version);
  }

  /** After a write of a key that no other thread writes. */
  wrote(key, number) {
    this.mutations++;
    const { version, value } = tree.getRecord(key);
    if (numberIn(value, key) !== number) throw new Error(`${key} holds another value than was just put`);
    if (version <= (this.seen.get(key) ?? 0)) throw new Error(`${key} did not get a later version`);
    this.observe(key, version);
    this.versions.push(version);
    this.mine.set(key, { number, version });
  }

  forget(key) {
    this.mutations++;
    this.mine.delete(key);
    if (tree.getVersion(key) !== undefined) throw new Error(`${key} is there after its deletion`);
  }

  own(i) {
    const key = `m/${String(((i >> 5) * 7 + me) % 60).padStart(2, '0')}/own${me}/${below(12)}`;
    const known = this.mine.get(key);
    const number = i + 1;
    const value = stamped(number, below(5000));
    const roll = below(12);
    if (roll < 5) {
      tree.put(key, value);
      this.wrote(key, number);
    } else if (roll < 6) {
      const done = tree.putIfAbsent(key, value);
      if (done === (known !== undefined)) throw new Error(`putIfAbsent of ${key} told ${done}`);
      if (done) this.wrote(key, number);
    } else if (roll < 8) {
      const version = (known?.version ?? 5) + (below(3) === 0 ? 1 : 0);
      const done = tree.compareAndPut(key, version, value);
      if (done !== (known?.version === version)) throw new Error(`compareAndPut of ${key} told ${done}`);
      if (done) this.wrote(key, number);
    } else if (roll < 10) {
      const done = tree.delete(key);
      if (done !== (known !== undefined)) throw new Error(`delete of ${key} told ${done}`);
      if (done) this.forget(key);
    } else if (roll < 11) {
      const version = (known?.version ?? 5) + (below(3) === 0 ? 1 : 0);
      const done = tree.deleteIfVersion(key, version);
      if (done !== (known?.version === version)) throw new Error(`deleteIfVersion of ${key} told ${done}`);
      if (done) this.forget(key);
    } else {
      const record = tree.getRecord(key);
      if (record?.version !== known?.version) throw new Error(`${key} has version ${record?.version}`);
      if (record !== undefined && numberIn(record.value, key) !== known.number)
        throw new Error(`${key} is not what was put`);
    }
  }

  /** One more on a counter of all. */
  counter(i) {
    const key = `counter/${i % 5}`;
    for (;;) {
      const { value, version } = tree.getRecord(key);
      this.observe(key, version);
      if (!tree.compareAndPut(key, version, stamped(numberIn(value, key) + 1, below(300)))) continue;
      this.won.counted++;
      this.mutations++;
      return;
    }
  }

  /** The next key that only one may put, and the next that only one may delete. */
  race(round) {
    const born = `race/${round % 50}/${round}`;
    if (tree.putIfAbsent(born, stamped(me, 50))) {
      this.won.races++;
      this.mutations++;
    }
    numberIn(tree.get(born), born);
    const dying = `dying/${round}`;
    const version = tree.getVersion(dying);
    if (version !== undefined && tree.deleteIfVersion(dying, version)) {
      this.won.deaths++;
      this.mutations++;
    }
    if (tree.getVersion(dying) !== undefined) throw new Error(`${dying} lives on`);
  }

  read() {
    const key = `m/${String(below(60)).padStart(2, '0')}/filler${below(25)}`;
    numberIn(tree.get(key), key);
    if (below(10) !== 0) return;
    let last = '';
    for (const entry of tree.range({ prefix: `m/${below(6)}` })) {
      const name = text(entry.key);
      if (name <= last) throw new Error(`range gave ${name} after ${last}`);
      last = name;
      numberIn(entry.value, name);
      this.observe(name, entry.version);
    }
  }
}

const roles = {
  mixed() {
    const { members, upkeep } = workerData;
    const journey = new Journey();
    parentPort.postMessage('started');
    meet(members);
    for (let i = 0; i < count; i++) {
      journey.own(i);
      if (i % 4 === 0) journey.counter(i >> 2);
      if (i % 4 === 1) journey.race(i >> 2);
      if (i % 4 === 2) journey.read();
      if (upkeep && i % 250 === 249) tree.compact();
      if (upkeep && i % 100 === 99) tree.checkpoint();
    }
    const mine = [...journey.mine].map(([key, { number, version }]) => ({ key, number, version }));
    return { mine, mutations: journey.mutations, versions: journey.versions, won: journey.won };
  },

  /** Nothing but writes of one frame: counters of all, and keys that come and go between them. */
  hammer() {
    const journey = new Journey();
    parentPort.postMessage('started');
    meet(workerData.members);
    for (let i = 0; i < count; i++) {
      journey.counter(i);
      const key = `counter/${i % 5}/${me}/${i % 20}`;
      if (tree.delete(key)) journey.mutations++;
      tree.put(key, stamped(i, i % 40));
      journey.mutations++;
    }
    return { mutations: journey.mutations, counted: journey.won.counted };
  },

  /** Writes numbered keys; word 8 + me tells how far it was acknowledged. Returns the code that ended it, if one did. */
  numbered() {
    parentPort.postMessage('started');
    return codeOf(() => {
      for (let i = 1; i <= count && !isOver(); i++) {
        tree.put(`numbered/${i % 40}/${me}/${i}`, stamped(i, below(2000)));
        if (i % 3 === 0) tree.delete(`numbered/${(i - 1) % 40}/${me}/${i - 1}`);
        Atomics.store(words, 8 + me, i);
      }
    });
  },

  /** Moves amounts between accounts, in batches; the total stays. */
  transfers() {
    const { accounts } = workerData;
    let done = 0;
    for (let i = 0; i < count; i++) {
      const from = `a/${below(accounts)}`;
      const to = `a/${below(accounts)}`;
      if (from === to) continue;
      const [source, target] = [tree.getRecord(from), tree.getRecord(to)];
      const amount = below(10);
      const moved = tree.atomic((batch) => {
        batch.compareAndPut(from, source.version, stamped(numberIn(source.value, from) - amount, below(200)));
        batch.compareAndPut(to, target.version, stamped(numberIn(target.value, to) + amount, below(200)));
      });
      if (moved) done++;
    }
    return done;
  },

  /** Views the accounts until told to stop, in order and out of order. */
  viewer() {
    const { accounts, total } = workerData;
    let views = 0;
    let expired = 0;
    while (!isOver()) {
      const code = codeOf(() =>
        tree.view('a/', (view) => {
          const found = new Map();
          for (const entry of view.range({ prefix: 'a/' })) {
            const name = text(entry.key);
            const number = numberIn(entry.value, name);
            if (name.split('/').length === 2) found.set(name, { number, version: entry.version });
          }
          let sum = 0;
          for (const { number } of found.values()) sum += number;
          if (found.size !== accounts) throw new Error(`${found.size} accounts instead of ${accounts}`);
          if (sum !== total) throw new Error(`the total is ${sum} instead of ${total}`);
          const start = below(accounts);
          for (let i = 0; i < accounts; i++) {
            const name = `a/${(start + i * 7) % accounts}`;
            const { value, version } = view.getRecord(name);
            const known = found.get(name);
            if (numberIn(value, name) !== known.number || version !== known.version)
              throw new Error(`${name} changed within a view`);
            if (i % 10 === 0 && view.longestPrefix(`${name}/f`).version !== version)
              throw new Error(`the longest prefix changed within a view`);
          }
        }),
      );
      if (code === undefined) views++;
      else if (code === 'ERR_VIEW_EXPIRED') expired++;
      else throw new Error(`a view ended with ${code}`);
    }
    return { views, expired };
  },

  /** Puts and deletes between the accounts and elsewhere until told to stop. */
  bystander() {
    const { accounts } = workerData;
    let rounds = 0;
    while (!isOver()) {
      for (let i = 0; i < 200; i++) {
        const key = `b/${below(40)}/${below(40)}`;
        if (below(3) === 0) tree.delete(key);
        else tree.put(key, stamped(i, below(6000)));
      }
      tree.put(`a/${below(accounts)}/filler${below(8)}`, stamped(rounds, below(6000)));
      if (rounds % 5 === 0) tree.compact();
      if (rounds % 3 === 0) tree.checkpoint();
      rounds++;
    }
    return rounds;
  },

  /** Waits for word 3, does what needs the tree alone, sets word 4; returns the version of `k` that it saw. */
  alone() {
    parentPort.postMessage('started');
    while (Atomics.load(words, 3) === 0) Atomics.wait(words, 3, 0, 1000);
    let seen;
    if (workerData.what === 'view') seen = tree.view('', (view) => view.getVersion('k'));
    if (workerData.what === 'atomic') {
      tree.atomic((batch) => batch.assertVersion('k', 1) || batch.put('k', stamped(3, 0)));
      seen = tree.getVersion('k');
    }
    if (workerData.what === 'checkpoint') {
      tree.checkpoint();
      seen = tree.stats().checkpoint.lastLsn;
    }
    Atomics.store(words, 4, 1);
    return seen;
  },

  /** Ends inside a view: by itself, or (`waits`) by whoever terminates it. */
  diesInView() {
    tree.view('', (view) => {
      view.get('b/000/0');
      parentPort.postMessage('started');
      if (!workerData.waits) process.exit(0);
      for (;;) Atomics.wait(words, 2, 0, 1000);
    });
  },
};

const result = await roles[role]();
tree.close();
parentPort.postMessage({ result });
