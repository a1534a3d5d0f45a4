/**
 * Kills the process and cuts the power before and after every disk call of a run, and of recoveries from it: what
 * the next open finds is the last state whose flush returned, or the one whose flush was under way: with all that its pins
 * keep, whole.
 */
import { describe, expect, it } from 'vitest';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { SimulatedCrash } from '../../support/disk/faults.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { type Contents, contentsOf, makeImage, makeMark, makePin } from './images.js';

const RANDOM_CUTS = 4;

/** States that the store may be found in, by the number of disk calls made. */
interface Possible {
  disk: MemoryDisk;
  contents: Contents[];
  call: string;
}

const empty: Contents = { blobs: {}, mark: undefined };

/**
 * Runs a seeded load and keeps the disk as it was before every call. `fail` may make calls fail. With `pins`, flushes also add
 * and remove these.
 */
function record(
  seed: number,
  rounds: number,
  fail?: (faults: FaultDisk, round: number) => void,
  pins = true,
): Possible[] {
  const random = seededRandom(seed);
  const faults = new FaultDisk(new MemoryDisk());
  const states: Possible[] = [];
  let contents = [empty];
  faults.onCall = (call) => {
    states.push({
      disk: faults.inner.afterKill(),
      contents,
      call: `${call.index} ${call.name} ${call.path}`,
    });
    return undefined;
  };
  let store = FileBlobStore.open({ dir: '/store', disk: faults, create: true });
  const blobs: Record<number, number> = {};
  let kept: NonNullable<Contents['pins']> = {};
  let tag = 0;
  for (let round = 1; round <= rounds; round++) {
    fail?.(faults, round);
    for (let change = 0; change < 3; change++) {
      const id = 1 + Math.floor(random() * 5);
      if (random() < 0.25) {
        store.deleteBlob(id);
        delete blobs[id];
      } else {
        store.writeBlob(id, makeImage(id, ++tag, round));
        blobs[id] = tag;
      }
    }
    const remove = Object.keys(kept)
      .map(Number)
      .filter(() => pins && random() < 0.2);
    const add = pins && random() < 0.5 ? makePin(round, round) : undefined;
    const then = Object.fromEntries(Object.entries(kept).filter(([id]) => !remove.includes(Number(id))));
    if (add !== undefined) then[add.id] = { pin: add, blobs: { ...blobs } };
    const next = withPins({ blobs: { ...blobs }, mark: makeMark(round, [round]) }, then);
    contents = [...contents, next];
    try {
      store.flush(next.mark, { remove, ...(add && { add }) });
      contents = [next];
      kept = then;
    } catch (error) {
      // In doubt: either state may be found, until a later flush returns.
      expect(error).toMatchObject({ code: expect.stringMatching(/ERR_IO|ERR_NO_SPACE/) });
    }
    if (round % 4 === 0 && contents.length === 1) {
      store.close();
      store = FileBlobStore.open({ dir: '/store', disk: faults });
    }
  }
  store.close();
  return states;
}

function withPins(contents: Contents, pins: Contents['pins'] = {}): Contents {
  return Object.keys(pins).length === 0 ? contents : { ...contents, pins };
}

/** Opens, checks, changes, and opens again: the store must work on, not only be readable. */
function check({ contents, call }: Possible, disk: MemoryDisk, how: string): void {
  const seen: string[] = [];
  try {
    const store = FileBlobStore.open({ dir: '/store', disk, create: true });
    const found = contentsOf(store);
    seen.push(JSON.stringify(found));
    expect(contents).toContainEqual(found);
    store.writeBlob(1, makeImage(1, 999_999));
    store.writeBlob(9, makeImage(9, 999_999));
    store.flush(makeMark(77));
    const { blobs, pins } = found;
    const durable = FileBlobStore.open({ dir: '/store', disk: disk.afterPowerCut('drop') });
    const now = { blobs: { ...blobs, 1: 999_999, 9: 999_999 }, mark: makeMark(77) };
    expect(contentsOf(durable)).toEqual(withPins(now, pins));
    // With no pin left, the slots are those of the blobs.
    durable.flush(undefined, { remove: durable.pins.list().map(({ id }) => id) });
    durable.trimSlots(0);
    expect(contentsOf(durable)).toEqual(now);
    expect(durable.pins.countKept().images).toBe(0);
  } catch (error) {
    throw new Error(`before call ${call}, ${how}: found ${seen.join()}`, { cause: error });
  }
}

