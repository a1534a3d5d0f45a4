/** The disks agree on what the Disk interface promises, and MemoryDisk knows what a power cut leaves. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Disk } from '../../../engine/disk/disk.js';
import { NodeDisk } from '../../../engine/disk/node-disk.js';
import { FaultDisk } from './fault-disk.js';
import { MemoryDisk } from './memory-disk.js';
import { seededRandom } from './random.js';

const temporary = mkdtempSync(join(tmpdir(), 'spinney-disk-'));
afterAll(() => rmSync(temporary, { recursive: true, force: true }));
const withCode = (code: string) => expect.objectContaining({ code });
const bytes = (...values: number[]) => Uint8Array.from(values);

function content(disk: Disk, path: string): number[] {
  const fd = disk.open(path, { write: false });
  const into = new Uint8Array(disk.size(fd));
  disk.read(fd, into, 0, into.length, 0);
  disk.close(fd);
  return [...into];
}

describe.each([
  ['NodeDisk', () => ({ disk: new NodeDisk() as Disk, root: mkdtempSync(join(temporary, 'node-')) })],
  ['MemoryDisk', () => ({ disk: new MemoryDisk() as Disk, root: '' })],
  ['FaultDisk', () => ({ disk: new FaultDisk(new MemoryDisk()) as Disk, root: '' })],
])('%s', (_name, create) => {
  it('reads and writes at positions, across ends and holes', () => {
    const { disk, root } = create();
    const fd = disk.open(`${root}/a`, { write: true, create: true });
    expect(disk.write(fd, [bytes(1, 2), bytes(), bytes(3)], 2)).toBe(3);
    expect(content(disk, `${root}/a`)).toEqual([0, 0, 1, 2, 3]);
    const into = new Uint8Array(10).fill(9);
    expect(disk.read(fd, into, 1, 8, 3)).toBe(2);
    expect([...into]).toEqual([9, 2, 3, 9, 9, 9, 9, 9, 9, 9]);
    expect(disk.read(fd, into, 0, 4, 5)).toBe(0);
    disk.truncate(fd, 4);
    disk.truncate(fd, 6);
    expect(content(disk, `${root}/a`)).toEqual([0, 0, 1, 2, 0, 0]);
    disk.allocate(fd, 0, 8);
    expect(content(disk, `${root}/a`)).toEqual([0, 0, 1, 2, 0, 0, 0, 0]);
    disk.punchHole(fd, 2, 1);
    expect(content(disk, `${root}/a`)).toEqual([0, 0, 0, 2, 0, 0, 0, 0]);
    disk.fdatasync(fd);
    disk.fsync(fd);
    disk.close(fd);
    expect(() => disk.size(fd)).toThrow(withCode('EBADF'));
  });

  it('maps what reads and writes share, beyond the descriptor', () => {
    const { disk, root } = create();
    const fd = disk.open(`${root}/a`, { write: true, create: true });
    disk.allocate(fd, 0, 8192);
    const [one, other] = [disk.map(fd, 8192), disk.map(fd, 8192)].map((buffer) => new Uint8Array(buffer));
    expect(one!.length).toBe(8192);
    one![4096] = 7;
    disk.write(fd, [bytes(8)], 4097);
    disk.close(fd);
    disk.rename(`${root}/a`, `${root}/b`);
    one![4098] = 9;
    expect([...other!.subarray(4096, 4099)]).toEqual([7, 8, 9]);
    disk.unmap(one!.buffer as ArrayBuffer);
    expect(content(disk, `${root}/b`).slice(4095, 4100)).toEqual([0, 7, 8, 9, 0]);
    other![0] = 1;
    expect(content(disk, `${root}/b`)[0]).toBe(1);
    disk.unmap(other!.buffer as ArrayBuffer);
    expect(() => disk.map(fd, 8192)).toThrow(withCode('EBADF'));
  });

  it('keeps names', () => {
    const { disk, root } = create();
    expect(() => disk.open(`${root}/a`, { write: true })).toThrow(withCode('ENOENT'));
    disk.mkdir(`${root}/d`);
    disk.mkdir(`${root}/d`);
    const fd = disk.open(`${root}/d/a`, { write: true, create: true });
    expect(() => disk.mkdir(`${root}/d/a`)).toThrow(withCode('EEXIST'));
    disk.rename(`${root}/d/a`, `${root}/d/b`);
    expect(disk.list(`${root}/d`)).toEqual(['b']);
    expect([disk.exists(`${root}/d/a`), disk.exists(`${root}/d/b`)]).toEqual([false, true]);
    expect([disk.isSameFile(fd, `${root}/d/b`), disk.isSameFile(fd, `${root}/d/a`)]).toEqual([true, false]);
    disk.syncDirectory(`${root}/d`);
    disk.unlink(`${root}/d/b`);
    expect(() => disk.unlink(`${root}/d/b`)).toThrow(withCode('ENOENT'));
    disk.close(fd);
    expect(() => disk.list(`${root}/missing`)).toThrow(withCode('ENOENT'));
  });

  it('locks per open', () => {
    const { disk, root } = create();
    const open = () => disk.open(`${root}/a`, { write: true, create: true });
    const [first, second, third] = [open(), open(), open()] as const;
    expect(disk.lock(first, 'shared')).toBe(true);
    expect(disk.lock(second, 'shared')).toBe(true);
    expect(disk.lock(third, 'exclusive')).toBe(false);
    disk.close(first);
    disk.close(second);
    expect(disk.lock(third, 'exclusive')).toBe(true);
    const last = open();
    expect(disk.lock(last, 'shared')).toBe(false);
    disk.close(third);
    disk.close(last);
  });
});

describe('MemoryDisk after a power cut', () => {
  it('keeps what was synced, and a name only if its directory was', () => {
    const disk = new MemoryDisk();
    const fd = disk.open('/a', { write: true, create: true });
    disk.write(fd, [bytes(1, 2)], 0);
    disk.fdatasync(fd);
    expect(disk.afterPowerCut('drop').exists('/a')).toBe(false);
    disk.syncDirectory('/');
    disk.write(fd, [bytes(3)], 1);
    disk.rename('/a', '/b');
    expect(content(disk.afterPowerCut('drop'), '/a')).toEqual([1, 2]);
    expect(content(disk.afterPowerCut('keep'), '/b')).toEqual([1, 3]);
    expect(content(disk.afterKill(), '/b')).toEqual([1, 3]);
    expect(content(disk.afterKill().afterPowerCut('drop'), '/a')).toEqual([1, 2]);
    disk.loseUnsynced(fd);
    disk.fdatasync(fd);
    expect(content(disk, '/b')).toEqual([1, 3]);
    expect(content(disk.afterPowerCut('keep'), '/b')).toEqual([1, 2]);
  });

  it('keeps random subsets of the unsynced writes, and tears at 4 KiB', () => {
    const disk = new MemoryDisk();
    const fd = disk.open('/a', { write: true, create: true });
    disk.allocate(fd, 0, 16_384);
    disk.syncDirectory('/');
    disk.fsync(fd);
    disk.write(fd, [new Uint8Array(8192).fill(1)], 0);
    disk.write(fd, [new Uint8Array(8192).fill(2)], 8192);
    const seen = new Set<string>();
    const random = seededRandom(1);
    for (let cut = 0; cut < 400; cut++) {
      const pages = content(disk.afterPowerCut(random), '/a');
      const heads = [0, 4096, 8192, 12_288].map((at) => pages[at]!);
      heads.forEach((head, page) => {
        expect(pages.slice(page * 4096, (page + 1) * 4096).every((byte) => byte === head)).toBe(true);
      });
      seen.add(heads.join(''));
    }
    for (const state of ['0000', '1100', '0022', '1122', '1000', '0100', '1120', '1102'])
      expect(seen).toContain(state);
    expect(seen).not.toContain('1020');
  });

  it('tears at 512 bytes where it is told to, and knows equal disks', () => {
    const disk = new MemoryDisk();
    const fd = disk.open('/a', { write: true, create: true });
    disk.allocate(fd, 0, 4096);
    disk.syncDirectory('/');
    disk.fsync(fd);
    disk.write(fd, [new Uint8Array(1024).fill(1)], 0);
    const seen = new Map<string, string>();
    const random = seededRandom(2);
    for (let cut = 0; cut < 200; cut++) {
      const left = disk.afterPowerCut(random, 512);
      const fingerprint = left.fingerprint();
      const bytes = content(left, '/a');
      for (const sector of [0, 512]) expect(new Set(bytes.slice(sector, sector + 512)).size).toBe(1);
      const state = `${bytes[0]}${bytes[512]}`;
      expect(seen.get(state) ?? fingerprint).toBe(fingerprint);
      seen.set(state, fingerprint);
    }
    expect([...seen.keys()].sort()).toEqual(['00', '01', '10', '11']);
    expect(new Set(seen.values()).size).toBe(4);
  });

  it('keeps what was mapped at a kill, and sectors of any ages at a power cut', () => {
    const disk = new MemoryDisk();
    const fd = disk.open('/a', { write: true, create: true });
    disk.allocate(fd, 0, 4096);
    disk.fsync(fd);
    disk.syncDirectory('/');
    const mapped = new Uint8Array(disk.map(fd, 4096));
    const random = seededRandom(3);
    const seen = new Set<string>();
    for (const age of [1, 2]) {
      for (const sector of [0, 1]) mapped.fill(age, sector * 512, sector * 512 + 512);
      const killed = content(disk.afterKill(), '/a');
      expect([killed[0], killed[511], killed[1023], killed[1024]]).toEqual([age, age, age, 0]);
    }
    for (let cut = 0; cut < 200; cut++) {
      const left = content(disk.afterPowerCut(random), '/a');
      expect(left.slice(0, 512).every((byte) => byte === left[0])).toBe(true);
      seen.add(`${left[0]}${left[512]}`);
    }
    expect([...seen].sort()).toEqual(['00', '01', '02', '10', '11', '12', '20', '21', '22']);
    disk.fsync(fd);
    expect(content(disk.afterPowerCut('drop'), '/a')[512]).toBe(2);
  });

  it('counts space in pages', () => {
    const disk = new MemoryDisk({ capacityBytes: 8192 });
    const fd = disk.open('/a', { write: true, create: true });
    expect(disk.write(fd, [new Uint8Array(10_000)], 0)).toBe(8192);
    expect(() => disk.write(fd, [bytes(1)], 8192)).toThrow(withCode('ENOSPC'));
    disk.punchHole(fd, 0, 4096);
    expect(disk.usedBytes).toBe(4096);
    disk.unlink('/a');
    expect(disk.usedBytes).toBe(4096);
    disk.close(fd);
    expect(disk.usedBytes).toBe(0);
  });
});
