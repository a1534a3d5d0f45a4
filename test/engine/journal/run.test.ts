/** What the record of the last run tells of how it ended, whatever it was that ended it. */
import { describe, expect, it } from 'vitest';
import { ringPath } from '../../../engine/journal/ring/ring-file.js';
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
  recover,
  sample,
  segmentPaths,
  thrownCode,
} from './harness.js';

const RUN = runPath(DIRECTORY);
const RING = ringPath(DIRECTORY);

/** Recovers, and opens the journal on top. */
function reopen(disk: MemoryDisk | FaultDisk) {
  const { lastLsn, previousEnd } = recover(disk);
  return { lastLsn, previousEnd, journal: openJournal(disk, { nextLsn: lastLsn + 1, previousEnd }) };
}

function endOf(disk: MemoryDisk): string {
  return recover(disk, { readOnly: true }).previousEnd;
}

/** A disk whose journal has five records, and was killed. */
function killed(): MemoryDisk {
  const disk = newDisk();
  appendSamples(reopen(disk).journal, 1, 5);
  return disk.afterKill();
}

describe('How a run ended', () => {
  it('is told by the next one', () => {
    let disk = newDisk();
    let { previousEnd, journal } = reopen(disk);
    expect(previousEnd).toBe('none');
    appendSamples(journal, 1, 3);
    journal.close();
    ({ previousEnd, journal } = reopen(disk));
    expect(previousEnd).toBe('closed');
    appendSamples(journal, 4, 5);
    disk = disk.afterKill();
    ({ previousEnd, journal } = reopen(disk));
    expect(previousEnd).toBe('killed');
    appendSamples(journal, 6, 7);
    disk = disk.afterPowerCut('drop');
    ({ previousEnd, journal } = reopen(disk));
    expect(previousEnd).toBe('power-cut');
    journal.close();
    expect(endOf(disk)).toBe('closed');
  });

  it('is a power cut on another filesystem, or where it was mounted anew', () => {
    for (const where of ['device', 'mount'] as const) {
      const disk = killed();
      disk.volume[where]++;
      expect(endOf(disk)).toBe('power-cut');
    }
  });

  it('is a power cut where the system does not tell its runs apart', () => {
    const disk = newDisk();
    disk.volume.boot = 0;
    appendSamples(reopen(disk).journal, 1, 5);
    expect(endOf(disk.afterKill())).toBe('power-cut');
  });

  it('is still a power cut where the next run was killed before it wrote anything', () => {
    let disk = killed().afterPowerCut('keep');
    for (let i = 0; i < 3; i++) {
      const { previousEnd } = reopen(disk);
      expect(previousEnd).toBe('power-cut');
      disk = disk.afterKill();
    }
    const { journal, lastLsn } = reopen(disk);
    appendSamples(journal, lastLsn + 1, lastLsn + 1);
    expect(endOf(disk.afterKill())).toBe('killed');
  });

  it('is not changed by who only reads', () => {
    const disk = killed();
    const before = disk.readFile(RUN);
    for (let i = 0; i < 2; i++) expect(endOf(disk)).toBe('killed');
    expect(disk.readFile(RUN)).toEqual(before);
  });

  it('is known of a store that has no record', () => {
    const disk = killed();
    disk.unlink(RUN);
    expect(endOf(disk)).toBe('power-cut');
    const closed = newDisk();
    const { journal } = reopen(closed);
    appendSamples(journal, 1, 3);
    journal.close();
    closed.unlink(RUN);
    expect(endOf(closed)).toBe('closed');
  });

  it('is known wherever the process is killed or the power fails', () => {
    let states = 0;
    for (let seed = 1; seed <= 3; seed++) {
      const random = seededRandom(seed);
      let allowed: string[] = ['none'];
      let atLeast = 0;
      const disk = new FaultDisk(newDisk());
      disk.onCall = () => {
        states++;
        const kill = disk.inner.afterKill();
        const after = recover(kill, { readOnly: true });
        expect(allowed).toContain(after.previousEnd);
        expect(after.lastLsn).toBeGreaterThanOrEqual(atLeast);
        const cut = disk.inner.afterPowerCut(random);
        const then = recover(cut);
        assertSamples(then);
        expect([...allowed.filter((end) => end !== 'killed'), 'power-cut']).toContain(then.previousEnd);
        return undefined;
      };
      for (let opening = 0; opening < 4; opening++) {
        const before = allowed;
        allowed = [...before, 'killed'];
        const { journal, lastLsn } = reopen(disk);
        allowed = ['killed'];
        appendSamples(journal, lastLsn + 1, lastLsn + 20);
        atLeast = lastLsn + 20;
        allowed = ['killed', 'closed'];
        journal.close();
        allowed = ['closed'];
      }
    }
    expect(states).toBeGreaterThan(500);
  });
});

/** What a killed process leaves: records 1 to 4 in a segment of an earlier run, 5 to 9 in one of its own, 10 to 14 in the ring. */
function longKilled(): MemoryDisk {
  const disk = newDisk();
  const first = reopen(disk).journal;
  appendSamples(first, 1, 4);
  first.close();
  const { journal } = reopen(disk);
  appendSamples(journal, 5, 7);
  journal.sync();
  appendSamples(journal, 8, 9);
  journal.flush();
  appendSamples(journal, 10, 14);
  return disk.afterKill();
}