function checkAll(states: Possible[], seed: number): number {
  let count = 0;
  /** What looks the same to the next process, and may be in the same states, is tried once. */
  const tried = new Set<string>();
  const checkOnce = (state: Possible, disk: MemoryDisk, how: string): void => {
    const sight = `${disk.fingerprint()} ${JSON.stringify(state.contents)}`;
    if (!tried.has(sight)) check(state, disk, how);
    tried.add(sight);
  };
  for (const [index, state] of states.entries()) {
    checkOnce(state, state.disk.afterKill(), 'killed');
    checkOnce(state, state.disk.afterPowerCut('drop'), 'cut, unsynced dropped');
    count += 2;
    for (let cut = 0; cut < RANDOM_CUTS; cut++, count++) {
      const cutSeed = seed * 1_000_003 + index * 101 + cut;
      checkOnce(state, state.disk.afterPowerCut(seededRandom(cutSeed)), `cut with seed ${cutSeed}`);
    }
  }
  return count;
}

describe('FileBlobStore, crashes', () => {
  it.each([1, 2])('at every call of a load, seed %i', (seed) => {
    const states = record(seed, 9);
    expect(checkAll(states, seed)).toBeGreaterThan(500);
  });

  it.each([
    ['fdatasync', /blobs\.dat/, true],
    ['fdatasync', /manifest\.log/, true],
    ['fdatasync', /manifest\.log/, false],
    ['write', /manifest\.log/, false],
  ] as const)('after a failed %s of %s (data lost: %s)', (name, path, lose) => {
    const states = record(3, 6, (faults, round) => {
      if (round !== 3 && round !== 4) return;
      faults.failNth(name, 1, { error: 'EIO', lose }, path);
    });
    checkAll(states, 3);
  });

  it.each(['fsync', 'rename', 'syncDirectory'] as const)(
    'after a failed %s of a snapshot that ends a doubt',
    (name) => {
      const states = record(4, 7, (faults, round) => {
        if (round === 2) faults.failNth('fdatasync', 1, { error: 'EIO', lose: true }, /manifest\.log/);
        if (round === 3)
          faults.failNth(name, 1, { error: 'EIO', lose: name === 'fsync' }, /^\/store(\/manifest.*)?$/);
        if (round === 4)
          faults.failNth(name, 1, { error: 'EIO', done: name !== 'fsync' }, /^\/store(\/manifest.*)?$/);
      });
      checkAll(states, 4);
    },
  );

  it('at every call of a recovery', () => {
    const random = seededRandom(5);
    const states = record(5, 7).filter((_, index) => index % 9 === 0);
    for (const state of states) {
      const cut = state.disk.afterPowerCut(random);
      for (let call = 0; ; call++) {
        const faults = new FaultDisk(cut.afterKill());
        faults.onCall = ({ index }) => (index === call ? { crash: 'before' } : undefined);
        try {
          FileBlobStore.open({ dir: '/store', disk: faults, create: true });
        } catch (error) {
          if (!(error instanceof SimulatedCrash) && !((error as Error).cause instanceof SimulatedCrash))
            throw error;
        }
        if (!faults.crashed) break;
        check(state, faults.inner.afterPowerCut(random), `recovery crashed at call ${call}, cut`);
        check(state, faults.inner.afterKill(), `recovery crashed at call ${call}, killed`);
      }
    }
  });
});
