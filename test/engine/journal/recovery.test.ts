import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { recoverJournal } from '../../../engine/journal/recovery.js';
import { runPath } from '../../../engine/journal/run/run-file.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import {
  append,
  appendSamples,
  assertSamples,
  DIRECTORY,
  newDisk,
  openJournal,
  put,
  recover,
  segmentPaths,
  thrownCode,
  UUID,
} from './harness.js';

/** A killed process's journal: two segments; the records up to `durable` are known as durable by the files alone. */
function killedJournal(): { disk: MemoryDisk; last: number; durable: number } {
  const disk = newDisk();
  const journal = openJournal(disk);
  appendSamples(journal, 1, 4);
  journal.rotate();
  appendSamples(journal, 5, 8);
  journal.sync();
  appendSamples(journal, 9, 10);
  journal.flush();
  appendSamples(journal, 11, 12);
  journal.flush();
  return { disk: disk.afterKill(), last: 12, durable: 8 };
}

/** All files of a disk's store, to see whether any changed. */
function contents(disk: MemoryDisk): Map<string, string> {
  return new Map(segmentPaths(disk).map((path) => [path, Buffer.from(disk.readFile(path)).toString('hex')]));
}

/** The same without what the run noted of itself, as version 0.1.0 left it: then only the journal's own files tell. */
function killedWithoutRun(): ReturnType<typeof killedJournal> {
  const killed = killedJournal();
  killed.disk.unlink(runPath(DIRECTORY));
  return killed;
}

/** A durable copy of `disk` with one file's bytes replaced. */
function withFile(disk: MemoryDisk, path: string, bytes: Uint8Array): MemoryDisk {
  const copy = disk.afterPowerCut('keep');
  copy.writeFile(path, bytes);
  return copy;
}

describe('Recovery from damage', () => {
  it('opens after a cut at any byte with every record before the cut', () => {
    const { disk, last } = killedWithoutRun();
    const path = segmentPaths(disk).at(-1)!;
    const whole = disk.readFile(path);
    const lengths: number[] = [];
    const used = whole.findLastIndex((byte) => byte !== 0) + 64;
    for (let length = 0; length <= used; length++) {
      const cut = withFile(disk, path, whole.subarray(0, length));
      const recovered = recover(cut);
      assertSamples(recovered);
      expect(recovered.lastLsn).toBeGreaterThanOrEqual(lengths.at(-1) ?? 4);
      lengths.push(recovered.lastLsn);
      const again = recover(cut);
      expect([again.lastLsn, again.truncated]).toEqual([recovered.lastLsn, undefined]);
    }
    expect([...new Set(lengths)]).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(lengths.at(-1)).toBe(last);
  });

  it('detects every flipped bit or is not harmed by it, and then changes no file', () => {
    const { disk, last, durable } = killedJournal();
    let refused = 0;
    for (const path of segmentPaths(disk)) {
      const bytes = disk.readFile(path);
      // Of the reserved zeros behind the log, some are enough.
      const length = Math.min(bytes.length, bytes.findLastIndex((byte) => byte !== 0) + 64);
      for (let bit = 0; bit < length * 8; bit++) {
        const flipped = bytes.slice();
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        const damaged = withFile(disk, path, flipped);
        const before = contents(damaged);
        const code = thrownCode(() => {
          const recovered = recover(damaged);
          assertSamples(recovered);
          expect(recovered.lastLsn).toBeGreaterThanOrEqual(durable);
          expect(recovered.lastLsn).toBeLessThanOrEqual(last);
        });
        if (code === undefined) continue;
        expect(code).toBe('ERR_JOURNAL_CORRUPT');
        expect(contents(damaged)).toEqual(before);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });

  it('loses nothing to a flipped bit after a clean end: refuses, or has every record', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    appendSamples(journal, 1, 6);
    journal.close();
    const path = segmentPaths(disk)[0]!;
    const bytes = disk.readFile(path);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      const code = thrownCode(() => {
        const recovered = recover(withFile(disk, path, flipped));
        assertSamples(recovered);
        expect(recovered.lastLsn).toBe(6);
      });
      expect([undefined, 'ERR_JOURNAL_CORRUPT']).toContain(code);
    }
  });

  it('names file and offset of a record that is missing although it was durable', () => {
    const { disk } = killedJournal();
    const [first, second] = segmentPaths(disk) as [string, string];
    const short = withFile(disk, first, disk.readFile(first).subarray(0, 130));
    expect(() => recover(short)).toThrow(/journal-0000000000000001\.wal at offset \d+: record \d+/);
    const gone = disk.afterPowerCut('keep');
    gone.unlink(first);
    expect(thrownCode(() => recover(gone))).toBe('ERR_JOURNAL_CORRUPT');
    expect(recover(gone, { markLsn: 4 }).lastLsn).toBe(12);
    expect(() => recover(withFile(disk, second, new Uint8Array(0)), { markLsn: 6 })).toThrow(/record 5/);
  });

  it('refuses segments of another store, another version, another name', () => {
    const { disk } = killedJournal();
    const [first, second] = segmentPaths(disk) as [string, string];
    const renamed = disk.afterPowerCut('keep');
    renamed.rename(second, `${DIRECTORY}/journal-0000000000000006.wal`);
    expect(() => recover(renamed)).toThrow(/unlike its name/);
    const newer = disk.readFile(second);
    newer[4] = 3;
    new DataView(newer.buffer).setUint32(60, crc32(newer.subarray(0, 60)), true);
    expect(thrownCode(() => recover(withFile(disk, second, newer)))).toBe('ERR_FORMAT_VERSION');
    const otherUuid = Uint8Array.from(UUID, (byte) => byte ^ 1);
    const options = {
      disk,
      directory: DIRECTORY,
      hasRun: false,
      markLsn: 0,
      readOnly: true,
      apply: () => {},
    };
    expect(() => recoverJournal({ ...options, uuid: otherUuid })).toThrow(/another store/);
    const foreign = newDisk();
    foreign.writeFile(first, disk.readFile(second));
    expect(thrownCode(() => recover(foreign))).toBe('ERR_JOURNAL_CORRUPT');
  });
});

