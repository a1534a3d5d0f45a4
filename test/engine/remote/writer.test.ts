/** Writers of one remote, in situations that were thought of. The others are in test/soak/machines/line-20-remote.test.ts. */
import { setImmediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { SpinneyError } from '../../../engine/errors.js';
import { decodeHead } from '../../../engine/remote/objects/head.js';
import { encodeRecords } from '../../../engine/remote/objects/journal-object.js';
import { waitOutMs } from '../../../engine/remote/objects/lease.js';
import { HEAD, journalName } from '../../../engine/remote/objects/names.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import type { Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import type { ObjectStore, PutCondition } from '../../../engine/store/object/object-store.js';
import { RetryingObjectStore } from '../../../engine/store/object/retrying-object-store.js';
import { type Faults, FaultyObjectStore, NO_FAULTS } from '../../support/object/faulty-object-store.js';
import { SimulatedProcess, Simulation } from '../../support/object/simulation.js';

const LEASE_MS = 10_000;

/** Counts and refuses, as it is told. */
class Bucket extends MemoryObjectStore {
  puts: string[] = [];
  refusal: SpinneyError | undefined;

  override put(key: string, bytes: Uint8Array, condition?: PutCondition) {
    this.puts.push(key);
    return this.refusal === undefined ? super.put(key, bytes, condition) : Promise.reject(this.refusal);
  }
}

let simulation: Simulation;
let bucket: Bucket;
let faults: Faults;

beforeEach(() => {
  simulation = new Simulation(7);
  bucket = new Bucket();
  faults = { ...NO_FAULTS };
});

interface Machine {
  process: SimulatedProcess;
  site: Site;
  holder: string;
}

function makeMachine(of?: Machine): Machine {
  const process = new SimulatedProcess(simulation, 1);
  const { clock } = process;
  const network: ObjectStore = new FaultyObjectStore(bucket, process, faults);
  const store = new RetryingObjectStore(network, { clock, random: simulation.random, patienceMs: 2_000 });
  return {
    process,
    site: { store, clock, newId: () => simulation.newId() },
    holder: of?.holder ?? simulation.newId(),
  };
}

/** Lets time pass until it is settled. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const note = () => {
    isSettled = true;
  };
  promise.then(note, note);
  await setImmediate();
  await simulation.run(100_000, () => isSettled);
  expect(isSettled).toBe(true);
  return promise;
}

const passing = (ms: number) => settled(new SimulatedProcess(simulation, 1).clock.sleep(ms));

async function begin(machine: Machine): Promise<{ writer: RemoteWriter; replayed: string[] }> {
  const replayed: string[] = [];
  const writer = await settled(
    takeOver(machine.site, {
      holder: machine.holder,
      leaseMs: LEASE_MS,
      restore: async () => {},
      replay: async (body) => void replayed.push(Buffer.from(body).toString()),
    }),
  );
  return { writer, replayed };
}

const append = (writer: RemoteWriter, text: string) => writer.append(Buffer.from(text));
const headNow = async () => decodeHead((await bucket.get(HEAD))!.bytes);

describe('appending', () => {
  it('puts what comes together into one object, one after another', async () => {
    const { writer } = await begin(makeMachine());
    const places = await settled(Promise.all(['a', 'b', 'c', 'd'].map((text) => append(writer, text))));
    expect(places.map(({ sequence }) => sequence)).toEqual([1, 2, 2, 2]);
    await settled(writer.release());
    const { replayed } = await begin(makeMachine());
    expect(replayed).toEqual(['a', 'bcd']);
  });

  it('refuses what would be no object', async () => {
    const { writer } = await begin(makeMachine());
    await expect(append(writer, '')).rejects.toMatchObject({ code: 'ERR_BATCH_TOO_LARGE' });
    await expect(writer.append(new Uint8Array(8 * 1024 * 1024 - 63))).rejects.toMatchObject({
      code: 'ERR_BATCH_TOO_LARGE',
    });
    expect(writer.end).toEqual({ epoch: 1, sequence: 1 });
  });

  it('is renewed though a look at the clock has failed', async () => {
    const machine = makeMachine();
    const { clock } = machine.site;
    let isFailing = false;
    const now = () => {
      if (!isFailing) return clock.now();
      isFailing = false;
      throw new Error('no clock for a moment');
    };
    machine.site.clock = { now, sleep: (ms) => clock.sleep(ms) };
    const { writer } = await begin(machine);
    isFailing = true;
    await passing(3 * LEASE_MS);
    expect(isFailing).toBe(false);
    expect(writer.held.isServing()).toBe(true);
  });

  it('knows its own object again where the answer was lost', async () => {
    const { writer } = await begin(makeMachine());
    faults.doneLater = 1000;
    const place = append(writer, 'one');
    await passing(500);
    expect(
      bucket.puts.filter((key) => key === journalName({ epoch: 1, sequence: 1 })).length,
    ).toBeGreaterThan(1);
    faults.doneLater = 0;
    expect(await settled(place)).toEqual({ epoch: 1, sequence: 1 });
    expect(await settled(append(writer, 'two'))).toEqual({ epoch: 1, sequence: 2 });
  });

  it('waits for a store that is away for an hour, and acknowledges nothing without the lease', async () => {
    const machine = makeMachine();
    const { writer } = await begin(machine);
    machine.process.isCutOff = true;
    let isAcknowledged = false;
    const place = append(writer, 'one').then(() => {
      isAcknowledged = true;
    });
    await passing(3_600_000);
    expect(isAcknowledged).toBe(false);
    expect(writer.held.isServing()).toBe(false);
    expect(writer.held.failure).toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
    machine.process.isCutOff = false;
    await settled(place);
    expect(writer.held.isServing()).toBe(true);
    await passing(LEASE_MS);
    expect(writer.held.failure).toBeUndefined();
  });

  it('waits for credentials that are renewed', async () => {
    const { writer } = await begin(makeMachine());
    bucket.refusal = new SpinneyError('ERR_REMOTE_REFUSED', 'Cannot put: the session token has expired');
    const place = append(writer, 'one');
    await passing(5_000);
    expect(writer.held.failure).toBe(bucket.refusal);
    bucket.refusal = undefined;
    expect(await settled(place)).toEqual({ epoch: 1, sequence: 1 });
  });

  it('ends with a store that is closed', async () => {
    const { writer } = await begin(makeMachine());
    bucket.refusal = new SpinneyError('ERR_CLOSED', 'Cannot use the object store: it is closed');
    await expect(settled(append(writer, 'one'))).rejects.toBe(bucket.refusal);
    expect(writer.held.isServing()).toBe(false);
  });
});

describe('taking over', () => {
  it('begins with epoch 1 where nothing is', async () => {
    const { writer, replayed } = await begin(makeMachine());
    expect([writer.epoch, replayed]).toEqual([1, []]);
    expect(await headNow()).toMatchObject({
      epoch: 1,
      leaseMs: LEASE_MS,
      journal: { epoch: 1, sequence: 1 },
    });
  });

  it('waits out the lease of a dead writer, but not that of its own store, nor one that was released', async () => {
    const dead = makeMachine();
    const { writer } = await begin(dead);
    await settled(append(writer, 'one'));
    dead.process.isAlive = false;
    const killedAt = simulation.now;
    const another = makeMachine();
    const { writer: second, replayed } = await begin(another);
    expect(replayed).toEqual(['one']);
    expect(simulation.now - killedAt).toBeGreaterThan(waitOutMs(LEASE_MS));
    another.process.isAlive = false;
    const restartedAt = simulation.now;
    const restarted = makeMachine(another);
    const { writer: third } = await begin(restarted);
    expect(simulation.now - restartedAt).toBeLessThan(1_000);
    expect(third.epoch).toBe(second.epoch + 1);
    await settled(third.release());
    const releasedAt = simulation.now;
    expect((await begin(makeMachine())).replayed).toEqual(['one']);
    expect(simulation.now - releasedAt).toBeLessThan(1_000);
  });

  it('does not happen while the lease is renewed', async () => {
    await begin(makeMachine());
    let isTaken = false;
    const { site, holder } = makeMachine();
    const restore = async () => {};
    void takeOver(site, { holder, leaseMs: LEASE_MS, restore, replay: restore }).then(() => {
      isTaken = true;
    });
    await passing(50 * LEASE_MS);
    expect(isTaken).toBe(false);
    expect((await headNow()).epoch).toBe(1);
  });

  it('leaves an old writer that wakes up with nothing to acknowledge', async () => {
    const old = makeMachine();
    const { writer } = await begin(old);
    await settled(append(writer, 'one'));
    const late = append(writer, 'two').catch((error: unknown) => error);
    old.process.pause(10 * LEASE_MS);
    const { writer: next, replayed } = await begin(makeMachine());
    // It had been sent, and was there before the fence. So it is kept, but its writer may not say so any more.
    expect(replayed).toEqual(['one', 'two']);
    expect(writer.held.isServing()).toBe(false);
    await settled(append(next, 'three'));
    expect(await settled(late)).toMatchObject({ code: 'ERR_REMOTE_TAKEN' });
    await expect(settled(append(writer, 'four'))).rejects.toMatchObject({
      code: 'ERR_REMOTE_TAKEN',
      message: expect.stringContaining('in epoch 2'),
    });
    await settled(next.release());
    expect((await begin(makeMachine())).replayed).toEqual(['one', 'two', 'three']);
  });

  it('ends a journal behind what the old writer still gets in, and never takes it in afterwards', async () => {
    const old = makeMachine();
    const { writer } = await begin(old);
    // Held up by nothing but the fence: its lease is as long as its clock says.
    const restarted = makeMachine(old);
    const { writer: next } = await begin(restarted);
    expect(await bucket.get(journalName({ epoch: 1, sequence: 1 }))).toMatchObject({ bytes: { length: 64 } });
    await expect(settled(append(writer, 'one'))).rejects.toMatchObject({ code: 'ERR_REMOTE_TAKEN' });
    await settled(next.release());
    expect((await begin(makeMachine())).replayed).toEqual([]);
  });

  it('puts no fence over what comes in at the last moment', async () => {
    const old = makeMachine();
    await begin(old);
    old.process.isAlive = false;
    const place = { epoch: 1, sequence: 1 };
    const get = bucket.get.bind(bucket);
    bucket.get = async (key, options) => {
      try {
        return await get(key, options);
      } finally {
        // It was on its way for that long.
        const late = encodeRecords(place, 'a'.repeat(32), Buffer.from('late'));
        if (key === journalName(place)) await bucket.put(key, late, { ifNoneMatch: '*' }).catch(() => {});
      }
    };
    expect((await begin(makeMachine(old))).replayed).toEqual(['late']);
    expect((await bucket.get(journalName({ epoch: 1, sequence: 2 })))!.bytes.length).toBe(64);
  });

  it('puts the fence of a taker that died before it', async () => {
    const first = makeMachine();
    const { writer } = await begin(first);
    await settled(append(writer, 'one'));
    const dying = makeMachine(first);
    const restore = () => {
      dying.process.isAlive = false;
      return Promise.resolve();
    };
    void takeOver(dying.site, { holder: dying.holder, leaseMs: LEASE_MS, restore, replay: restore });
    await passing(1_000);
    expect(await headNow()).toMatchObject({ epoch: 2, journal: { epoch: 1, sequence: 1 } });
    const { writer: third, replayed } = await begin(makeMachine(first));
    expect([third.epoch, replayed]).toEqual([3, ['one']]);
    for (const place of [
      { epoch: 1, sequence: 2 },
      { epoch: 2, sequence: 1 },
    ]) {
      expect((await bucket.get(journalName(place)))!.bytes.length).toBe(64);
    }
  });

  it('begins with the last checkpoint', async () => {
    const machine = makeMachine();
    const { writer } = await begin(machine);
    for (const text of ['one', 'two']) await settled(append(writer, text));
    const mark = writer.mark();
    const at = writer.end;
    await settled(append(writer, 'three'));
    await settled(writer.publish({ references: [], payload: Buffer.from('one two') }, at, mark));
    await settled(writer.release());
    expect(await headNow()).toMatchObject({ journal: { epoch: 1, sequence: 3 }, leaseMs: 0 });
    expect((await begin(makeMachine())).replayed).toEqual(['three']);
  });

  it('is refused where the journal is damaged', async () => {
    const { writer } = await begin(makeMachine());
    await settled(append(writer, 'one'));
    await settled(writer.release());
    await bucket.put(journalName({ epoch: 1, sequence: 1 }), Buffer.from('something else'));
    await expect(begin(makeMachine())).rejects.toMatchObject({ code: 'ERR_REMOTE_CORRUPT' });
  });
});

describe('the end of a writer', () => {
  it('is a HEAD that is gone', async () => {
    const { writer } = await begin(makeMachine());
    await bucket.delete(HEAD);
    await passing(LEASE_MS);
    expect(writer.held.end).toMatchObject({
      code: 'ERR_REMOTE_TAKEN',
      message: expect.stringContaining('is gone'),
    });
    await expect(settled(append(writer, 'one'))).rejects.toMatchObject({ code: 'ERR_REMOTE_TAKEN' });
  });

  it('comes within seconds when it is wanted, also while the store is away', async () => {
    const machine = makeMachine();
    const { writer } = await begin(machine);
    machine.process.isCutOff = true;
    const late = append(writer, 'one').catch((error: unknown) => error);
    await passing(100);
    const from = simulation.now;
    await settled(writer.release());
    expect(simulation.now - from).toBeLessThan(10_000);
    expect(await settled(late)).toMatchObject({ code: 'ERR_CLOSED' });
    expect(writer.held.isServing()).toBe(false);
  });
});
