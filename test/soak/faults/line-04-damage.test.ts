/**
 * Files that lie: the journal cut at every byte of its last records, bits flipped in everything but the blobs' data, and in
 * that. Each damage is told, or does no harm; nothing wrong is ever read, and nothing ends the process.
 */
import { FileBlobStore, SpinneyError } from '../../../engine/index.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { abandon, SeededTree, STORE } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 25;
/** Openings for each seed. */
const CUTS = 200;
const BITS = 200;
const FLIPS = 500;
const DATA = `${STORE}/blobs.dat`;

const DETECTED = new Set([
  'ERR_JOURNAL_CORRUPT',
  'ERR_MANIFEST_CORRUPT',
  'ERR_BLOB_CORRUPT',
  'ERR_BLOB_MISSING',
  'ERR_FORMAT_VERSION',
  'ERR_NO_STORE',
]);

/** Whether the damage was told; throws where what is read is wrong. */
function isDetected(site: SeededTree, disk: MemoryDisk, least: number): boolean {
  try {
    const tree = site.open(disk);
    try {
      site.check(tree, least, site.returned);
    } finally {
      abandon(tree);
    }
    return false;
  } catch (error) {
    if (error instanceof SpinneyError && DETECTED.has(error.code)) return true;
    throw error;
  }
}

function usedBytes(bytes: Uint8Array): number {
  return bytes.findLastIndex((byte) => byte !== 0) + 1;
}

soak({ line: 4, title: 'the journal cut at every byte of its last three records', seeds: 2 }, (seed) => {
  const site = new SeededTree(seed, { scale: 'small', durability: 'buffered' });
  const figures = { cuts: 0, 'of acknowledged records': 0, told: 0 };
  try {
    for (let done = 0; done < OPERATIONS; done++) site.apply(site.operation());
    site.apply('sync');
    const value = Buffer.alloc(20, seed);
    const put = (name: string) => site.apply({ op: 'put', key: name, value });
    put('x');
    site.apply('sync');
    const acknowledged = site.acknowledged;
    for (const name of ['a', 'b', 'c']) put(name);
    let written: MemoryDisk | undefined;
    site.disk.onCall = ({ name }) => {
      if (name === 'fdatasync') written ??= site.disk.inner.afterKill();
      return undefined;
    };
    site.apply('sync');
    if (written === undefined) throw new Error('nothing was synced');
    const durable = site.disk.inner.afterPowerCut('keep');
    // Written and not synced, the ring as old as can be; the same with the ring as it was; and all durable.
    const unsynced = written.afterPowerCut('keep');
    const old = written.afterPowerCut('drop');
    const ring = `${STORE}/journal.ring`;
    const stale = unsynced.afterKill();
    stale.writeFile(ring, old.readFile(ring));
    for (const [disk, least] of [
      [stale, acknowledged],
      [unsynced, acknowledged],
      [durable, site.returned],
    ] as const) {
      const path = `${STORE}/${disk
        .list(STORE)
        .filter((name) => /^journal-.*wal$/.test(name))
        .sort()
        .at(-1)}`;
      const bytes = disk.readFile(path);
      const end = usedBytes(bytes) + 8;
      for (let length = Math.max(0, end - CUTS); length <= end; length++) {
        const cut = disk.afterKill();
        cut.writeFile(path, bytes.subarray(0, length));
        const isTold = isDetected(site, cut, least);
        if (isTold && disk !== durable)
          throw new Error(`cut at ${length}: refused, though none was acknowledged`);
        figures.cuts++;
        if (disk === durable) figures['of acknowledged records']++;
        if (isTold) figures.told++;
      }
    }
  } finally {
    site.end();
  }
  return figures;
});