const LAST = 14;
const DURABLE = 7;

function allFiles(disk: MemoryDisk): string[] {
  return disk
    .list(DIRECTORY)
    .sort()
    .map((name) => `${name} ${Buffer.from(disk.readFile(`${DIRECTORY}/${name}`)).toString('base64')}`);
}

/** The message with which the journal is refused, by readers and writers alike, without any change. */
function refusal(disk: MemoryDisk, options: { markLsn?: number } = {}): string {
  const before = allFiles(disk);
  const messages = [true, false].map((readOnly) => {
    try {
      recover(disk, { hasRun: true, readOnly, ...options });
    } catch (error) {
      expect((error as { code?: string }).code).toBe('ERR_JOURNAL_CORRUPT');
      return (error as Error).message;
    }
    throw new Error('It was not refused');
  });
  expect(messages[0]).toBe(messages[1]);
  expect(allFiles(disk)).toEqual(before);
  return messages[0]!;
}

/** Recovers, or tells that it was refused as damaged. */
function attempt(disk: MemoryDisk): number | 'refused' {
  let lastLsn = -1;
  const code = thrownCode(() => {
    const recovered = recover(disk, { hasRun: true });
    assertSamples(recovered);
    ({ lastLsn } = recovered);
  });
  if (code === undefined) return lastLsn;
  expect(code).toBe('ERR_JOURNAL_CORRUPT');
  return 'refused';
}

describe('After a kill, what is missing of the journal is damage', () => {
  it('and nothing is missing if nobody took it', () => {
    expect(attempt(longKilled())).toBe(LAST);
  });

  it('whichever file was removed, and it is named', () => {
    const [early, late] = segmentPaths(longKilled()) as [string, string];
    for (const path of [early, late, RING, RUN]) {
      const disk = longKilled();
      disk.unlink(path);
      const message = refusal(disk);
      if (path !== early) expect(message).toContain(`${path} at offset 0`);
    }
    const bare = longKilled();
    for (const path of [early, late, RING]) bare.unlink(path);
    expect(refusal(bare)).toContain(RING);
    // What the checkpoint covers is not needed.
    const covered = longKilled();
    for (const path of [early, late]) covered.unlink(path);
    expect(refusal(covered, { markLsn: 8 })).toContain(`${late} at offset 0: record 9 `);
    expect(recover(covered, { hasRun: true, markLsn: 9 }).lastLsn).toBe(LAST);
  });

  it('and so is what is missing after the loss of all files but the manifest', () => {
    const disk = longKilled();
    for (const name of disk.list(DIRECTORY)) disk.unlink(`${DIRECTORY}/${name}`);
    expect(refusal(disk)).toContain(`${RUN} at offset 0: the file is missing`);
    disk.writeFile(RUN, new Uint8Array(0));
    expect(refusal(disk)).toContain('the file is empty');
    disk.writeFile(RUN, new Uint8Array(8192).fill(7));
    expect(refusal(disk)).toContain('neither of its two records is whole');
  });

  it('wherever a segment was cut', () => {
    const whole = longKilled();
    const path = segmentPaths(whole).at(-1)!;
    const bytes = whole.readFile(path);
    const used = bytes.findLastIndex((byte) => byte !== 0) + 1;
    for (let length = 0; length <= used + 64; length += length < used - 8 ? 5 : 1) {
      const cut = whole.afterKill();
      cut.writeFile(path, bytes.subarray(0, length));
      const outcome = attempt(cut);
      // The last record's padding may be among the zeros behind it.
      if (length < used - 8) expect(outcome).toBe('refused');
      if (length >= used + 8) expect(outcome).toBe(LAST);
    }
  });

  it('whichever bit of the ring or a segment was flipped, or it does no harm', () => {
    const whole = longKilled();
    let refused = 0;
    for (const path of [...segmentPaths(whole), RING]) {
      const bytes = whole.readFile(path);
      const used = Math.min(bytes.length, bytes.findLastIndex((byte) => byte !== 0) + 16);
      for (let at = 0; at < used; at++) {
        if (bytes[at] === 0 && at % 16 !== 0) continue;
        const flipped = bytes.slice();
        flipped[at]! ^= 1 << (at & 7);
        const damaged = whole.afterKill();
        damaged.writeFile(path, flipped);
        const outcome = attempt(damaged);
        if (outcome === 'refused') refused++;
        else expect(outcome).toBe(LAST);
      }
    }
    expect(refused).toBeGreaterThan(300);
  });

  it('and its place is told, and how far the journal must reach', () => {
    const disk = longKilled();
    const ring = disk.readFile(RING);
    const place = Buffer.from(ring).indexOf('key-13') - 32;
    ring[place + 33]! ^= 1;
    disk.writeFile(RING, ring);
    const message = refusal(disk);
    expect(message).toContain(`${RING} at offset ${place}: record 13 is damaged or missing`);
    expect(message).toContain('the process had appended up to record 14');
  });

  it('also after a clean end, at whatever time', () => {
    const disk = newDisk();
    const { journal } = reopen(disk);
    appendSamples(journal, 1, 6);
    journal.close();
    for (const later of [disk.afterKill(), disk.afterPowerCut('drop')]) {
      expect(attempt(later)).toBe(6);
      later.unlink(segmentPaths(later)[0]!);
      expect(refusal(later)).toContain('the store was closed with record 6');
    }
  });

  it('also where the next opening was killed before it was done', () => {
    const disk = new FaultDisk(longKilled());
    const states: MemoryDisk[] = [];
    disk.onCall = () => {
      states.push(disk.inner.afterKill());
      return undefined;
    };
    const { lastLsn, previousEnd } = recover(disk, { hasRun: true });
    openJournal(disk, { nextLsn: lastLsn + 1, previousEnd });
    expect(states.length).toBeGreaterThan(30);
    for (const state of states) {
      expect(attempt(state.afterKill())).toBe(LAST);
      state.unlink(segmentPaths(state)[1]!);
      expect(attempt(state)).toBe('refused');
    }
  });
});

