/** Slots of blobs.dat exchanged, and images of an earlier generation put back: each is told, and nothing wrong is read. */
import { FileBlobStore, SpinneyError } from '../../../engine/index.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { IMAGE_OFFSET } from '../../../engine/store/image.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { abandon, SeededTree, STORE } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const GENERATIONS = 6;
const CHANGES = 8;
const CASES = 40;
const DATA = `${STORE}/blobs.dat`;

interface Slot {
  index: number;
  id: number;
  image: Buffer;
}

/** The slots that the manifest refers to. */
function liveSlots(disk: MemoryDisk): Slot[] {
  const bytes = disk.readFile(DATA);
  const store = FileBlobStore.open({ dir: STORE, disk: disk.afterKill(), readOnly: true });
  const image = Buffer.alloc(BLOB_SIZE);
  try {
    return store.listBlobs().map((id) => {
      store.readBlob(id, image);
      for (let index = 0; (index + 1) * BLOB_SIZE <= bytes.length; index++) {
        const slot = Buffer.from(bytes.buffer, index * BLOB_SIZE, BLOB_SIZE);
        if (slot.readUInt32LE(IMAGE_OFFSET.id) === id && slot.equals(image))
          return { index, id, image: Buffer.from(image) };
      }
      throw new Error(`blob ${id} is in no slot`);
    });
  } finally {
    store.close();
  }
}

soak({ line: 5, title: 'swapped slots and stale frames', seeds: 2 }, (seed) => {
  const site = new SeededTree(seed, { scale: 'large' });
  const random = seededRandom(seed + 0x5eed);
  const figures = { swaps: 0, stale: 0, told: 0 };
  try {
    const older: Slot[][] = [];
    for (let generation = 0; generation < GENERATIONS; generation++) {
      for (let change = 0; change < CHANGES; change++)
        site.apply({ op: 'put', key: site.keys(), value: Buffer.alloc(30_000, random() * 255) });
      site.apply({ op: 'checkpoint' });
      older.push(liveSlots(site.disk.inner.afterPowerCut('keep')));
    }
    const whole = site.disk.inner.afterPowerCut('keep');
    const live = older.pop() as Slot[];
    const put = (disk: MemoryDisk, index: number, image: Uint8Array): void => {
      const fd = disk.open(DATA, { write: true });
      disk.write(fd, [image], index * BLOB_SIZE);
      disk.fsync(fd);
      disk.close(fd);
    };
    const told = (disk: MemoryDisk, ids: number[]): void => {
      const store = FileBlobStore.open({ dir: STORE, disk: disk.afterKill(), readOnly: true });
      try {
        for (const id of ids) {
          const code = codeOf(() => store.readBlob(id, new Uint8Array(BLOB_SIZE)));
          if (code !== 'ERR_BLOB_CORRUPT')
            throw new Error(`blob ${id} was read from another's image: ${code}`);
          figures.told++;
        }
      } finally {
        store.close();
      }
      // The tree is whole, but for what is told; a checkpoint may have been all that needed the blob.
      const code = codeOf(() => {
        const tree = site.open(disk);
        try {
          site.check(tree, site.returned, site.returned);
        } finally {
          abandon(tree);
        }
      });
      if (code !== 'ERR_BLOB_CORRUPT') throw new Error(`the tree reads on without blobs ${ids}: ${code}`);
    };
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    for (let count = 0; count < CASES; count++) {
      const disk = whole.afterKill();
      const slot = pick(live);
      if (random() < 0.5 && live.length > 1) {
        const other = pick(live.filter(({ index }) => index !== slot.index));
        put(disk, slot.index, other.image);
        put(disk, other.index, slot.image);
        told(disk, [slot.id, other.id]);
        figures.swaps++;
      } else {
        const stale = pick(
          older.flat().filter(({ id, image }) => id === slot.id && !image.equals(slot.image)),
        );
        if (stale === undefined) continue;
        put(disk, slot.index, stale.image);
        told(disk, [slot.id]);
        figures.stale++;
      }
    }
  } finally {
    site.end();
  }
  return figures;
});

function codeOf(run: () => void): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof SpinneyError) return error.code;
    throw error;
  }
  return undefined;
}