soak({ line: 4, title: 'bits of the journal, ring, run and manifests flipped', seeds: 3 }, (seed) => {
  // A few stores in turn, so that successive seeds go through all of their bits.
  const site = new SeededTree(1 + (seed % 4), { scale: 'small' });
  const figures = { flips: 0, told: 0, harmless: 0 };
  try {
    for (let done = 0; done < OPERATIONS; done++) site.apply(site.operation());
    for (const name of ['a', 'b', 'c']) site.apply({ op: 'put', key: name, value: Buffer.from(name) });
    if (seed % 4 === 0) site.tree.close();
    const whole = site.disk.inner.afterKill();
    const files = whole
      .list(STORE)
      .sort()
      .filter((name) => `${STORE}/${name}` !== DATA)
      .map((name) => ({ path: `${STORE}/${name}`, bytes: whole.readFile(`${STORE}/${name}`) }));
    const places = files.flatMap(({ bytes }, file) => {
      const all: [number, number][] = [];
      const end = Math.min(bytes.length, usedBytes(bytes) + 16);
      // Of what is still zero, a bit of each byte is enough.
      for (let bit = 0; bit < end * 8; bit += bytes[bit >> 3] === 0 ? 8 : 1)
        all.push([file, bit + ((bit >> 3) % 8) * (bytes[bit >> 3] === 0 ? 1 : 0)]);
      return all;
    });
    const first = Math.floor(seed / 4) * BITS;
    for (let count = 0; count < BITS; count++) {
      const [file, bit] = places[(first + count) % places.length] as [number, number];
      const { path, bytes } = files[file] as (typeof files)[number];
      const flipped = bytes.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
      const disk = whole.afterKill();
      disk.writeFile(path, flipped);
      try {
        figures[isDetected(site, disk, site.returned) ? 'told' : 'harmless']++;
      } catch (error) {
        throw new Error(`bit ${bit & 7} of byte ${bit >> 3} of ${path}: ${error}`, { cause: error });
      }
      figures.flips++;
    }
  } finally {
    abandon(site.tree);
  }
  return figures;
});

soak({ line: 4, title: 'random bits of frames flipped', seeds: 2 }, (seed) => {
  const site = new SeededTree(seed, { scale: 'large' });
  const random = seededRandom(seed + 0x5eed);
  const figures = { flips: 0, told: 0, harmless: 0, 'trees read': 0 };
  try {
    for (let done = 0; done < OPERATIONS; done++) {
      site.apply(site.operation());
      site.apply({ op: 'put', key: site.keys(), value: Buffer.alloc(30_000, done) });
    }
    site.apply({ op: 'checkpoint' });
    const disk = site.disk.inner.afterPowerCut('keep');
    const fd = disk.open(DATA, { write: true });
    const size = disk.size(fd);
    const byte = new Uint8Array(1);
    const flip = (at: number, bit: number): void => {
      disk.read(fd, byte, 0, 1, at);
      disk.write(fd, [Uint8Array.of((byte[0] as number) ^ (1 << bit))], at);
      disk.fsync(fd);
    };
    const image = new Uint8Array(BLOB_SIZE);
    const store = FileBlobStore.open({ dir: STORE, disk, readOnly: true });
    const blobs = store.listBlobs();
    const sound = new Map(
      blobs.map((id) => {
        store.readBlob(id, image);
        return [id, Buffer.from(image)] as const;
      }),
    );
    const places: [number, number][] = [];
    for (let count = 0; count < FLIPS; count++) {
      const place: [number, number] = [Math.floor(random() * size), Math.floor(random() * 8)];
      places.push(place);
      flip(...place);
      let isTold = false;
      for (const id of blobs) {
        try {
          store.readBlob(id, image);
          if (!sound.get(id)?.equals(image)) throw new Error(`bit ${place}: blob ${id} was read wrong`);
        } catch (error) {
          if (!(error instanceof SpinneyError) || error.code !== 'ERR_BLOB_CORRUPT') throw error;
          isTold = true;
        }
      }
      flip(...place);
      figures.flips++;
      figures[isTold ? 'told' : 'harmless']++;
    }
    store.close();
    for (const place of places.slice(0, 10)) {
      flip(...place);
      isDetected(site, disk.afterKill(), site.returned);
      flip(...place);
      figures['trees read']++;
    }
  } finally {
    site.end();
  }
  return figures;
});
