/** Contents that a remote has: given up, brought back when they are wanted, and never taken for missing ones. */
import { existsSync, readdirSync, rmSync, truncateSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import { noteTaken } from '../../../mount/filesystem/contents/taken-store.js';
import { ContentAwaited } from '../../../mount/filesystem/errno.js';
import { CHANGE_SIZE, type ContentName } from '../../../mount/filesystem/types.js';
import { seededRandom } from '../../support/disk/random.js';
import { AwayRemote } from '../../support/shipping/away-remote.js';
import { bytes, CALLER, Fixture, O_RDONLY, O_RDWR, O_WRONLY } from '../fixture.js';

const O_TRUNC = 0o1000;
const EIO = 5;
const ENOENT = 2;

function fixture(partBytes?: number): Fixture & { remote: AwayRemote } {
  const f = new Fixture(undefined, {
    remote: (tree, directory) => new AwayRemote(tree, directory, partBytes),
  });
  onTestFinished(() => f.cleanUp());
  return f as Fixture & { remote: AwayRemote };
}

/** As a driver: what must wait for a content is asked again when something has come. */
function awaiting<T>(f: Fixture, operation: () => T): T {
  for (;;) {
    try {
      return operation();
    } catch (error) {
      if (!(error instanceof ContentAwaited)) throw error;
      if (!f.remote!.serve(f.fs.away!)) throw new Error('nobody brings what is waited for', { cause: error });
    }
  }
}

function read(f: Fixture, path: string, position = 0, length = 1000): string | number {
  const handle = awaiting(f, () => f.fs.open(CALLER, bytes(path), O_RDONLY));
  if (handle < 0) return handle;
  const into = Buffer.alloc(length);
  const count = awaiting(f, () => f.fs.read(handle, into, 0, length, position));
  f.fs.release(handle);
  return count < 0 ? count : into.toString('latin1', 0, count);
}

function inoOf(f: Fixture, path: string): number {
  return f.stat(path).ino;
}

/** Ships the file's content, and gives it up here. */
function sendAway(f: Fixture & { remote: AwayRemote }, path: string, born = 0): ContentName {
  const ino = inoOf(f, path);
  expect(f.remote.ship(ino, born)).toBe(true);
  expect(f.remote.evict(f.fs.away!, ino, born)).toBe(true);
  expect(existsSync(contentPath(f.contentDirectory, ino, born))).toBe(false);
  return { ino, born };
}

describe('a content that only the remote has', () => {
  it('has its size and times, and comes when it is read', () => {
    const f = fixture();
    f.write('/a', 'some bytes that are away');
    const before = f.stat('/a');
    sendAway(f, '/a');
    expect(f.stat('/a')).toEqual(before);
    expect(f.remote.asked).toEqual([]);
    expect(read(f, '/a')).toBe('some bytes that are away');
    expect(f.stat('/a')).toEqual(before);
  });

  it('comes in parts for who only reads, no more of them than are wanted and those after', () => {
    const f = fixture(8);
    const text = Array.from({ length: 100 }, (_, i) => `line ${String(i).padStart(2, '0')}`).join('\n');
    f.write('/a', text);
    const { ino } = sendAway(f, '/a');
    expect(read(f, '/a', 400, 5)).toBe(text.slice(400, 405));
    expect(f.remote.fetchedParts).toBeLessThanOrEqual(2);
    expect(read(f, '/a', 0, 20)).toBe(text.slice(0, 20));
    expect(existsSync(contentPath(f.contentDirectory, ino))).toBe(false);
    expect(read(f, '/a', 0, 10_000)).toBe(text);
  });

  it('is whole before it is written, and has its name then', () => {
    const f = fixture(8);
    f.write('/a', '0123456789abcdefghij');
    const { ino } = sendAway(f, '/a');
    const reader = f.fs.open(CALLER, bytes('/a'), O_RDONLY);
    const handle = awaiting(f, () => f.fs.open(CALLER, bytes('/a'), O_RDWR));
    expect(existsSync(contentPath(f.contentDirectory, ino))).toBe(true);
    f.fs.write(handle, bytes('XY'), 0, 2, 9);
    const into = Buffer.alloc(30);
    expect(awaiting(f, () => f.fs.read(reader, into, 0, 30, 0))).toBe(20);
    expect(into.toString('latin1', 0, 20)).toBe('012345678XYbcdefghij');
    f.fs.release(reader);
    f.fs.release(handle);
    expect(read(f, '/a')).toBe('012345678XYbcdefghij');
    // What the remote has is not what is here.
    expect(f.remote.evict(f.fs.away!, ino, 0)).toBe(false);
    sendAway(f, '/a');
    expect(read(f, '/a')).toBe('012345678XYbcdefghij');
  });

  it('need not come to be replaced', () => {
    const f = fixture();
    f.write('/a', 'old');
    f.write('/b', 'old');
    sendAway(f, '/a');
    sendAway(f, '/b');
    const handle = f.fs.open(CALLER, bytes('/a'), O_WRONLY | O_TRUNC);
    expect(handle).toBeGreaterThan(0);
    f.fs.write(handle, bytes('new'), 0, 3, 0);
    f.fs.release(handle);
    expect(f.setattr('/b', { valid: CHANGE_SIZE, size: 0 })).toBe(0);
    expect(f.remote.asked).toEqual([]);
    expect(read(f, '/a')).toBe('new');
    expect(read(f, '/b')).toBe('');
  });

  it('is truncated, copied from and sought in as others are', () => {
    const f = fixture(8);
    f.write('/a', '0123456789abcdefghij');
    f.write('/b', '0123456789abcdefghij');
    f.write('/c', '');
    sendAway(f, '/a');
    sendAway(f, '/b');
    expect(awaiting(f, () => f.setattr('/a', { valid: CHANGE_SIZE, size: 12 }))).toBe(0);
    expect(read(f, '/a')).toBe('0123456789ab');
    const from = awaiting(f, () => f.fs.open(CALLER, bytes('/b'), O_RDONLY));
    const to = f.fs.open(CALLER, bytes('/c'), O_WRONLY);
    expect(awaiting(f, () => f.fs.copyRange(from, 2, to, 0, 12))).toBe(12);
    expect(awaiting(f, () => f.fs.lseek(from, 5, 3))).toBe(5);
    f.fs.release(from);
    f.fs.release(to);
    expect(read(f, '/c')).toBe('23456789abcd');
  });

  it('stays while somebody has it open, or the remote has not what is here', () => {
    const f = fixture();
    f.write('/a', 'bytes');
    const ino = inoOf(f, '/a');
    expect(f.remote.evict(f.fs.away!, ino, 0)).toBe(false);
    f.remote.ship(ino, 0);
    const handle = f.fs.open(CALLER, bytes('/a'), O_RDONLY);
    expect(f.remote.evict(f.fs.away!, ino, 0)).toBe(false);
    f.fs.release(handle);
    f.write('/a', 'BYTES');
    expect(f.remote.evict(f.fs.away!, ino, 0)).toBe(false);
  });

  it('stays although it has the size and the time of what the remote has, once it was written', () => {
    const f = fixture();
    f.write('/a', 'bytes');
    const ino = inoOf(f, '/a');
    const before = f.stat('/a');
    f.remote.ship(ino, 0);
    f.write('/a', 'BYTES');
    const { mtimeSeconds, mtimeNanos } = before;
    expect(f.setattr('/a', { valid: 32, mtimeSeconds, mtimeNanos })).toBe(0);
    expect(f.remote.evict(f.fs.away!, ino, 0)).toBe(false);
  });

  it('fails with EIO where the remote has lost it, and is asked for anew later', () => {
    const f = fixture();
    f.write('/a', 'bytes');
    sendAway(f, '/a');
    f.remote.isBroken = true;
    expect(read(f, '/a')).toBe(-EIO);
    f.fs.rest();
    f.remote.isBroken = false;
    expect(read(f, '/a')).toBe('bytes');
  });

  it('does not come back when it was removed meanwhile', () => {
    const f = fixture();
    f.write('/a', 'bytes');
    const { ino } = sendAway(f, '/a');
    expect(() => f.fs.open(CALLER, bytes('/a'), O_RDONLY)).toThrow(ContentAwaited);
    expect(f.unlink('/a')).toBe(0);
    f.fs.forget(ino);
    f.reclaimed([ino]);
    while (f.remote.serve(f.fs.away!));
    expect(f.remote.find(ino, 0)).toBeUndefined();
    expect(existsSync(contentPath(f.contentDirectory, ino))).toBe(false);
    expect(readdirSync(`${f.contentDirectory}/away`)).toEqual([]);
  });

  it('is a content of snapshots, too', () => {
    const f = fixture();
    f.write('/a', 'first');
    f.fs.snapshots.take('s');
    awaiting(f, () => f.write('/a', 'other'));
    const ino = inoOf(f, '/a');
    f.remote.ship(ino, 0);
    expect(f.remote.evict(f.fs.away!, ino, 0)).toBe(true);
    sendAway(f, '/a', 1);
    const place = { snapshot: f.tree.snapshots()[0]!.id, path: bytes('/a') };
    const handle = awaiting(f, () => f.fs.past.open(place, O_RDONLY));
    const into = Buffer.alloc(10);
    expect(awaiting(f, () => f.fs.past.read(handle, into, 0, 10, 0))).toBe(5);
    expect(into.toString('latin1', 0, 5)).toBe('first');
    f.fs.past.release(handle);
    expect(read(f, '/a')).toBe('other');
  });
});

describe('what a kill or a power cut leaves of a content that the remote has', () => {
  it('is fetched anew where it was on its way', () => {
    const f = fixture(8);
    f.write('/a', '0123456789abcdefghij');
    sendAway(f, '/a');
    expect(read(f, '/a', 0, 3)).toBe('012');
    f.remote.forget();
    f.open();
    expect(readdirSync(`${f.contentDirectory}/away`)).toEqual([]);
    expect(read(f, '/a')).toBe('0123456789abcdefghij');
  });

  it('is fetched anew where the disk has less of it', () => {
    const f = fixture();
    f.write('/a', 'whole');
    f.write('/b', 'whole');
    for (const path of ['/a', '/b']) f.remote.ship(inoOf(f, path), 0);
    truncateSync(contentPath(f.contentDirectory, inoOf(f, '/a')), 2);
    expect(read(f, '/a')).toBe('whole');
    truncateSync(contentPath(f.contentDirectory, inoOf(f, '/b')), 2);
    f.pretendReboot();
    f.open();
    expect(f.stat('/b').size).toBe(5);
    expect(read(f, '/b')).toBe('whole');
  });

  it('is given up where the store was taken over, and the remote had less', () => {
    const f = fixture();
    f.write('/a', 'older');
    f.write('/b', 'never shipped');
    f.remote.ship(inoOf(f, '/a'), 0);
    f.write('/a', 'newer, and longer');
    rmSync(f.contentDirectory, { recursive: true });
    f.remote.forget();
    noteTaken(f.tree, 'this boot', 1);
    f.open();
    expect(read(f, '/a')).toBe('older');
    expect(read(f, '/b')).toBe('');
    expect(f.stat('/a').size).toBe(5);
    expect(f.troubles.size).toBe(0);
    f.write('/b', 'again');
    expect(read(f, '/b')).toBe('again');
  });
});

it.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'random changes, evictions and kills show what was written, seed %i',
  (seed) => {
    const random = seededRandom(seed);
    const below = (n: number) => Math.floor(random() * n);
    const f = fixture(4);
    const model = new Map<string, string>();
    const paths = ['/a', '/b', '/c', '/d'];
    const text = () => Array.from({ length: below(30) }, () => String.fromCharCode(97 + below(26))).join('');
    const atRest = (path: string) => !f.stat(path).live;
    for (let step = 0; step < 400; step++) {
      const path = paths[below(paths.length)]!;
      const old = model.get(path);
      switch (below(9)) {
        case 0: {
          const [data, position] = [text(), below(20)];
          awaiting(f, () => f.write(path, data, position));
          const padded = (old ?? '').padEnd(data.length > 0 ? position : 0, '\0');
          if (data.length > 0 || old === undefined)
            model.set(path, padded.slice(0, position) + data + padded.slice(position + data.length));
          break;
        }
        case 1: {
          if (old === undefined) break;
          const data = text();
          const handle = awaiting(f, () => f.fs.open(CALLER, bytes(path), O_WRONLY | O_TRUNC));
          f.fs.write(handle, bytes(data), 0, data.length, 0);
          f.fs.release(handle);
          model.set(path, data);
          break;
        }
        case 2: {
          if (old === undefined) break;
          const size = below(25);
          expect(awaiting(f, () => f.setattr(path, { valid: CHANGE_SIZE, size }))).toBe(0);
          model.set(path, old.padEnd(size, '\0').slice(0, size));
          break;
        }
        case 3: {
          if (old === undefined) break;
          const ino = inoOf(f, path);
          expect(f.unlink(path)).toBe(0);
          f.fs.forget(ino);
          if (f.scheduled.includes(ino)) {
            rmSync(contentPath(f.contentDirectory, ino), { force: true });
            f.reclaimed([ino]);
          }
          model.delete(path);
          break;
        }
        case 4: {
          const to = paths[below(paths.length)]!;
          if (old === undefined || to === path) break;
          const replaced = model.has(to) ? inoOf(f, to) : 0;
          expect(f.rename(path, to)).toBe(0);
          if (replaced > 0) {
            f.fs.forget(replaced);
            rmSync(contentPath(f.contentDirectory, replaced), { force: true });
            f.reclaimed([replaced]);
          }
          model.delete(path);
          model.set(to, old);
          break;
        }
        case 5:
        case 6: {
          if (old === undefined || !atRest(path)) break;
          const ino = inoOf(f, path);
          if (f.remote.find(ino, 0) === undefined || below(2) === 0) f.remote.ship(ino, 0);
          f.remote.evict(f.fs.away!, ino, 0);
          break;
        }
        case 7: {
          if (old === undefined) break;
          const position = below(old.length + 1);
          expect(read(f, path, position, 6)).toBe(old.slice(position, position + 6));
          break;
        }
        default:
          if (below(3) > 0) while (f.remote.serve(f.fs.away!));
          else {
            f.remote.forget();
            f.open();
          }
      }
      if (old !== undefined && model.has(path)) expect(f.stat(path).size).toBe(model.get(path)!.length);
    }
    for (const [path, content] of model) expect(read(f, path, 0, 1000)).toBe(content);
    expect(f.troubles.size).toBe(0);
  },
);

