/** The files that another daemon goes on by: when they count, and when not. */
import { beforeEach, describe, expect, test } from 'vitest';
import { examineSession, removeSession, SessionFiles } from '../../../../mount/kernel/kept/session-files.js';
import { ReusableBytes } from '../../../../mount/kernel/protocol/reusable-bytes.js';
import { NodeTable } from '../../../../mount/kernel/session/node-table.js';
import { FaultDisk } from '../../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../../support/disk/memory-disk.js';

const STORE = '/store';
const MOUNT = { connection: 40, mountpoint: '/mnt/names' };
let disk: FaultDisk;
let files: SessionFiles;

beforeEach(() => {
  disk = new FaultDisk(new MemoryDisk());
  disk.mkdir(STORE);
  files = SessionFiles.make(disk, STORE, MOUNT);
});

/** The disk as another process finds it. */
function afterKill(): MemoryDisk {
  return disk.inner.afterKill();
}

describe('a session', () => {
  test('can be gone on with once it answers, with all that was in its tables', () => {
    expect(() => examineSession(afterKill(), STORE)).toThrow('it never answered');
    files.open();
    const nodes = new NodeTable(files.tables.nodes);
    for (let ino = 2; ino < 5000; ino++) nodes.lookedUp(1, Buffer.from(`a name of ${ino}`), ino);
    for (let handle = 1; handle < 1000; handle++) files.tables.files.add(handle, handle + 1, 2);
    files.tables.directories.add(40, 7, 123);
    files.tables.directories.listed(40, 0, Buffer.from('a name'), 77);
    files.tables.orphans.keep(9, Uint8Array.of(1, 2, 3));
    files.tables.init.agreed({ minor: 45, flags: 5, flags2: 6 });
    const left = afterKill();
    expect(examineSession(left, STORE)).toEqual({ ...MOUNT, pid: process.pid });
    const { tables } = SessionFiles.takeUp(left, STORE);
    const into = new ReusableBytes(64);
    const taken = new NodeTable(tables.nodes);
    expect(taken.size).toBe(4999);
    expect(Buffer.from(taken.place(4999, into) as Uint8Array).toString()).toBe('/a name of 4999');
    expect([tables.files.ino(999), tables.files.flags(999)]).toEqual([1000, 2]);
    expect([tables.directories.ino(40), tables.directories.version(40)]).toEqual([7, 123]);
    expect(tables.directories.places(40)).toEqual(
      [{ name: Buffer.from('a name'), offset: 77 }].map((place) => ({
        ...place,
        name: new Uint8Array(place.name),
      })),
    );
    expect([...tables.orphans.records()]).toEqual([[9, Uint8Array.of(1, 2, 3)]]);
    expect(tables.init.agreement).toEqual({ minor: 45, flags: 5, flags2: 6 });
  });

  test('is void once the mount has ended, and leaves no file behind', () => {
    files.open();
    files.ending();
    expect(() => examineSession(afterKill(), STORE)).toThrow('come to its end');
    files.end();
    expect(disk.list(STORE)).toEqual([]);
    expect(disk.inner.mappings).toBe(0);
    expect(() => examineSession(afterKill(), STORE)).toThrow('there is no /store/session.state');
  });

  test('is void after the machine came to an end, or the filesystem was mounted anew', () => {
    files.open();
    const left = afterKill();
    left.volume.boot++;
    expect(() => examineSession(left, STORE)).toThrow('the system was started');
    const mounted = afterKill();
    mounted.volume.mount++;
    expect(() => examineSession(mounted, STORE)).toThrow('the system was started');
  });

  test('with tables that cannot grow goes on in memory, and is void', () => {
    files.open();
    const told: string[] = [];
    files.onVoid = (reason) => told.push(reason);
    const nodes = new NodeTable(files.tables.nodes);
    disk.failNth('allocate', 3, { error: 'ENOSPC' });
    for (let ino = 2; ino < 5000; ino++) nodes.lookedUp(1, Buffer.from(`a name of ${ino}`), ino);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/cannot grow/);
    expect(Buffer.from(nodes.place(4999, new ReusableBytes(9)) as Uint8Array).toString()).toBe(
      '/a name of 4999',
    );
    expect(files.isOpen).toBe(false);
    expect(() => SessionFiles.takeUp(afterKill(), STORE)).toThrow(told[0]!);
  });

  test.each(['allocate', 'map', 'open'] as const)('that cannot be made leaves nothing (%s)', (call) => {
    files.end();
    for (let nth = 1; nth < 8; nth += 3) {
      disk.failNth(call, nth, { error: 'ENOSPC' });
      expect(() => SessionFiles.make(disk, STORE, MOUNT)).toThrow();
      expect(disk.list(STORE)).toEqual([]);
      expect(disk.inner.mappings).toBe(0);
      disk.heal();
    }
  });

  test.each([
    ['state', 0, 'its magic'],
    ['state', 4, 'format version'],
    ['nodes', 8, 'its header'],
    ['files', 60, 'its header'],
  ])('with a damaged header of %s at %i is refused', (table, at, reason) => {
    files.open();
    const left = afterKill();
    const path = `${STORE}/session.${table}`;
    const bytes = left.readFile(path);
    bytes[at as number]! ^= 0x40;
    left.writeFile(path, bytes);
    expect(() => SessionFiles.takeUp(left, STORE)).toThrow(reason as string);
    expect(left.list(STORE)).toHaveLength(8);
  });

  test('takes no table of another session', () => {
    files.open();
    const left = afterKill();
    const other = new MemoryDisk();
    other.mkdir(STORE);
    SessionFiles.make(other, STORE, MOUNT);
    left.writeFile(`${STORE}/session.names`, other.readFile(`${STORE}/session.names`));
    expect(() => SessionFiles.takeUp(left, STORE)).toThrow('another session');
    left.unlink(`${STORE}/session.aliases`);
    expect(() => SessionFiles.takeUp(left, STORE)).toThrow(/ENOENT|aliases/);
    removeSession(left, STORE);
    expect(left.list(STORE)).toEqual([]);
  });
});
