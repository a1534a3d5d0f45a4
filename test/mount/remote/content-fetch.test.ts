/** Contents on their way from a remote: in parts, each once, into files that are whole when that is said. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { SpinneyError } from '../../../engine/errors.js';
import type { ContentPart, ShippedContent } from '../../../engine/shipped-contents.js';
import { awayPath } from '../../../mount/filesystem/contents/away/away.js';
import { SystemDisk } from '../../../mount/filesystem/contents/disk/system.js';
import { ContentFetch } from '../../../mount/remote/content-fetch.js';
import { seededRandom } from '../../support/disk/random.js';

const PART = 4096;
const { EIO, ENOENT } = { EIO: 5, ENOENT: 2 };
const disk = new SystemDisk();

class World {
  readonly directory = mkdtempSync(join(tmpdir(), 'spinney-fetch-'));
  readonly contents = new Map<number, { shipped: ShippedContent; bytes: Buffer }>();
  readonly logged: string[] = [];
  asked = 0;
  /** Called before a part is answered. */
  onFetch: (part: ContentPart) => Promise<void> | void = () => {};
  readonly fetch: ContentFetch;

  constructor() {
    onTestFinished(async () => {
      await this.fetch.close();
      rmSync(this.directory, { recursive: true });
    });
    this.fetch = new ContentFetch(this.directory, {
      find: (ino) => this.contents.get(ino)?.shipped,
      fetch: async (part) => {
        this.asked++;
        await this.onFetch(part);
        const [ino, index] = part.name!.split('/').map(Number) as [number, number];
        return this.contents.get(ino)!.bytes.subarray(index * PART, index * PART + part.bytes);
      },
      isPassing: (error) => error instanceof SpinneyError && error.code === 'ERR_REMOTE_UNAVAILABLE',
      setTime: (fd, seconds, nanos) => disk.setModificationTime(fd, seconds, nanos),
      log: (message) => this.logged.push(message),
    });
  }

  add(ino: number, size: number, holes: readonly number[] = []): Buffer {
    const bytes = Buffer.alloc(size);
    for (let at = 0; at < size; at++)
      bytes[at] = holes.includes(Math.floor(at / PART)) ? 0 : (at * 7 + ino) % 251;
    const parts = Array.from({ length: Math.ceil(size / PART) }, (_, index): ContentPart => {
      const length = Math.min(PART, size - index * PART);
      const name = holes.includes(index) ? undefined : `${ino}/${index}`;
      return { name, offset: 0, bytes: length, crc: 0, digest: new Uint8Array(16) };
    });
    const mtime = { seconds: 1_000_000 + ino, nanos: 123_456_789 };
    this.contents.set(ino, { shipped: { size, mtime, ctime: mtime, parts }, bytes });
    return bytes;
  }

  path(ino: number): string {
    return awayPath(this.directory, ino, 0, 1);
  }
}