describe('Recovery with a checkpoint', () => {
  it('skips what the checkpoint covers and refuses a log that ends before it', () => {
    const { disk, last } = killedJournal();
    for (let markLsn = 0; markLsn <= last; markLsn++) {
      const recovered = recover(disk.afterKill(), { markLsn });
      expect(recovered).toMatchObject({ lastLsn: last, replayed: last - markLsn });
      assertSamples(recovered, markLsn);
    }
    expect(thrownCode(() => recover(disk, { markLsn: last + 1 }))).toBe('ERR_JOURNAL_CORRUPT');
    expect(recover(newDisk(), { markLsn: 77 })).toMatchObject({ lastLsn: 77, replayed: 0 });
  });

  it('changes nothing when read-only', () => {
    const { disk } = killedWithoutRun();
    const path = segmentPaths(disk)[1]!;
    const torn = withFile(disk, path, disk.readFile(path).subarray(0, 300));
    const before = contents(torn);
    const recovered = recover(torn, { readOnly: true });
    expect(recovered.truncated?.file).toBe(path);
    expect(contents(torn)).toEqual(before);
    expect(recover(torn).truncated).toEqual(recovered.truncated);
  });

  it('passes on what apply throws, with the files repaired already', () => {
    const { disk } = killedJournal();
    const apply = (): void => {
      throw new RangeError('no more');
    };
    const copy = disk.afterKill();
    const options = {
      disk: copy,
      directory: DIRECTORY,
      uuid: UUID,
      hasRun: true,
      markLsn: 0,
      readOnly: false,
      apply,
    };
    expect(() => recoverJournal(options)).toThrow(RangeError);
    expect(copy.openPaths()).toEqual([]);
    expect(recover(copy.afterPowerCut('drop')).lastLsn).toBe(12);
  });
});

