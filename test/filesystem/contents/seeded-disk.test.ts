/** The whole filesystem, names and contents, on a disk that fails, falls short, and loses power. */
import { constants } from 'node:os';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Durability } from '../../../engine/api.js';
import { newAttributes, newChange } from '../../../mount/filesystem/arguments.js';
import { CHANGE_SIZE } from '../../../mount/filesystem/types.js';
import { FaultDisk } from '../../support/disk/fault-disk.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { CALLER, readContent } from '../../support/files/files-shown.js';
import { CONTENT, Service } from '../../support/files/seeded-files.js';
import { STORE } from '../../support/seeded-tree.js';
import { bytes, O_RDWR, REGULAR, StepClock, split } from '../fixture.js';

const { EIO, ENOSPC } = constants.errno;
const HELLO = Buffer.from('hello');
const NOTHING = Buffer.alloc(0);

let service: Service;
beforeEach(() => {
  start(new MemoryDisk({ clock: new StepClock() }));
  return () => service.end();
});

/** The service of another process, or another boot. */
function start(disk: MemoryDisk, isKernel = true, durability: Durability = 'written'): Service {
  const clock = new StepClock();
  disk.volume.clock = clock;
  service = new Service(new FaultDisk(disk), { durability, isKernel, clock }).start();
  return service;
}

function restart(how: 'killed' | 'cut', isKernel = true): Service {
  const { inner } = service.disk;
  const left = how === 'killed' ? inner.afterKill() : inner.afterPowerCut('drop');
  service.end();
  return start(left, isKernel);
}

/** Makes a file, as the driver does for a client that writes past it; returns its handle. */
function create(path: string, data: Uint8Array = HELLO, isPassed = true): number {
  const { parent, name } = split(path);
  const handle = service.fs.create(CALLER, parent, name, REGULAR | 0o644, O_RDWR, isPassed, newAttributes());
  expect(handle).toBeGreaterThan(0);
  if (!isPassed) expect(service.fs.write(handle, data, 0, data.length, 0)).toBe(data.length);
  else {
    const fd = service.fs.backing(handle);
    if (data.length > 0) service.contents.inner.write(fd, data, 0, data.length, 0);
  }
  return handle;
}

/** Carries out the plan, as the I/O worker does; returns 0 or the errno. */
function syncByPlan(handle: number): number {
  const { ino, born, identity, spare, names } = service.fs.fsyncPlan(handle)!;
  try {
    const isNamed = service.access.sync(ino, born, spare, identity!, names);
    service.tree.sync();
    if (isNamed) service.fs.fsynced(ino, born, identity!);
    return 0;
  } catch (error) {
    return -(error as NodeJS.ErrnoException).errno!;
  }
}

const text = (path: string): string => Buffer.from(readContent(service.fs, path)).toString();

describe('a kill', () => {
  const isEmpty = (handle: number) => expect(service.fs.release(handle)).toBe(0);

  it('leaves the content of a file that gave an unwritten one back before', () => {
    const [one, other] = [create('/a', NOTHING), create('/b', NOTHING)];
    isEmpty(one);
    isEmpty(other);
    const handle = service.fs.open(CALLER, bytes('/a'), O_RDWR);
    service.contents.inner.write(service.fs.backing(handle), HELLO, 0, HELLO.length, 0);
    expect(syncByPlan(handle)).toBe(0);
    restart('killed');
    expect([text('/a'), text('/b')]).toEqual(['hello', '']);
    service.check('afterwards');
  });

  it('leaves what a file was resized to that gave an unwritten one back before', () => {
    isEmpty(create('/a', NOTHING));
    const change = { ...newChange(), valid: CHANGE_SIZE, size: 7 };
    expect(service.fs.setattr(CALLER, bytes('/a'), change, newAttributes())).toBe(0);
    restart('killed');
    expect(text('/a')).toBe('\0'.repeat(7));
    service.check('afterwards');
  });
});

describe('a power cut', () => {
  it('leaves what was synced into the first file of a new store', () => {
    expect(syncByPlan(create('/a'))).toBe(0);
    restart('cut');
    expect(text('/a')).toBe('hello');
    service.check('afterwards');
  });

  it.each([true, false])('leaves nothing of a lost file to the one that gets its number', (isKernel) => {
    restart('killed', isKernel);
    service.tree.sync();
    expect(service.fs.release(create('/lost', HELLO, false))).toBe(0);
    // Another program makes all of the filesystem below durable, just before the journal would be.
    const { inner } = service.contents;
    const paths = [`${CONTENT}/0`, CONTENT, STORE];
    const content = inner.open(`${CONTENT}/0/${inner.list(`${CONTENT}/0`)[0]!.name}`, 'read');
    for (const fd of [content, ...paths.map((path) => inner.openDirectory(path))]) {
      inner.fsync(fd);
      inner.close(fd);
    }
    restart('cut', isKernel);
    expect(() => text('/lost')).toThrow();
    expect(service.fs.release(create('/new', NOTHING, false))).toBe(0);
    const change = { ...newChange(), valid: CHANGE_SIZE, size: 7 };
    expect(service.fs.setattr(CALLER, bytes('/new'), change, newAttributes())).toBe(0);
    expect(service.fs.release(create('/newer', Buffer.from('J'), false))).toBe(0);
    expect([text('/new'), text('/newer')]).toEqual(['\0'.repeat(7), 'J']);
  });
});

