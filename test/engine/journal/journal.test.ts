import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CHANGING_SEGMENT,
  CHARGED,
  COMMITTING,
  DISCHARGED,
  FILE_OFFSET,
  FLUSH_LOCK,
  PUBLISHED,
  SPACE,
  SYNC_LOCK,
  SYNCED,
  WRITTEN,
} from '../../../engine/journal/shared.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import {
  append,
  appendSamples,
  assertSamples,
  DIRECTORY,
  type Mutation,
  newDisk,
  openJournal,
  put,
  recover,
  SMALL,
  sample,
  segmentPaths,
  thrownCode,
} from './harness.js';

const smallBytes = fc.uint8Array({ maxLength: 120 });
const operation = fc.record({
  kind: fc.constantFrom('put' as const, 'graft' as const),
  first: smallBytes,
  second: smallBytes,
});
const single = fc.record({
  kind: fc.constantFrom('delete' as const, 'deletePrefix' as const),
  first: smallBytes,
  second: fc.constant(new Uint8Array(0)),
});
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  operation,
  single,
  fc.array(fc.oneof(operation, single), { maxLength: 3 }),
);

describe('Journal round trips', () => {
  it('gives back what was appended, whatever was flushed, synced and rotated in between', () => {
    const step = fc.record({
      mutation,
      after: fc.constantFrom('nothing', 'nothing', 'flush', 'sync', 'rotate'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.constantFrom('close', 'kill'), (steps, end) => {
        const disk = newDisk();
        const journal = openJournal(disk);
        steps.forEach((taken, index) => {
          append(journal, index + 1, taken.mutation);
          if (taken.after === 'flush') journal.flush();
          if (taken.after === 'sync') journal.sync();
          if (taken.after === 'rotate') journal.rotate();
        });
        if (end === 'close') journal.close();
        const recovered = recover(disk.afterKill());
        expect(recovered.truncated).toBeUndefined();
        expect([...recovered.mutations.values()]).toEqual(steps.map((taken) => [taken.mutation].flat()));
      }),
      { numRuns: 300 },
    );
  });

  it('keeps LSNs beyond 2^32 and fills a ring to the last byte', () => {
    const disk = newDisk();
    const first = 2 ** 52 + 2 ** 31;
    const journal = openJournal(disk, { nextLsn: first });
    for (let lsn = first; lsn < first + 200; lsn++) append(journal, lsn, put('k', 'v'.repeat(lsn % 977)));
    journal.close();
    expect(recover(disk, { markLsn: first - 1 })).toMatchObject({ lastLsn: first + 199, replayed: 200 });
    expect([disk.openPaths(), disk.mappings]).toEqual([[], 0]);
  });

  it('lets the positions in the ring wrap around', () => {
    for (const start of [2 ** 31 - 1024, -1024]) {
      const disk = newDisk();
      const journal = openJournal(disk);
      // Positions and charges, as after some GiB of records.
      const words = new Int32Array(journal.share().control);
      for (const word of [PUBLISHED, CHARGED, WRITTEN, DISCHARGED, SYNCED]) words[word] = start;
      appendSamples(journal, 1, 100);
      expect(journal.unsyncedBytes()).toBeGreaterThan(journal.unflushedBytes());
      journal.sync();
      expect(journal.unsyncedBytes()).toBe(0);
      journal.close();
      assertSamples(recover(disk));
    }
  });

  it('goes on after recovery in a new segment', () => {
    const disk = newDisk();
    let next = 1;
    for (let round = 0; round < 4; round++) {
      const journal = openJournal(disk, { nextLsn: next });
      appendSamples(journal, next, next + 9);
      if (round % 2 === 0) journal.close();
      else journal.flush();
      next = recover(disk).lastLsn + 1;
      expect(next).toBe((round + 1) * 10 + 1);
    }
    expect(segmentPaths(disk)).toHaveLength(4);
    assertSamples(recover(disk));
  });
});

describe('Journal durability', () => {
  it('survives a kill at every level, at `synced` a power cut', () => {
    for (const durability of ['buffered', 'written', 'synced'] as const) {
      const disk = newDisk();
      const journal = openJournal(disk, { durability });
      appendSamples(journal, 1, 5);
      expect(recover(disk.afterKill())).toMatchObject({
        lastLsn: 5,
        fromRing: durability === 'synced' ? 0 : 5,
      });
      expect(recover(disk.afterPowerCut('drop')).lastLsn).toBe(durability === 'synced' ? 5 : 0);
      expect(journal.publishedLsn()).toBe(5);
      expect(journal.writtenLsn()).toBe(durability === 'synced' ? 5 : 0);
      expect(journal.durableLsn()).toBe(durability === 'synced' ? 5 : 0);
      expect(journal.unflushedBytes() > 0).toBe(durability !== 'synced');
      expect(journal.unsyncedBytes() > 0).toBe(durability !== 'synced');
      journal.sync();
      expect(journal.unsyncedBytes()).toBe(0);
      expect(recover(disk.afterPowerCut('drop')).lastLsn).toBe(5);
      expect(journal.counters()).toMatchObject({ appends: 5, syncs: durability === 'synced' ? 5 : 1 });
    }
  });

  it('changes its level at once; at `synced` what was acknowledged before is durable too', () => {
    const disk = newDisk();
    const journal = openJournal(disk, { durability: 'written' });
    appendSamples(journal, 1, 5);
    expect(journal.durableLsn()).toBe(0);
    journal.setDurability('synced');
    expect([journal.durability, journal.durableLsn()]).toEqual(['synced', 5]);
    expect(recover(disk.afterPowerCut('drop')).lastLsn).toBe(5);
    appendSamples(journal, 6, 7);
    expect(recover(disk.afterPowerCut('drop')).lastLsn).toBe(7);
    expect(journal.counters().syncs).toBe(3);
    journal.setDurability('buffered');
    appendSamples(journal, 8, 9);
    expect([journal.durability, journal.durableLsn(), journal.counters().syncs]).toEqual(['buffered', 7, 3]);
    expect(recover(disk.afterKill()).lastLsn).toBe(9);
  });

  it('is at the level of before where it cannot keep what the new one says', () => {
    const disk = new FaultDisk(newDisk());
    const journal = openJournal(disk, { durability: 'written' });
    appendSamples(journal, 1, 5);
    disk.failNth('fdatasync', 1, { error: 'EIO', lose: true });
    expect(thrownCode(() => journal.setDurability('synced'))).toBe('ERR_JOURNAL_FAILED');
    expect(journal.durability).toBe('written');
    expect(thrownCode(() => journal.setDurability('buffered'))).toBe('ERR_JOURNAL_FAILED');
    expect(journal.durability).toBe('written');
  });

  it('asks nothing of the disk to acknowledge at `written`', () => {
    const disk = new FaultDisk(newDisk());
    const journal = openJournal(disk, { durability: 'written' });
    journal.makeRoom(8);
    const { length } = disk.calls;
    appendSamples(journal, 1, 5);
    expect(disk.calls.slice(length)).toEqual([]);
  });

  it('refuses to wait for what was never appended', () => {
    const journal = openJournal(newDisk());
    appendSamples(journal, 1, 1);
    expect(thrownCode(() => journal.waitSynced(2))).toBe('ERR_INVALID_ARGUMENT');
    expect(thrownCode(() => journal.waitWritten(2))).toBe('ERR_INVALID_ARGUMENT');
  });

  it('refuses a record that can never fit', () => {
    const journal = openJournal(newDisk());
    journal.makeRoom(SMALL.maxBodyBytes);
    expect(journal.reserve(SMALL.maxBodyBytes)).toBe(true);
    expect(journal.reserve(SMALL.maxBodyBytes + 1)).toBe(false);
    expect(thrownCode(() => journal.makeRoom(SMALL.maxBodyBytes + 1))).toBe('ERR_BATCH_TOO_LARGE');
  });

  it('wakes a sleeping maintenance thread once', () => {
    const journal = openJournal(newDisk());
    const { array, index } = journal.activity;
    const before = Atomics.load(array, index);
    appendSamples(journal, 1, 1);
    expect(Atomics.load(array, index)).toBe(before);
    journal.setSleeping(true);
    appendSamples(journal, 2, 3);
    expect(Atomics.load(array, index)).toBe(before + 1);
  });

  it('writes and syncs completely through short writes', () => {
    const disk = new FaultDisk(newDisk());
    const journal = openJournal(disk);
    disk.onCall = (call) => (call.name === 'write' || call.name === 'read' ? { short: 7 } : undefined);
    appendSamples(journal, 1, 30);
    journal.sync();
    const recovered = recover(new FaultDisk(disk.inner.afterPowerCut('drop')));
    expect(recovered.lastLsn).toBe(30);
    assertSamples(recovered);
    disk.onCall = (call) => (call.name === 'read' ? { short: 7 } : undefined);
    assertSamples(recover(disk));
  });

  it('is closed once, with the reserved space given back', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    appendSamples(journal, 1, 3);
    const open = journal.sizeOnDisk();
    journal.close();
    journal.close();
    expect(journal.sizeOnDisk()).toBeLessThan(open);
    expect(journal.reserve(8)).toBe(false);
    expect(thrownCode(() => journal.makeRoom(8))).toBe('ERR_CLOSED');
    expect(thrownCode(() => journal.sync())).toBe('ERR_CLOSED');
    const empty = openJournal(disk, { nextLsn: 4 });
    empty.makeRoom(8);
    empty.close();
    expect(segmentPaths(disk)).toHaveLength(1);
  });
});

