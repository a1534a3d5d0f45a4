/**
 * A full disk is no trap. On a seeded disk of a few megabytes that others fill, too: whatever was done before, what is
 * there can be removed, a checkpoint succeeds, the store closes and opens again, also after a kill, and in the end the
 * space comes back.
 */
import { describe, expect, it } from 'vitest';
import { BatchEncoder } from '../../../../engine/journal/records/batch-encoder.js';
import type { JournalSizes } from '../../../../engine/journal/sizes.js';
import { BLOB_SIZE, MIN_CACHE_BYTES } from '../../../../engine/limits.js';
import type { FileBlobStore } from '../../../../engine/store/file/file-blob-store.js';
import { openState, settingsOf } from '../../../../engine/tree/open.js';
import { keptFree } from '../../../../engine/tree/state/free-slots.js';
import type { TreeState } from '../../../../engine/tree/state/state.js';
import { treeStats } from '../../../../engine/tree/stats.js';
import { inlineMaintenance, satisfy } from '../../../../engine/tree/upkeep/maintenance.js';
import { Round } from '../../../../engine/tree/upkeep/round.js';
import { Space } from '../../../../engine/tree/upkeep/space.js';
import type { NetChange } from '../../../../engine/tree/write/changes.js';
import { ANY_VERSION } from '../../../../engine/tree/write/mutation.js';
import { Writer } from '../../../../engine/tree/write/writer.js';
import { FaultDisk } from '../../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../../support/disk/memory-disk.js';
import { seededRandom } from '../../../support/disk/random.js';

const MIB = 1024 * 1024;
/** A small journal: looking at its ring is what costs most on this disk. */
const SIZES: JournalSizes = {
  ringBytes: 128 * 1024,
  maxBodyBytes: 64 * 1024,
  segmentBytes: 2 * MIB,
  reserveBytes: 256 * 1024,
  firstBytes: 32 * 1024,
};

/** A tree on the disk, and what it should hold. */
class Site {
  disk: MemoryDisk;
  readonly model = new Map<string, number>();
  #state!: TreeState;
  #round!: Round;
  #space!: Space;
  #writer!: Writer;
  readonly #encoder = new BatchEncoder();

  constructor(capacityBytes: number) {
    this.disk = new MemoryDisk({ capacityBytes });
    this.open();
  }