describe('a call that falls short', () => {
  it('leaves the table of owners whole', () => {
    service.disk.onCall = ({ name, path }) =>
      name === 'write' && path.endsWith('/owners') ? { short: 7 } : undefined;
    create('/a');
    restart('killed');
    expect(text('/a')).toBe('hello');
    service.check('afterwards');
  });

  it('is read on from where a sector ends, or told', () => {
    const data = Buffer.alloc(5000, 'x');
    const handle = create('/a', data, false);
    const into = Buffer.alloc(8192);
    const read = () => service.fs.read(handle, into, 0, into.length, 0);
    service.disk.failNth('read', 1, { short: 512 });
    expect([read(), into.subarray(0, 5000).equals(data)]).toEqual([5000, true]);
    service.disk.failNth('read', 1, { short: 512 });
    service.disk.failNth('read', 1, { error: 'EIO' });
    expect(read()).toBe(-EIO);
    expect(read()).toBe(5000);
  });
});

describe('a sync that failed', () => {
  it('fails for good, of that file', () => {
    const one = create('/a');
    const other = create('/b');
    service.disk.failNth('fsync', 1, { error: 'EIO', lose: true }, /content/);
    expect([syncByPlan(one), syncByPlan(one), syncByPlan(other), syncByPlan(one)]).toEqual([
      EIO,
      EIO,
      0,
      EIO,
    ]);
    expect(text('/a')).toBe('hello');
    restart('cut');
    expect([text('/a'), text('/b')]).toEqual(['', 'hello']);
  });

  it('fails for good where the session does it', () => {
    const handle = create('/a');
    service.disk.failNth('fsync', 1, { error: 'EIO', lose: true }, /content/);
    expect([service.fs.fsync(handle), service.fs.fsync(handle)]).toEqual([-EIO, -EIO]);
  });

  it('of names fails for good, for all whose names it was to make durable', () => {
    const one = create('/a');
    const other = create('/b');
    service.disk.failNth('fsync', 1, { error: 'EIO', lose: true }, /content\/[0-9a-f]+$/);
    expect([syncByPlan(one), syncByPlan(one), syncByPlan(other)]).toEqual([EIO, EIO, EIO]);
  });

  it('is tried again where it was for want of space, or of descriptors', () => {
    const handle = create('/a');
    service.disk.failNth('rename', 1, { error: 'ENOSPC' });
    expect([syncByPlan(handle), syncByPlan(handle)]).toEqual([ENOSPC, 0]);
    restart('cut');
    expect(text('/a')).toBe('hello');
  });
});

describe('a disk that fails', () => {
  it('takes no record from a file whose name goes, though that cannot be made durable', () => {
    service.end();
    start(new MemoryDisk(), true, 'synced');
    const handle = create('/a', HELLO, false);
    const other = create('/b', NOTHING, false);
    service.disk.onCall = ({ name, path }) =>
      ['write', 'allocate', 'open'].includes(name) && path.includes('journal')
        ? { error: 'ENOSPC' }
        : undefined;
    const a = split('/a');
    const removed = { removedIno: 0, removedLinks: 0, movedIno: 0 };
    expect(service.fs.unlink(CALLER, a.parent, a.name, removed)).toBe(-ENOSPC);
    const [b, c] = [split('/b'), split('/c')];
    const moved = service.fs.rename(CALLER, b.parent, b.name, c.parent, c.name, 0, removed);
    expect(moved).toBe(-ENOSPC);
    expect(
      service.fs.create(CALLER, a.parent, Buffer.from('d'), REGULAR, O_RDWR, true, newAttributes()),
    ).toBe(-ENOSPC);
    service.disk.heal();
    for (const open of [handle, other]) expect(service.fs.write(open, Buffer.from('J'), 0, 1, 0)).toBe(1);
    expect(service.fs.release(handle)).toBe(0);
    expect(service.fs.release(other)).toBe(0);
    expect([service.fs.stats().openFiles, text('/c'), text('/d')]).toEqual([0, 'J', '']);
    service.check('afterwards');
  });

  it('leaves a file that was closed in that moment', () => {
    const handle = create('/a', NOTHING);
    service.disk.failNth('status', 1, { error: 'EIO' });
    expect(service.fs.release(handle)).toBe(-EIO);
    expect(text('/a')).toBe('');
    service.check('afterwards');
  });

  it('lets files be read that were open at a kill, when nothing can be written any more', () => {
    create('/a');
    restart('killed');
    create('/b', NOTHING, false);
    service.disk.failNth('fdatasync', 1, { error: 'EIO' });
    expect(() => service.tree.sync()).toThrow('EIO');
    expect(text('/a')).toBe('hello');
  });
});
