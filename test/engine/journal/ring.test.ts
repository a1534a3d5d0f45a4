/** What recovery takes from the ring: every record that a killed process had appended, and nothing else. */
import { describe, expect, it } from 'vitest';
import { Journal } from '../../../engine/journal/journal.js';
import { operationBodyBytes, RECORD_PUT } from '../../../engine/journal/records/record.js';
import { Ring } from '../../../engine/journal/ring/ring.js';
import { RING_HEADER_BYTES, ringPath } from '../../../engine/journal/ring/ring-file.js';
import { runPath } from '../../../engine/journal/run/run-file.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import {
  append,
  appendSamples,
  assertSamples,
  bytes,
  DIRECTORY,
  newDisk,
  openJournal,
  put,
  recover,
  ringWords,
  SMALL,
  sample,
  segmentPaths,
  thrownCode,
} from './harness.js';

const RING = ringPath(DIRECTORY);
const SPARE = `${RING}.spare`;

/** What a killed process leaves: records up to 8 in segments, up to `last` in the ring only. */
function killed(last = 12): MemoryDisk {
  const disk = newDisk();
  const journal = openJournal(disk);
  appendSamples(journal, 1, 5);
  journal.flush();
  appendSamples(journal, 6, 8);
  journal.flush();
  appendSamples(journal, 9, last);
  return disk.afterKill();
}

function expectSamples(disk: MemoryDisk, lastLsn: number): void {
  const recovered = recover(disk);
  assertSamples(recovered);
  if (recovered.lastLsn !== lastLsn) throw new Error(`lastLsn is ${recovered.lastLsn}, not ${lastLsn}`);
}

/** A durable copy of `disk` with the ring's file replaced. */
function withRing(disk: MemoryDisk, content: Uint8Array): MemoryDisk {
  const copy = disk.afterPowerCut('keep');
  copy.writeFile(RING, content);
  return copy;
}

function contents(disk: MemoryDisk): string[] {
  return disk
    .list(DIRECTORY)
    .sort()
    .map((name) => `${name} ${Buffer.from(disk.readFile(`${DIRECTORY}/${name}`)).toString('base64')}`);
}