  open(): void {
    const settings = settingsOf({ dir: '/store', cacheBytes: MIN_CACHE_BYTES, durability: 'buffered' });
    const { state } = openState(settings, { disk: this.disk, journalSizes: SIZES });
    this.#state = state;
    this.#round = new Round(state);
    this.#space = new Space(state, (shortage) => this.#round.run(undefined, shortage));
    const inline = inlineMaintenance(state, this.#round);
    this.#writer = new Writer(state, (need, wanted) => satisfy(state, inline, need, wanted));
  }

  get state(): TreeState {
    return this.#state;
  }

  /** Whether there was space for it. */
  put(key: string, size: number): boolean {
    try {
      this.#writer.write(Buffer.from(key), Buffer.alloc(size, size), ANY_VERSION);
      this.model.set(key, size);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_NO_SPACE' });
      return false;
    }
  }

  remove(key: string): void {
    expect(this.#writer.remove(Buffer.from(key), ANY_VERSION)).toBe(true);
    this.model.delete(key);
  }

  /** Removes some keys, and puts a little one, as one change. */
  removeAtOnce(keys: readonly string[], note: string): void {
    const changes: NetChange[] = keys.map((key) => ({ key: Buffer.from(key), value: undefined }));
    changes.push({ key: Buffer.from(note), value: Buffer.alloc(8, 8) });
    const done = this.#writer.batch(
      () => changes,
      () => {
        this.#encoder.reset();
        for (const { key, value } of changes) {
          if (value === undefined) this.#encoder.delete(key);
          else this.#encoder.put(key, value);
        }
        return { body: this.#encoder.body(), length: this.#encoder.length };
      },
      true,
    );
    expect(done).toBe(true);
    for (const key of keys) this.model.delete(key);
    this.model.set(note, 8);
  }

  checkpoint(): void {
    this.#round.run();
  }

  tend(): void {
    this.#space.tend();
  }

  close(): void {
    this.#round.run();
    this.#state.journal?.close(this.#state.lsn());
    (this.#state.store as FileBlobStore).close();
    expect(this.disk.openPaths()).toEqual([]);
  }

  kill(): void {
    this.disk = this.disk.afterKill();
  }

  /** Others take all that the disk has left, or give it back. */
  fill(): void {
    const fd = this.disk.open('/others', { write: true, create: true });
    this.disk.allocate(fd, this.disk.size(fd), this.disk.freeBytes());
    this.disk.close(fd);
  }

  empty(): void {
    const fd = this.disk.open('/others', { write: true, create: true });
    this.disk.truncate(fd, 0);
    this.disk.close(fd);
  }

  compare(): void {
    this.#writer.locked(() => {
      const everything = Buffer.alloc(0);
      const scans = this.#writer.waits?.scanner;
      const found = scans?.count({ key: everything, inclusive: true }, Number.POSITIVE_INFINITY, everything);
      expect(found?.keys).toBe(this.model.size);
      for (const [key, size] of this.model) {
        expect(this.#writer.value(Buffer.from(key))?.length, key).toBe(size);
      }
    });
  }

  removeAll(): void {
    for (const key of [...this.model.keys()]) this.remove(key);
  }
}

describe('a full disk', () => {
  it('that was filled with names is emptied again, also after a remount and after a kill', () => {
    for (const way of ['go on', 'remount', 'kill'] as const) {
      const site = new Site(16 * MIB);
      for (let i = 0; site.put(`name-${(i * 7919) % 100_003}`, 1200); i++);
      expect(site.model.size).toBeGreaterThan(3000);
      site.fill();
      expect(treeStats(site.state).space.exhausted).toBe(true);
      if (way === 'remount') site.close();
      if (way === 'kill') site.kill();
      if (way !== 'go on') site.open();
      site.fill();
      site.compare();
      site.removeAll();
      site.checkpoint();
      site.close();
      expect(site.disk.freeBytes(), way).toBeGreaterThan(8 * MIB);
    }
  });

  it('refuses what adds before it touches the reserve, and takes it again when there is space', () => {
    const site = new Site(16 * MIB);
    for (let i = 0; site.put(`key-${i}`, 4000); i++);
    expect(site.state.freeSlots).toBeGreaterThanOrEqual(keptFree(site.state.blobCount));
    expect(site.put('another', 60_000)).toBe(false);
    site.put('key-0', 3000);
    expect(site.model.get('key-0')).toBe(3000);
    for (const key of [...site.model.keys()].slice(0, -100)) site.remove(key);
    site.checkpoint();
    site.tend();
    expect(treeStats(site.state).space.exhausted).toBe(false);
    expect(site.put('another', 60_000)).toBe(true);
    site.compare();
  });

  it('removes at once what is in more blobs than are kept slots', () => {
    const site = new Site(32 * MIB);
    for (let i = 0; site.put(`big/${String(i).padStart(4, '0')}`, 50_000); i++);
    site.fill();
    const keys = [...site.model.keys()].slice(1, -1);
    // Their blobs leave the tree as a whole, so they need no slots.
    site.removeAtOnce(keys.slice(0, 24), 'note');
    site.checkpoint();
    site.compare();
    site.removeAll();
  });

  it('with any sequence of operations, kills and remounts: removals, checkpoints and openings succeed', () => {
    for (let seed = +(process.env.SEED ?? 1); seed <= +(process.env.LAST ?? 12); seed++) {
      const random = seededRandom(seed);
      const pick = (below: number): number => Math.floor(random() * below);
      if (process.env.SEED) console.log('seed', seed);
      const site = new Site((10 + pick(14)) * MIB);
      const key = (): string => `d${pick(12)}/${pick(900)}`;
      for (let step = 0; step < 300; step++) {
        const roll = random();
        const keys = [...site.model.keys()];
        const some = (): string => keys[pick(keys.length)] as string;
        if (roll < 0.6)
          for (let i = 0; i < 8; i++) site.put(key(), random() < 0.1 ? pick(30_000) : pick(1500));
        else if (roll < 0.75 && keys.length > 0) site.remove(some());
        else if (roll < 0.86 && keys.length > 10) {
          site.removeAtOnce([...new Set([some(), some(), some()])], `note-${pick(30)}`);
        } else if (roll < 0.88) for (const each of keys.slice(0, pick(keys.length))) site.remove(each);
        else if (roll < 0.92) site.checkpoint();
        else if (roll < 0.94) site.fill();
        else if (roll < 0.96) site.empty();
        else if (roll < 0.98) site.tend();
        else {
          if (random() < 0.5) site.kill();
          else site.close();
          if (random() < 0.5) site.fill();
          site.open();
          site.compare();
        }
      }
      site.fill();
      site.removeAll();
      site.checkpoint();
      site.kill();
      site.fill();
      site.open();
      site.compare();
      site.empty();
      site.put('last', 1);
      site.close();
      expect(site.disk.usedBytes, `seed ${seed}`).toBeLessThan(24 * BLOB_SIZE);
    }
  });

  it('too small for a store is left as it was, and wherever space ends on the way the next attempt succeeds', () => {
    const disk = new MemoryDisk({ capacityBytes: 2 * MIB });
    const settings = settingsOf({ dir: '/store', cacheBytes: MIN_CACHE_BYTES });
    const message = /Cannot make the store \/store: the disk is full \(needs \d+ bytes, has 2097152\)/;
    expect(() => openState(settings, { disk, journalSizes: SIZES })).toThrow(message);
    expect(disk.list('/')).toEqual([]);
    for (const code of ['ENOSPC', 'EDQUOT']) {
      for (const name of ['allocate', 'write'] as const) {
        for (let nth = 1; ; nth++) {
          const faults = new FaultDisk(new MemoryDisk());
          faults.failNth(name, nth, { error: code });
          let failed = false;
          try {
            openState(settings, { disk: faults, journalSizes: SIZES });
          } catch (error) {
            expect(error).toMatchObject({ code: 'ERR_NO_SPACE' });
            failed = true;
          }
          if (!failed && faults.calls.filter((call) => call.name === name).length < nth) break;
          const { state } = openState(settings, { disk: faults.inner.afterKill(), journalSizes: SIZES });
          expect(state.lsn()).toBe(0);
        }
      }
    }
  });
});