describe('fetching contents', () => {
  it('makes a file of its parts, with its time, and asks for each part once', async () => {
    const world = new World();
    const bytes = world.add(1, 5 * PART + 100, [2]);
    const results = await Promise.all([
      world.fetch.part(1, 0, 1, 3),
      world.fetch.whole(1, 0, 1, 'demand'),
      world.fetch.part(1, 0, 1, 3),
      world.fetch.whole(1, 0, 1, 'background'),
    ]);
    expect(results).toEqual([0, 0, 0, 0]);
    expect(world.asked).toBe(5);
    expect(readFileSync(world.path(1)).equals(bytes)).toBe(true);
    const { mtimeNs } = statSync(world.path(1), { bigint: true });
    expect(mtimeNs).toBe(1_000_001_123_456_789n);
  });

  it('has one part where only one is wanted', async () => {
    const world = new World();
    const bytes = world.add(1, 3 * PART);
    expect(await world.fetch.part(1, 0, 1, 1)).toBe(0);
    expect(world.asked).toBe(1);
    const file = readFileSync(world.path(1));
    expect(file.length).toBe(bytes.length);
    expect(file.subarray(PART, 2 * PART).equals(bytes.subarray(PART, 2 * PART))).toBe(true);
  });

  it('makes an empty file of an empty content, and none of one that the remote has not', async () => {
    const world = new World();
    world.add(1, 0);
    expect(await world.fetch.whole(1, 0, 1, 'demand')).toBe(0);
    expect(statSync(world.path(1)).size).toBe(0);
    expect(await world.fetch.whole(2, 0, 1, 'demand')).toBe(-ENOENT);
  });

  it('goes on trying while the object store does not answer, and fails where it refuses', async () => {
    const world = new World();
    const bytes = world.add(1, PART);
    let isAway = true;
    world.onFetch = () => {
      if (!isAway) return;
      isAway = false;
      throw new SpinneyError('ERR_REMOTE_UNAVAILABLE', 'Cannot get it: no answer');
    };
    expect(await world.fetch.whole(1, 0, 1, 'demand')).toBe(0);
    expect(readFileSync(world.path(1)).equals(bytes)).toBe(true);
    world.add(2, PART);
    world.onFetch = () => {
      throw new SpinneyError('ERR_REMOTE_CORRUPT', 'Cannot get it: there is no such object');
    };
    expect(await world.fetch.whole(2, 0, 1, 'demand')).toBe(-EIO);
    expect(world.logged[0]).toContain('there is no such object');
    // The next one who asks has it tried again.
    world.onFetch = () => {};
    expect(await world.fetch.whole(2, 0, 1, 'demand')).toBe(0);
  });

  it('leaves nothing of what is not wanted any more', async () => {
    const world = new World();
    world.add(1, 20 * PART);
    let dropped: Promise<void> | undefined;
    world.onFetch = () => {
      dropped ??= world.fetch.drop(1, 0, 1);
    };
    expect(await world.fetch.whole(1, 0, 1, 'demand')).toBe(-ENOENT);
    await dropped;
    expect(existsSync(world.path(1))).toBe(false);
  });

  it('brings what somebody waits for before what is only wanted some time', async () => {
    const world = new World();
    world.add(1, 200 * PART);
    world.add(2, PART);
    const order: string[] = [];
    world.onFetch = async ({ name }) => {
      order.push(name!);
      await new Promise((resolve) => setImmediate(resolve));
    };
    const background = world.fetch.whole(1, 0, 1, 'background');
    await new Promise((resolve) => setImmediate(resolve));
    const demand = world.fetch.part(2, 0, 1, 0);
    await Promise.all([background, demand]);
    expect(order.indexOf('2/0')).toBeLessThan(150);
  });

  it.each([1, 2, 3])('is whole whenever it says so, whatever fails and is dropped, seed %i', async (seed) => {
    const random = seededRandom(seed);
    const below = (n: number) => Math.floor(random() * n);
    const world = new World();
    for (let ino = 1; ino <= 5; ino++) world.add(ino, below(10 * PART), [below(12)]);
    world.onFetch = async () => {
      if (below(3) === 0) await new Promise((resolve) => setImmediate(resolve));
      if (below(10) === 0) throw new SpinneyError('ERR_REMOTE_CORRUPT', 'Cannot get it: bad luck');
    };
    const work = Array.from({ length: 120 }, async () => {
      await new Promise((resolve) => setTimeout(resolve, below(30)));
      const ino = 1 + below(5);
      if (below(6) === 0) return await world.fetch.drop(ino, 0, 1);
      if (below(2) === 0) await world.fetch.part(ino, 0, 1, below(10));
      else await world.fetch.whole(ino, 0, 1, below(2) === 0 ? 'demand' : 'background');
    });
    await Promise.all(work);
    world.onFetch = () => {};
    for (const [ino, { bytes }] of world.contents) {
      await world.fetch.drop(ino, 0, 1);
      expect(await world.fetch.whole(ino, 0, 1, 'demand')).toBe(0);
      expect(readFileSync(world.path(ino)).equals(bytes)).toBe(true);
    }
    const open = readdirSync('/proc/self/fd').filter((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`).startsWith(world.directory);
      } catch {
        // The listing's own.
        return false;
      }
    });
    expect(open).toEqual([]);
  });
});