describe('After a kill', () => {
  it('no record that was appended is missing, wherever the process died', () => {
    let states = 0;
    for (let seed = 1; seed <= 10; seed++) {
      const random = seededRandom(seed);
      const disk = new FaultDisk(newDisk());
      let lsn = 0;
      disk.onCall = () => {
        if (lsn > 0) expectSamples(disk.inner.afterKill(), lsn);
        states++;
        return undefined;
      };
      let journal = openJournal(disk);
      while (lsn < 150) {
        append(journal, lsn + 1, sample(lsn + 1));
        lsn++;
        const dice = random();
        if (dice < 0.2) journal.flush();
        else if (dice < 0.25) journal.sync();
        else if (dice < 0.28) journal.rotate();
        else if (dice < 0.3) {
          journal.close();
          journal = openJournal(disk, { nextLsn: lsn + 1 });
        }
        expectSamples(disk.inner.afterKill(), lsn);
      }
      journal.close();
      expectSamples(disk.inner.afterKill(), lsn);
    }
    expect(states).toBeGreaterThan(1000);
  });

  it('in the middle of writing a group, at any of its bytes, every record is there, then and after a clean end', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    appendSamples(journal, 1, 5);
    journal.flush();
    appendSamples(journal, 6, 12);
    const before = disk.afterKill();
    const [path] = segmentPaths(before) as [string];
    const old = before.readFile(path);
    journal.flush();
    const written = disk.readFile(path);
    const from = old.findIndex((byte, at) => byte !== written[at]);
    const to = written.findLastIndex((byte) => byte !== 0) + 1;
    expect(to - from).toBeGreaterThan(300);
    for (let at = from; at <= to; at++) {
      const torn = old.slice();
      torn.set(written.subarray(from, at), from);
      const killed = before.afterKill();
      killed.writeFile(path, torn);
      expectSamples(killed, 12);
      openJournal(killed, { nextLsn: 13, previousEnd: 'killed' }).close();
      expectSamples(killed, 12);
    }
  });

  it('the ring has every record in any of its laps, and when it is full', () => {
    for (let length = 0; length <= 1000; length += 40) {
      const disk = newDisk();
      const journal = openJournal(disk);
      const bodyBytes = operationBodyBytes(3, length);
      let lsn = 0;
      for (let room = 0; room < 12; room++) {
        while (journal.reserve(bodyBytes))
          journal.appendPut(++lsn, bytes('key'), new Uint8Array(length).fill(lsn));
        const recovered = recover(disk.afterKill());
        expect(recovered.lastLsn).toBe(lsn);
        for (const [at, [operation]] of recovered.mutations)
          expect(operation!.second.every((byte) => byte === (at & 255))).toBe(true);
        journal.makeRoom(bodyBytes);
      }
    }
  });

  it('a store to either head may have been the last', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    appendSamples(journal, 1, 6);
    const before = new Uint32Array(disk.readFile(RING).buffer);
    journal.flush();
    const file = disk.readFile(RING);
    const after = new Uint32Array(file.slice().buffer);
    const state = new Uint32Array(file.buffer);
    const changed = [...after.keys()].filter((at) => after[at] !== before[at]);
    expect(changed.length).toBe(6);
    for (let stored = 0; stored <= changed.length; stored++) {
      changed.forEach((at, index) => {
        state[at] = (index < stored ? after : before)[at]!;
      });
      expectSamples(withRing(disk, file), 6);
    }
  });

  it('what a failed write left unwritten is there at the next open', () => {
    for (let nth = 1; nth <= 3; nth++) {
      const disk = new FaultDisk(newDisk());
      const journal = openJournal(disk, { durability: 'written' });
      appendSamples(journal, 1, 4);
      disk.failNth('write', 1, { error: 'EIO', done: nth === 2 });
      expect(thrownCode(() => journal.flush())).toBe('ERR_JOURNAL_FAILED');
      expect(thrownCode(() => journal.acknowledge(4))).toBe('ERR_JOURNAL_FAILED');
      if (nth === 3) expect(thrownCode(() => journal.close())).toBe('ERR_JOURNAL_FAILED');
      expectSamples(disk.inner.afterKill(), 4);
    }
  });

  it('a full disk does not keep the records from being saved', () => {
    for (const reserveBytes of [SMALL.reserveBytes, 16_384, 18_000]) {
      const disk = newDisk();
      const journal = openJournal(disk, { sizes: { ...SMALL, reserveBytes } });
      let lsn = 0;
      for (let lap = 0; lap < 20; lap++) {
        while (journal.reserve(300)) append(journal, ++lsn, sample(lsn));
        disk.capacityBytes = disk.usedBytes;
        const left = disk.afterKill();
        expectSamples(left, lsn);
        openJournal(left, { nextLsn: lsn + 1 });
        disk.capacityBytes = Number.POSITIVE_INFINITY;
        journal.makeRoom(300);
      }
    }
  });
});

describe('The ring after a crash of recovery', () => {
  it('gives the same records, at any call of recovery and of the next opening', () => {
    const random = seededRandom(7);
    let crashes = 0;
    for (let seed = 0; seed < 24; seed++) {
      const powerCut = seed % 2 === 1;
      const kill = killed(12 + seed);
      const start = powerCut ? kill.afterPowerCut(random) : kill;
      const wanted = recover(start.afterKill()).lastLsn;
      if (!powerCut) expect(wanted).toBe(12 + seed);
      for (let at = 0; ; at++) {
        const dying = new FaultDisk(start.afterKill());
        dying.onCall = (call) =>
          call.index === at ? { crash: random() < 0.5 ? 'before' : 'after' } : undefined;
        try {
          recover(dying);
          openJournal(dying, { nextLsn: wanted + 1 });
          break;
        } catch (error) {
          if (!dying.crashed) throw error;
        }
        crashes++;
        expectSamples(dying.inner.afterKill(), wanted);
        for (let cut = 0; powerCut && cut < 4; cut++)
          expectSamples(dying.inner.afterPowerCut(cut === 0 ? 'drop' : random), wanted);
      }
    }
    expect(crashes).toBeGreaterThan(500);
  });

  it('is not changed by a read-only open, which gives its records too', () => {
    const disk = killed();
    const before = contents(disk);
    const recovered = recover(disk, { readOnly: true });
    assertSamples(recovered);
    expect(recovered).toMatchObject({ lastLsn: 12, replayed: 12, fromRing: 4 });
    expect(contents(disk)).toEqual(before);
    expect(recover(disk)).toMatchObject({ lastLsn: 12, fromRing: 4 });
    expect(recover(disk)).toMatchObject({ lastLsn: 12, fromRing: 0 });
    expect(recover(killed(), { markLsn: 7 })).toMatchObject({ lastLsn: 12, replayed: 5, fromRing: 4 });
  });

  it('says what it was that could not be read or saved, and has it the next time', () => {
    for (const name of ['open', 'size', 'read', 'write', 'fsync', 'syncDirectory'] as const) {
      for (let nth = 1; nth <= 8; nth++) {
        const disk = new FaultDisk(killed());
        disk.failNth(name, nth, { error: nth % 2 ? 'EIO' : 'ENOSPC' });
        const code = thrownCode(() => recover(disk));
        if (code !== undefined) expect(['ERR_IO', 'ERR_NO_SPACE']).toContain(code);
        expect(disk.inner.openPaths()).toEqual([]);
        expectSamples(disk.inner, 12);
      }
    }
  });
});