describe('Journal segments', () => {
  it('begins a segment when one is full, and on request unless it is empty', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    journal.rotate();
    expect(segmentPaths(disk)).toEqual([]);
    appendSamples(journal, 1, 3);
    journal.rotate();
    journal.rotate();
    expect(segmentPaths(disk)).toEqual(
      ['0000000000000001', '0000000000000004'].map((lsn) => `${DIRECTORY}/journal-${lsn}.wal`),
    );
    expect(journal.durableLsn()).toBe(3);
    appendSamples(journal, 4, 600);
    expect(segmentPaths(disk).length).toBeGreaterThan(3);
    for (const path of segmentPaths(disk))
      expect(disk.readFile(path).length).toBeLessThan(SMALL.segmentBytes * 2);
    journal.close();
    assertSamples(recover(disk));
  });

  it('removes only what the LSN covers, oldest first, and never the current segment', () => {
    const disk = new FaultDisk(newDisk());
    const journal = openJournal(disk);
    for (let round = 0; round < 4; round++) {
      appendSamples(journal, round * 5 + 1, round * 5 + 5);
      if (round < 3) journal.rotate();
    }
    journal.sync();
    journal.removeBefore(9);
    expect(segmentPaths(disk)).toHaveLength(3);
    journal.removeBefore(10);
    expect(segmentPaths(disk)).toHaveLength(2);
    expect(recover(disk.inner.afterPowerCut('drop'), { markLsn: 10 }).lastLsn).toBe(20);
    disk.onCall = () => {
      // At any moment of the removal a power cut leaves the end of the log without a gap.
      for (const survivors of ['drop', 'keep'] as const) {
        expect(recover(disk.inner.afterPowerCut(survivors), { markLsn: 20 }).lastLsn).toBe(20);
      }
      return undefined;
    };
    journal.removeBefore(20);
    expect(segmentPaths(disk)).toHaveLength(1);
    journal.rotate();
    journal.removeBefore(20);
    expect(segmentPaths(disk)).toEqual([`${DIRECTORY}/journal-${(21).toString(16).padStart(16, '0')}.wal`]);
    disk.heal();
    const reopened = recover(disk.inner.afterKill(), { markLsn: 20 });
    expect(reopened).toMatchObject({ lastLsn: 20, replayed: 0 });
  });
});