describe('Recovery after a power cut', () => {
  it('opens where a later group was kept and an earlier one lost', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    appendSamples(journal, 1, 3);
    journal.sync();
    const path = segmentPaths(disk)[0]!;
    const durable = disk.readFile(path);
    appendSamples(journal, 4, 5);
    journal.flush();
    const middle = disk.readFile(path);
    appendSamples(journal, 6, 7);
    journal.flush();
    const state = disk.readFile(path);
    // Bytes that changed between the first two states are lost.
    for (let at = 0; at < middle.length; at++) if (middle[at] !== durable[at]) state[at] = durable[at]!;
    const cut = withFile(disk, path, state);
    const recovered = recover(cut);
    expect(recovered.lastLsn).toBe(3);
    expect(recovered.truncated?.file).toBe(path);
    const next = openJournal(cut, { nextLsn: 4 });
    appendSamples(next, 4, 9);
    next.close();
    assertSamples(recover(cut));
  });

  it('finds a prefix with all that was durable in any state, at any system call', () => {
    let states = 0;
    for (let seed = 1; seed <= 12; seed++) {
      const random = seededRandom(seed);
      const disk = new FaultDisk(newDisk());
      const journal = openJournal(disk);
      let lsn = 0;
      const check = (): void => {
        const durable = journal.durableLsn();
        for (let cut = 0; cut < 6; cut++) {
          const state = disk.inner.afterPowerCut(cut === 0 ? 'drop' : cut === 1 ? 'keep' : random);
          const recovered = recover(state);
          assertSamples(recovered);
          if (recovered.lastLsn < durable || recovered.lastLsn > lsn) throw new Error(`seed ${seed}`);
          states++;
        }
      };
      disk.onCall = (call) => {
        if (call.name !== 'list') check();
        return undefined;
      };
      while (lsn < 120) {
        appendSamples(journal, lsn + 1, ++lsn);
        const dice = random();
        if (dice < 0.3) journal.flush();
        else if (dice < 0.4) journal.sync();
        else if (dice < 0.45) journal.rotate();
      }
      journal.close();
      check();
    }
    expect(states).toBeGreaterThan(5000);
  });

  it('reaches the same end after a crash at any call of itself, killed or powered off', () => {
    const random = seededRandom(99);
    let crashes = 0;
    for (let seed = 0; seed < 40; seed++) {
      const source = newDisk();
      const journal = openJournal(source);
      appendSamples(journal, 1, 20);
      journal.sync();
      appendSamples(journal, 21, 24);
      journal.flush();
      appendSamples(journal, 25, 28);
      journal.flush();
      const start = source.afterPowerCut(random);
      // A segment that never got its header.
      start.writeFile(`${DIRECTORY}/journal-0000000000000040.wal`, new Uint8Array(seed % 2 ? 100 : 0));
      const wanted = recover(start.afterPowerCut('keep')).lastLsn;
      expect(wanted).toBeGreaterThanOrEqual(20);
      for (let at = 0; ; at++) {
        const dying = new FaultDisk(start.afterPowerCut('keep'));
        dying.onCall = (call) => (call.index === at ? { crash: seed % 2 ? 'before' : 'after' } : undefined);
        try {
          recover(dying);
          break;
        } catch (error) {
          if (!dying.crashed) throw error;
        }
        crashes++;
        expect(recover(dying.inner.afterKill()).lastLsn).toBe(wanted);
        for (const survivors of ['drop', random, random] as const) {
          expect(recover(dying.inner.afterPowerCut(survivors)).lastLsn).toBe(wanted);
        }
      }
    }
    expect(crashes).toBeGreaterThan(300);
  });

  it('makes durable what a sync that failed has left in memory only, though later syncs succeed', () => {
    for (const durable of [0, 3]) {
      const disk = new FaultDisk(newDisk());
      const journal = openJournal(disk);
      if (durable > 0) appendSamples(journal, 1, durable);
      if (durable > 0) journal.sync();
      appendSamples(journal, durable + 1, durable + 4);
      disk.failNth('fdatasync', 1, { error: 'EIO', lose: true });
      expect(thrownCode(() => journal.sync())).toBe('ERR_JOURNAL_FAILED');
      const left = disk.inner.afterKill();
      expect(recover(left).lastLsn).toBe(durable + 4);
      const { lastLsn, previousEnd } = recover(left);
      openJournal(left, { nextLsn: lastLsn + 1, previousEnd });
      const recovered = recover(left.afterPowerCut('drop'));
      expect(recovered.lastLsn).toBe(durable + 4);
      assertSamples(recovered);
    }
  });

  it('reports a disk that cannot be read or repaired', () => {
    const { disk } = killedJournal();
    for (const name of ['read', 'fsync', 'open', 'size'] as const) {
      const bad = new FaultDisk(disk.afterKill());
      bad.failNth(name, 1, { error: 'EIO' });
      expect(thrownCode(() => recover(bad))).toBe('ERR_IO');
      expect(bad.inner.openPaths()).toEqual([]);
      expect(recover(bad).lastLsn).toBe(12);
    }
  });
});

describe('Recovery of large records', () => {
  it('reads records and segments larger than its window', () => {
    const disk = newDisk();
    const sizes = {
      ringBytes: 8 << 20,
      maxBodyBytes: 4 << 20,
      segmentBytes: 32 << 20,
      reserveBytes: 8 << 20,
    };
    const journal = openJournal(disk, { sizes });
    for (let lsn = 1; lsn <= 9; lsn++) append(journal, lsn, put('k', String(lsn).repeat(3_000_000)));
    journal.close();
    const recovered = recover(disk);
    for (let lsn = 1; lsn <= 9; lsn++) {
      const value = recovered.mutations.get(lsn)![0]!.second;
      expect(value.length).toBe(3_000_000);
      expect(value.every((byte) => byte === 48 + lsn)).toBe(true);
    }
  });
});