describe('Recovery takes nothing else from the ring', () => {
  it('after a power cut, whatever mixture of sectors is there', () => {
    let taken = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const disk = newDisk();
      const journal = openJournal(disk);
      let lsn = 0;
      while (lsn < 100) {
        append(journal, lsn + 1, sample(lsn + 1));
        lsn++;
        if (random() < 0.2) journal.flush();
        if (random() < 0.05) journal.sync();
        if (lsn % 3 !== 0) continue;
        for (let cut = 0; cut < 3; cut++) {
          const recovered = recover(disk.afterPowerCut(random));
          assertSamples(recovered);
          if (recovered.lastLsn < journal.durableLsn() || recovered.lastLsn > lsn)
            throw new Error(`seed ${seed}: ${recovered.lastLsn}`);
          taken += recovered.fromRing;
        }
      }
    }
    expect(taken).toBeGreaterThan(100);
  });

  it('not a ring of an earlier opening, put back or left by a power cut', () => {
    const first = killed(16);
    const old = first.readFile(RING);
    // Another history from record 9 on: the first opening's ring was lost.
    const other = first.afterPowerCut('keep');
    other.unlink(RING);
    other.unlink(runPath(DIRECTORY));
    const journal = openJournal(other, { nextLsn: recover(other).lastLsn + 1 });
    for (let lsn = 9; lsn <= 11; lsn++) append(journal, lsn, put('other', `history ${lsn}`));
    expect(recover(other.afterKill()).lastLsn).toBe(11);
    // After a power cut nothing is missing that must be there; after a kill it is.
    expect(recover(withRing(other, old)).lastLsn).toBe(8);
    const putBack = other.afterKill();
    putBack.writeFile(RING, old);
    expect(thrownCode(() => recover(putBack))).toBe('ERR_JOURNAL_CORRUPT');
    journal.flush();
    expect(recover(withRing(other, old)).lastLsn).toBe(11);
  });

  it('not the bytes of a value that look like the next record', () => {
    for (const knowsSeed of [false, true]) {
      const disk = newDisk();
      const journal = openJournal(disk);
      const seed = knowsSeed ? journal.share().recordSeed : 0;
      const forger = new Ring(new ArrayBuffer(16_384), SMALL, seed, ringWords(SMALL));
      const size = forger.putOperation(0, 5, RECORD_PUT, bytes('forged'), bytes('record'));
      const forged = forger.pieces(0, size, 5)!.pieces[0]!;
      // Key and headers of record 1 take 40 bytes, as much as all of record 4, which is at the same place a lap later.
      const key = bytes('8 bytes!');
      const takes = (length: number): number => 40 + length;
      append(journal, 1, { kind: 'put', first: key, second: forged });
      append(journal, 2, { kind: 'put', first: key, second: new Uint8Array(904) });
      journal.flush();
      const rest = SMALL.ringBytes - takes(forged.length) - takes(904) - 40;
      append(journal, 3, { kind: 'put', first: key, second: new Uint8Array(rest) });
      journal.flush();
      append(journal, 4, { kind: 'put', first: key, second: new Uint8Array(0) });
      const at = RING_HEADER_BYTES + 40;
      expect(disk.readFile(RING).subarray(at, at + forged.length)).toEqual(forged);
      // Who knew the seed could do it: the bytes are where they do harm.
      expect(recover(disk.afterKill()).lastLsn).toBe(knowsSeed ? 5 : 4);
    }
  });

  it('nothing where the segments end before it', () => {
    const disk = killed();
    const ring = disk.readFile(RING);
    const [segment] = segmentPaths(disk) as [string];
    const short = disk.afterPowerCut('keep');
    short.writeFile(segment, disk.readFile(segment).subarray(0, 300));
    const recovered = recover(short);
    expect(recovered.lastLsn).toBeLessThan(8);
    expect(recovered.fromRing).toBe(0);
    expect(recovered.truncated).toMatchObject({ file: segment, bytes: 300 - recovered.truncated!.offset });
    expect(short.readFile(RING)).toEqual(ring);
  });
});

