/** What the record of the last run tells of how it ended, whatever it was that ended it. */
import { describe, expect, it } from 'vitest';
import { runPath } from '../../../engine/journal/run-file.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { appendSamples, assertSamples, DIRECTORY, newDisk, openJournal, recover } from './harness.js';

const RUN = runPath(DIRECTORY);

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
      disk[where]++;
      expect(endOf(disk)).toBe('power-cut');
    }
  });

  it('is a power cut where the system does not tell its runs apart', () => {
    const disk = newDisk();
    disk.boot = 0;
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
    for (let seed = 1; seed <= 6; seed++) {
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