describe('After a power cut', () => {
  it('a journal may end earlier, but not before what was durable', () => {
    const cut = longKilled().afterPowerCut('keep');
    const path = segmentPaths(cut).at(-1)!;
    const bytes = cut.readFile(path);
    const outcomes = new Set<number | 'refused'>();
    for (let length = 0; length <= 1000; length += 3) {
      const copy = cut.afterKill();
      copy.writeFile(path, bytes.subarray(0, length));
      outcomes.add(attempt(copy));
    }
    // Where all of the segment's records are there, those of the ring follow on.
    expect(outcomes).toEqual(new Set(['refused', DURABLE, DURABLE + 1, LAST]));
  });

  it('no state that it leaves is called damage, nor is one that a kill leaves', () => {
    for (let seed = 1; seed <= 5; seed++) {
      const random = seededRandom(seed);
      const disk = new FaultDisk(newDisk());
      let lsn = 0;
      let durable = 0;
      // The manifest says that there is a record from the first opening on.
      let { journal } = reopen(disk);
      disk.onCall = () => {
        const kept = attempt(disk.inner.afterKill());
        if (kept === 'refused' || kept < lsn)
          throw new Error(`seed ${seed}: ${kept} after a kill, of ${lsn}`);
        const left = attempt(disk.inner.afterPowerCut(random));
        if (left === 'refused' || left < durable || left > lsn)
          throw new Error(`seed ${seed}: ${left} after a power cut, of ${durable} to ${lsn}`);
        return undefined;
      };
      while (lsn < 60) {
        append(journal, lsn + 1, sample(lsn + 1));
        lsn++;
        const dice = random();
        if (dice < 0.2) journal.flush();
        else if (dice < 0.3) journal.sync();
        else if (dice < 0.34) journal.rotate();
        else if (dice < 0.4) {
          journal.close();
          ({ journal } = reopen(disk));
        }
        durable = journal.durableLsn();
      }
    }
  });
});

it('A record that a thread noted and died before it appended is not missed after a clean end', () => {
  const disk = newDisk();
  const journal = openJournal(disk);
  appendSamples(journal, 1, 5);
  // As a thread leaves it that dies between the two.
  const bytes = disk.readFile(RUN);
  const slot = [0, 4096].find((at) => new DataView(bytes.buffer).getFloat64(at + 144, true) === 5)!;
  const fd = disk.open(RUN, { write: true });
  disk.write(fd, [new Uint8Array(new Float64Array([6, 6]).buffer)], slot + 144);
  disk.close(fd);
  journal.close();
  expect(recover(disk.afterKill()).lastLsn).toBe(5);
});

describe('The two copies of the last LSN', () => {
  it('may differ by the store that the kill came before', () => {
    const disk = longKilled();
    const bytes = disk.readFile(RUN);
    const view = new DataView(bytes.buffer);
    const at = [0, 4096].find((slot) => view.getFloat64(slot + 144, true) === LAST)!;
    for (const [first, second] of [
      [LAST + 1, LAST],
      [LAST, 2 ** 40],
      [Number.NaN, LAST],
      [LAST - 1, LAST],
    ] as const) {
      view.setFloat64(at + 144, first, true);
      view.setFloat64(at + 152, second, true);
      disk.writeFile(RUN, bytes);
      expect(attempt(disk.afterKill())).toBe(LAST);
    }
  });
});

it('A copy of a store is held to the same, and what to do is told', () => {
  const disk = longKilled();
  disk.volume.inode = 2;
  expect(attempt(disk.afterKill())).toBe(LAST);
  disk.unlink(segmentPaths(disk)[1]!);
  expect(refusal(disk)).toMatch(/if this directory was copied while the store was in use, copy it again$/);
});

it('A first record that a power cut has torn is no damage until the manifest tells of it', () => {
  const disk = newDisk();
  disk.writeFile(RUN, new Uint8Array(8192).fill(7));
  expect(recover(disk).lastLsn).toBe(0);
  expect(refusal(disk)).toContain('neither of its two records is whole');
});