describe('Journal failures', () => {
  it('meets a full disk before a record, never after, at every allocation', () => {
    for (const code of ['ENOSPC', 'EDQUOT']) {
      for (let nth = 1; nth <= 12; nth++) {
        const disk = new FaultDisk(newDisk());
        const journal = openJournal(disk, { durability: 'written' });
        let seen = 0;
        let failures = 0;
        disk.onCall = (call) =>
          call.name === 'allocate' && ++seen >= nth && seen < nth + 4 ? { error: code } : undefined;
        for (let lsn = 1; lsn <= 400; ) {
          const failure = thrownCode(() => appendSamples(journal, lsn, lsn));
          if (failure === undefined) lsn++;
          else {
            expect(failure).toBe('ERR_NO_SPACE');
            expect(journal.publishedLsn()).toBe(lsn - 1);
            journal.sync();
            failures++;
          }
        }
        expect(failures).toBeGreaterThan(0);
        journal.close();
        const recovered = recover(disk.inner.afterPowerCut('drop'));
        expect(recovered.lastLsn).toBe(400);
        assertSamples(recovered);
      }
    }
  });

  it('works up to the last block of a disk of any size and names the file', () => {
    for (let capacity = 4096; capacity < 200_000; capacity += 8 * 4096) {
      const disk = newDisk();
      const sizes = { ...SMALL, segmentBytes: 65536, reserveBytes: 32768 };
      const journal = openJournal(disk, { durability: 'written', sizes });
      disk.capacityBytes = disk.usedBytes + capacity;
      let lsn = 0;
      const failure = thrownCode(() => {
        for (;;) {
          append(journal, lsn + 1, put('key', 'v'.repeat(700)));
          journal.acknowledge(++lsn);
        }
      });
      expect(failure).toBe('ERR_NO_SPACE');
      expect(() => journal.makeRoom(1000)).toThrow(/journal-[0-9a-f]{16}\.wal/);
      expect(recover(disk.afterKill()).lastLsn).toBe(lsn);
      disk.capacityBytes = Number.POSITIVE_INFINITY;
      append(journal, lsn + 1, put('key', 'value'));
      journal.close();
      expect(recover(disk).lastLsn).toBe(lsn + 1);
    }
  });

  it('goes on after a write for which a disk that never overwrites had no space', () => {
    for (const error of ['ENOSPC', 'EDQUOT']) {
      for (let nth = 1; nth <= 6; nth++) {
        const disk = new FaultDisk(newDisk());
        const journal = openJournal(disk);
        disk.failNth('write', nth, { error }, /journal-/);
        let refused = 0;
        let synced = 0;
        const insist = (lsn: number, run: () => void): void => {
          const code = thrownCode(run);
          if (code === undefined) return;
          expect(code).toBe('ERR_NO_SPACE');
          refused++;
          expect(recover(disk.inner.afterKill()).lastLsn).toBe(lsn);
          expect(recover(disk.inner.afterPowerCut('drop')).lastLsn).toBeGreaterThanOrEqual(synced);
          run();
        };
        for (let lsn = 1; lsn <= 40; lsn++) {
          insist(lsn - 1, () => append(journal, lsn, sample(lsn)));
          if (lsn % 2 !== 0) continue;
          insist(lsn, () => (lsn % 8 === 0 ? journal.rotate() : journal.sync()));
          expect(journal.durableLsn()).toBe(lsn);
          synced = lsn;
        }
        expect(refused).toBe(1);
        journal.close();
        assertSamples(recover(disk.inner.afterPowerCut('drop')));
      }
    }
  });

  it('never takes a failed write or sync for done, and says why on every later call', () => {
    for (const name of ['write', 'fdatasync', 'fsync', 'syncDirectory'] as const) {
      for (let nth = 1; nth <= 6; nth++) {
        const disk = new FaultDisk(newDisk());
        const journal = openJournal(disk);
        disk.failNth(name, nth, { error: 'EIO', lose: true });
        let lsn = 0;
        let synced = 0;
        const failure = thrownCode(() => {
          for (; lsn < 100; ) {
            appendSamples(journal, lsn + 1, lsn + 1);
            lsn++;
            if (lsn % 3 !== 0) continue;
            if (lsn % 9 === 0) journal.rotate();
            else journal.sync();
            synced = lsn;
          }
        });
        expect(failure).toBe('ERR_JOURNAL_FAILED');
        expect(journal.reserve(8)).toBe(false);
        expect(() => journal.makeRoom(8)).toThrow(/EIO/);
        for (const call of [
          () => journal.sync(),
          () => journal.flush(),
          () => journal.rotate(),
          () => journal.waitWritten(1),
          () => journal.waitSynced(1),
          () => journal.removeBefore(1),
          () => journal.close(),
        ]) {
          expect(thrownCode(call)).toBe('ERR_JOURNAL_FAILED');
        }
        expect(disk.inner.openPaths()).toEqual([]);
        const recovered = recover(disk.inner.afterPowerCut('drop'));
        expect(recovered.lastLsn).toBeGreaterThanOrEqual(synced);
        assertSamples(recovered);
      }
    }
  });

  it('lets another thread finish for one that died with the locks', () => {
    const disk = new FaultDisk(newDisk());
    const journal = openJournal(disk);
    appendSamples(journal, 1, 5);
    // Thread 6 (its owner word is 7) dies while it holds both locks and has written nothing.
    const words = new Int32Array(journal.share().control);
    words[FLUSH_LOCK] = 7;
    words[SYNC_LOCK] = 7;
    journal.threadDied(5);
    expect([words[FLUSH_LOCK], words[SYNC_LOCK]]).toEqual([7, 7]);
    journal.threadDied(6);
    journal.sync();
    expect(recover(disk.inner.afterPowerCut('drop')).lastLsn).toBe(5);
  });

  it('finishes a flush whose thread died between the write and the note of it', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    appendSamples(journal, 1, 5);
    const words = new Int32Array(journal.share().control);
    const before = words.slice();
    journal.flush();
    for (const word of [WRITTEN, DISCHARGED, SPACE, FILE_OFFSET]) words[word] = before[word]!;
    words[COMMITTING] = 1;
    words[FLUSH_LOCK] = 7;
    journal.threadDied(6);
    appendSamples(journal, 6, 9);
    journal.close();
    const recovered = recover(disk);
    expect(recovered.lastLsn).toBe(9);
    assertSamples(recovered);
  });

  it('fails for good when a thread died while it began a segment', () => {
    const disk = newDisk();
    const journal = openJournal(disk, { durability: 'synced' });
    appendSamples(journal, 1, 5);
    const words = new Int32Array(journal.share().control);
    words[FLUSH_LOCK] = 7;
    words[SYNC_LOCK] = 7;
    words[CHANGING_SEGMENT] = 1;
    journal.threadDied(6);
    expect(() => journal.sync()).toThrow(/thread died/);
    expect(recover(disk.afterPowerCut('drop')).lastLsn).toBe(5);
  });
});
