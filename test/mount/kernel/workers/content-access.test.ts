/** Syncs that come late: the file that was meant is synced, or none, whatever became of its descriptor and its name. */
import {
  closeSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { contentPath } from '../../../../mount/filesystem/contents/content.js';
import type { BackingAccess } from '../../../../mount/filesystem/contents/disk/content-disk.js';
import { SystemDisk } from '../../../../mount/filesystem/contents/disk/system.js';
import { BackingError } from '../../../../mount/filesystem/errno.js';
import { RECORD_FIELDS, SharedQueue } from '../../../../mount/kernel/device/shared-queue.js';
import { Opcode } from '../../../../mount/kernel/protocol/protocol.js';
import { contentAccess } from '../../../../mount/kernel/workers/content-access.js';
import { Interrupts } from '../../../../mount/kernel/workers/interrupts.js';
import { IoService } from '../../../../mount/kernel/workers/io-service.js';
import { IoResult, putSync } from '../../../../mount/kernel/workers/io-tasks.js';
import { bytes, CALLER, Fixture, O_RDWR } from '../../../filesystem/fixture.js';

const { EINTR, EIO, EMFILE, ENFILE } = constants.errno;

/** The I/O worker's disk: it notes the paths of what was synced, in order, and may refuse to open. */
class WatchedDisk extends SystemDisk {
  readonly synced: string[] = [];
  opening: (path: string) => void = () => {};

  override open(path: string, access: BackingAccess): number {
    this.opening(path);
    return super.open(path, access);
  }

  override fsync(fd: number): void {
    this.synced.push(pathOf(fd));
    super.fsync(fd);
  }

  override syncFilesystem(fd: number): void {
    this.synced.push(`all of ${pathOf(fd)}`);
    super.syncFilesystem(fd);
  }
}

function pathOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

let f: Fixture;
let disk: WatchedDisk;
let device: number;
let tasks: SharedQueue;
let results: SharedQueue;
let logged: string[];
/** The I/O worker: held until `round` is called. */
let service: IoService;

beforeEach(() => {
  f = new Fixture(undefined, { rests: true });
  disk = new WatchedDisk();
  device = openSync(join(f.directory, 'replies'), 'w');
  tasks = new SharedQueue(8);
  results = new SharedQueue(8);
  logged = [];
  service = new IoService({
    fd: device,
    tasks,
    results,
    tree: { sync: () => {}, durableLsn: () => 0, lastLsn: () => 0 },
    content: contentAccess(disk, f.contentDirectory),
    answered: () => {},
    wakeSession: () => {},
    log: (_level, message) => logged.push(message),
  });
});

afterEach(() => {
  closeSync(device);
  f.cleanUp();
});

/** The I/O worker goes on. Returns what it synced. */
function goOn(): string[] {
  disk.synced.length = 0;
  service.round(false);
  return disk.synced.map((path) => path.replace(f.contentDirectory, 'content'));
}

function replies(): number[] {
  const bytes = readFileSync(join(f.directory, 'replies'));
  return Array.from({ length: bytes.length / 16 }, (_, i) => bytes.readInt32LE(16 * i + 4));
}

function named(): number[] {
  const record = new Float64Array(RECORD_FIELDS);
  const found: number[] = [];
  for (; results.peek(0, record); results.drop(1)) {
    if (record[0] !== IoResult.NAME_DURABLE) continue;
    f.fs.fsynced(record[1]!, record[2]!, { file: record[3]!, birth: record[4]! });
    found.push(record[1]!);
  }
  return found;
}

function ask(handle: number, pid = 1): void {
  const request = { uniqueLow: 1, uniqueHigh: 0, pid, opcode: Opcode.FSYNC };
  expect(putSync(tasks, request, 0, f.fs.fsyncPlan(handle))).toBe(true);
}

const place = (path: string): string => contentPath('content', f.stat(path).ino).replace(/\/[^/]+$/, '');

test('a client killed inside fsync, and its descriptor given to another file', () => {
  f.write('/a', 'hello');
  f.write('/other', 'other');
  const handle = f.fs.open(CALLER, bytes('/a'), O_RDWR);
  const fd = f.fs.backing(handle);
  ask(handle, 66);
  // The caller is let go, and its end releases the file.
  new Interrupts(device, [tasks], undefined, (pid) => pid === 66).sweep();
  expect(replies()).toEqual([-EINTR]);
  f.fs.release(handle);
  const other = f.fs.open(CALLER, bytes('/other'), O_RDWR);
  expect(f.fs.backing(other)).toBe(fd);
  expect(goOn()).toEqual([contentPath('content', f.stat('/a').ino), place('/a'), 'content']);
  expect(logged).toEqual([]);
  f.fs.release(other);
});

test('what was written and got its name when its client was killed', () => {
  const { handle, fd } = f.createPassed('/a');
  writeSync(fd, 'hello');
  ask(handle);
  f.fs.release(handle);
  expect(goOn()).toEqual([contentPath('content', f.stat('/a').ino), place('/a'), 'content']);
  expect(named()).toEqual([f.stat('/a').ino]);
  expect([f.read('/a'), logged]).toEqual(['hello', []]);
});

test('what has no name yet gets it, unless there is nothing in it', () => {
  const { handle, fd } = f.createPassed('/a');
  const { ino } = f.stat('/a');
  ask(handle);
  expect(goOn()).toEqual(['content/spares/0/0']);
  expect(named()).toEqual([]);
  writeSync(fd, 'hello');
  ask(handle);
  expect(goOn()).toEqual(['content/spares/0/0', place('/a'), 'content']);
  expect(statSync(contentPath(f.contentDirectory, ino)).size).toBe(5);
  // Another that was asked for before the session knew.
  ask(handle);
  expect(goOn()).toEqual([contentPath('content', ino), place('/a'), 'content']);
  expect(named()).toEqual([ino, ino]);
  ask(handle);
  expect(goOn()).toEqual([contentPath('content', ino)]);
  f.fs.release(handle);
  expect([f.read('/a'), logged]).toEqual(['hello', []]);
});

test("an unwritten spare that was removed with its client is nobody's loss", () => {
  const { handle } = f.createPassed('/a');
  ask(handle);
  f.fs.release(handle);
  const next = f.createPassed('/b');
  writeSync(next.fd, 'hello');
  expect(goOn()).toEqual([]);
  expect([named(), logged, replies()]).toEqual([[], [], [-EIO]]);
  f.fs.release(next.handle);
  expect([f.read('/a'), f.read('/b')]).toEqual(['', 'hello']);
});

test('a content that was removed or replaced from outside is an error, and what is there is left alone', () => {
  f.write('/a', 'hello');
  const path = contentPath(f.contentDirectory, f.stat('/a').ino);
  const handle = f.fs.open(CALLER, bytes('/a'), O_RDWR);
  ask(handle);
  rmSync(path);
  expect(goOn()).toEqual([]);
  ask(handle);
  writeFileSync(path, 'other');
  expect(goOn()).toEqual([]);
  expect(replies()).toEqual([-EIO, -EIO]);
  expect(logged).toEqual([
    expect.stringContaining('it was removed'),
    expect.stringContaining('another file is in its place'),
  ]);
});

test('without a descriptor to open the file, all is synced by the one that was there from the beginning', () => {
  const { handle, fd } = f.createPassed('/a');
  disk.openDirectory = (path) => {
    throw new BackingError(EMFILE, `Cannot open ${path}`);
  };
  disk.opening = (path) => {
    throw new BackingError(EMFILE, `Cannot open ${path}`);
  };
  writeSync(fd, 'hello');
  ask(handle);
  expect(goOn()).toEqual(['all of content']);
  expect(named()).toEqual([f.stat('/a').ino]);
  disk.opening = () => {};
  f.fs.release(handle);
  expect([f.read('/a'), replies(), logged]).toEqual(['hello', [0], []]);
});

test("a limit of descriptors is not told as the client's own", () => {
  const { handle } = f.createPassed('/a');
  disk.opening = (path) => {
    throw new BackingError(EMFILE, `Cannot open ${path}`);
  };
  disk.syncFilesystem = () => {
    throw new BackingError(EMFILE, 'Cannot sync');
  };
  ask(handle);
  goOn();
  f.fs.release(handle);
  expect(replies()).toEqual([-ENFILE]);
});