describe("The ring's file", () => {
  it('is refused or harmless with any bit of its header flipped', () => {
    const disk = killed();
    const bytesOfRing = disk.readFile(RING);
    let refused = 0;
    for (let bit = 0; bit < RING_HEADER_BYTES * 8; bit++) {
      const offset = bit >> 3;
      const isUsed = offset < 64 || (offset >= 512 && offset < 540) || (offset >= 1024 && offset < 1052);
      if (!isUsed && bit % 8 !== 0) continue;
      const flipped = bytesOfRing.slice();
      flipped[offset]! ^= 1 << (bit & 7);
      const damaged = withRing(disk, flipped);
      const before = contents(damaged);
      const code = thrownCode(() => expectSamples(damaged, 12));
      if (code === undefined) continue;
      expect(code).toBe('ERR_JOURNAL_CORRUPT');
      expect(contents(damaged)).toEqual(before);
      refused++;
    }
    expect(refused).toBe(64 * 8);
    const headless = bytesOfRing.slice();
    headless[512]! ^= 1;
    headless[1024]! ^= 1;
    expect(() => recover(withRing(disk, headless))).toThrow(/journal\.ring at offset 0: both heads/);
    for (const length of [0, 100, 4095, 4096, bytesOfRing.length - 4096])
      expect(thrownCode(() => recover(withRing(disk, bytesOfRing.subarray(0, length))))).toBe(
        'ERR_JOURNAL_CORRUPT',
      );
  });

  it('loses its name when the journal is closed, and keeps its space', () => {
    const disk = newDisk();
    const journal = openJournal(disk);
    expect([disk.exists(RING), disk.exists(SPARE)]).toEqual([true, false]);
    const attached = Journal.attach(journal.share(), disk);
    appendSamples(journal, 1, 3);
    attached.flush();
    expect(disk.mappings).toBe(4);
    attached.detach();
    journal.close();
    expect([disk.exists(RING), disk.exists(SPARE), disk.mappings]).toEqual([false, true, 0]);
    expect(thrownCode(() => Journal.attach(journal.share(), disk))).toBe('ERR_CLOSED');
    disk.capacityBytes = disk.usedBytes;
    openJournal(disk, { nextLsn: 4 }).close();
    expectSamples(disk, 3);
  });

  it('is named where it cannot be made or mapped', () => {
    const full = newDisk();
    full.capacityBytes = 12_288;
    expect(thrownCode(() => openJournal(full))).toBe('ERR_NO_SPACE');
    expect(() => openJournal(full)).toThrow(/journal\.ring/);
    full.capacityBytes = Number.POSITIVE_INFINITY;
    openJournal(full).close();
    for (const name of ['open', 'allocate', 'write', 'fsync', 'rename', 'map', 'syncDirectory'] as const) {
      const disk = new FaultDisk(newDisk());
      disk.failNth(name, 1, { error: 'ENODEV' });
      expect(thrownCode(() => openJournal(disk))).toBe('ERR_IO');
      disk.failNth(name, 1, { error: 'ENODEV' });
      expect(() => openJournal(disk)).toThrow(/journal\.(ring|run)/);
      expect([disk.inner.openPaths(), disk.inner.mappings]).toEqual([[], 0]);
      const journal = openJournal(disk);
      appendSamples(journal, 1, 3);
      expectSamples(disk.inner.afterKill(), 3);
    }
  });
});