describe('a content that becomes another while it is brought', () => {
  const changed = (f: ReturnType<typeof fixture>, ino: number) => {
    f.remote.replace(ino, 0, 'what is new');
    f.fs.followed.contentChanged(ino, 0);
  };
  const asks = (f: Fixture) => () => f.fs.open(CALLER, bytes('/a'), O_RDWR);

  it('comes as it is now, though the answer about the one before comes later', () => {
    const f = fixture();
    f.write('/a', 'what is old');
    const { ino } = sendAway(f, '/a');
    expect(asks(f)).toThrow(ContentAwaited);
    const { attempt } = f.remote.asked[0]!;
    changed(f, ino);
    expect(asks(f)).toThrow(ContentAwaited);
    // As whoever was told to drop it answers.
    f.fs.away!.arrived(ino, 0, attempt, -ENOENT);
    f.fs.away!.partArrived(ino, 0, attempt, 0, -ENOENT);
    expect(asks(f)).toThrow(ContentAwaited);
    expect(read(f, '/a')).toBe('what is new');
  });

  it.each([1000, 8])('is never the one before, of which all had come, in parts of %i bytes', (partBytes) => {
    const f = fixture(partBytes);
    f.write('/a', 'what is old');
    const { ino } = sendAway(f, '/a');
    expect(asks(f)).toThrow(ContentAwaited);
    const late: (() => void)[] = [];
    const answers = f.fs.away!;
    f.remote.serve({ ...answers, arrived: (...answer) => late.push(() => answers.arrived(...answer)) });
    changed(f, ino);
    // Once while nobody wants it, and once while the new one is on its way.
    late[0]!();
    expect(existsSync(contentPath(f.contentDirectory, ino))).toBe(false);
    expect(asks(f)).toThrow(ContentAwaited);
    late[0]!();
    expect(existsSync(contentPath(f.contentDirectory, ino))).toBe(false);
    expect(read(f, '/a')).toBe('what is new');
    expect(readdirSync(`${f.contentDirectory}/away`)).toEqual([]);
  });

  it('is brought where somebody only wants it to be here, and there is nothing to bring of what is', () => {
    const f = fixture();
    f.write('/a', 'what is old');
    const { ino } = sendAway(f, '/a');
    expect(f.fs.away!.want(ino, 0)).toBe(true);
    expect(f.fs.away!.want(ino, 0)).toBe(true);
    expect(f.remote.asked).toHaveLength(1);
    changed(f, ino);
    while (f.remote.serve(f.fs.away!));
    expect(existsSync(contentPath(f.contentDirectory, ino))).toBe(false);
    expect(f.fs.away!.want(ino, 0)).toBe(true);
    while (f.remote.serve(f.fs.away!));
    expect(f.remote.asked).toEqual([]);
    expect(f.fs.away!.want(ino, 0)).toBe(false);
    expect(f.fs.away!.want(ino + 100, 0)).toBe(false);
    expect(read(f, '/a')).toBe('what is new');
  });
});
