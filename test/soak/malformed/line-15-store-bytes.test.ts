/**
 * The files of a store with parts of one changed, cut, moved or added. Opening gives what was there or an error with a code; so
 * it does, only that what was there may be another, where a checksum was made to fit.
 */
import { crc32 } from 'node:zlib';
import { SpinneyError } from '../../../engine/errors.js';
import { MemoryBlobStore, Tree } from '../../../engine/index.js';
import { BLOB_SIZE } from '../../../engine/limits.js';
import { FileBlobStore } from '../../../engine/store/file/file-blob-store.js';
import { sealImage } from '../../../engine/store/image.js';
import { verifyBlobs } from '../../../engine/tree/verify/verify.js';
import {
  append,
  newDisk,
  openJournal,
  put,
  type Recovered,
  recover,
  sample,
} from '../../engine/journal/harness.js';
import { contentsOf, makeImage, makeMark } from '../../engine/store/images.js';
import { SMALL_CACHE } from '../../engine/tree/harness.js';
import { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';
import { Mutator } from './mutations.js';

/** Entries that a scan may give of a tree that has far fewer. */
const MOST_ENTRIES = 100_000;

/** The error's code; throws what has none, for nobody could foresee it. */
function codeOf(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (!(error instanceof SpinneyError)) throw error;
    return error.code;
  }
}

/** Makes the CRC of the `length` bytes at `from` right. */
function seal(bytes: Buffer, from: number, length: number, seed = 0): void {
  if (from + length + 4 <= bytes.length)
    bytes.writeUInt32LE(crc32(bytes.subarray(from, from + length), seed), from + length);
}

/** What follows from the file's name: where its checksums are. */
function reseal(path: string, bytes: Buffer): void {
  if (path.endsWith('.run')) for (const at of [0, 4096]) seal(bytes, at, 124);
  else if (path.endsWith('.ring')) {
    seal(bytes, 0, 60);
    if (bytes.length >= 64) for (const at of [512, 1024]) seal(bytes, at, 16, bytes.readUInt32LE(60));
  } else if (path.includes('journal')) {
    seal(bytes, 0, 60);
    seal(bytes, 64, 44);
  } else {
    const start = path.endsWith('.log') ? 4096 : 0;
    if (bytes.length < start + 64) return;
    const header = bytes.subarray(start, start + 64);
    header.writeUInt32LE(crc32(bytes.subarray(start + 64)), 12);
    header.fill(0, 8, 12);
    header.writeUInt32LE(crc32(header), 8);
  }
}

/** Changes one file of a copy of the disk; returns the path, and whether a checksum was made to fit. */
function damage(
  disk: MemoryDisk,
  paths: readonly string[],
  mutator: Mutator,
): { path: string; forged: boolean } {
  const path = mutator.of(paths);
  const changed = mutator.mutate(disk.readFile(path));
  const forged = mutator.random() < 0.5;
  if (forged) reseal(path, changed);
  disk.writeFile(path, changed);
  return { path, forged };
}

const LAST = 60;

/** A journal of a process that was killed: segments, a ring with records that they do not have, and a run. */
function killedJournal(): MemoryDisk {
  const disk = newDisk();
  const journal = openJournal(disk);
  for (let lsn = 1; lsn <= LAST; lsn++) {
    append(journal, lsn, lsn === 30 ? [put('a', 'b'), put('c', 'd')] : sample(lsn));
    journal.acknowledge(lsn);
    if (lsn === 20 || lsn === 45) journal.sync();
  }
  return disk.afterKill();
}

const textOf = (recovered: Recovered): string => JSON.stringify([...recovered.mutations]);

soak({ line: 15, title: 'mutated journals', seeds: 4 }, (seed) => {
  const mutator = new Mutator(seededRandom(seed));
  const original = killedJournal();
  const paths = original.list('/store').map((name) => `/store/${name}`);
  const expected = textOf(recover(original.afterKill(), { hasRun: true, readOnly: true }));
  const figures = { cases: 0, detected: 0, forged: 0 };
  for (let i = 0; i < 100; i++) {
    const disk = original.afterKill();
    const { path, forged } = damage(disk, paths, mutator);
    figures.cases++;
    if (forged) figures.forged++;
    for (const readOnly of [true, false]) {
      let found = '';
      try {
        const code = codeOf(() => {
          found = textOf(recover(disk, { hasRun: true, readOnly }));
        });
        if (code === undefined && !forged && found !== expected)
          throw new Error('it recovered other records');
        if (code !== undefined && readOnly) figures.detected++;
      } catch (error) {
        throw new Error(`case ${i}, ${path}${forged ? ' (forged)' : ''}: ${(error as Error).message}`, {
          cause: error,
        });
      }
    }
  }
  return figures;
});

soak({ line: 15, title: 'mutated manifests', seeds: 2 }, (seed) => {
  const mutator = new Mutator(seededRandom(seed));
  const original = new MemoryDisk();
  const store = FileBlobStore.open({ dir: '/store', disk: original, create: true });
  // Where the log is cut off with all that confirms it, an earlier state is what is left; the journal tells that there was more.
  const states = [JSON.stringify(contentsOf(store))];
  for (const id of [1, 2, 3]) {
    store.writeBlob(id, makeImage(id, id));
    store.flush(makeMark(id, [id + 100]));
    states.push(JSON.stringify(contentsOf(store)));
  }
  store.close();
  const paths = original
    .list('/store')
    .filter((name) => name.startsWith('manifest'))
    .map((name) => `/store/${name}`);
  const figures = { cases: 0, detected: 0, forged: 0 };
  for (let i = 0; i < 100; i++) {
    const disk = original.afterKill();
    const { path, forged } = damage(disk, paths, mutator);
    figures.cases++;
    if (forged) figures.forged++;
    try {
      const code = codeOf(() => {
        const opened = FileBlobStore.open({ dir: '/store', disk, readOnly: true });
        try {
          const found = JSON.stringify(contentsOf(opened));
          if (!forged && !states.includes(found)) throw new Error('it tells of blobs that never were');
        } finally {
          opened.close();
        }
      });
      if (code !== undefined) figures.detected++;
      codeOf(() => FileBlobStore.open({ dir: '/store', disk }).close());
    } catch (error) {
      throw new Error(`case ${i}, ${path}${forged ? ' (forged)' : ''}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
  return figures;
});

/** The images of a small tree, with nodes of every kind and blobs below blobs. */
function images(): Map<number, Uint8Array> {
  const store = new MemoryBlobStore();
  const tree = Tree.open({ store, cacheBytes: SMALL_CACHE, flushOnWrite: false });
  for (let i = 0; i < 400; i++)
    tree.put(`${String.fromCharCode(33 + (i % 90))}${i}/x`, Buffer.alloc((i * 37) % 5000));
  for (let i = 0; i < 30; i++) tree.put(`a${'b'.repeat(i * 20)}`, Buffer.alloc(10));
  tree.checkpoint();
  tree.close();
  return imagesOf(store);
}

function imagesOf(store: MemoryBlobStore): Map<number, Uint8Array> {
  return new Map(
    store.listBlobs().map((id) => {
      const image = new Uint8Array(BLOB_SIZE);
      store.readBlob(id, image);
      return [id, image];
    }),
  );
}

let sound: Map<number, Uint8Array> | undefined;

soak({ line: 15, title: 'mutated frames with checksums that fit', seeds: 15 }, (seed) => {
  const mutator = new Mutator(seededRandom(seed));
  sound ??= images();
  const store = new MemoryBlobStore();
  for (const [id, image] of sound) store.writeBlob(id, image);
  store.flush({ lsn: 1000, generation: 1, nextBlobId: 100, pendingDeletes: [] });
  const id = mutator.of([...sound.keys()]);
  const changed = Buffer.alloc(BLOB_SIZE);
  mutator.mutate(sound.get(id)!).copy(changed);
  sealImage(changed, id, 1);
  store.writeBlob(id, changed);
  const findings: string[] = [];
  const isRefused = codeOf(() => verifyBlobs(store, (message) => findings.push(message))) !== undefined;
  let tree: Tree | undefined;
  codeOf(() => {
    tree = Tree.open({ store, cacheBytes: SMALL_CACHE, readOnly: true });
  });
  if (tree !== undefined) {
    const opened = tree;
    for (let i = 0; i < 400; i += 7) codeOf(() => opened.get(`${String.fromCharCode(33 + (i % 90))}${i}/x`));
    for (const key of ['', '!', 'abbbbbbbb', 'z', '~'.repeat(2000)]) {
      if (key !== '') codeOf(() => opened.get(key));
      codeOf(() => opened.longestPrefix(`${key}x`));
    }
    if (!isRefused && findings.length === 0) {
      let entries = 0;
      codeOf(() => {
        for (const _ of opened.range()) if (++entries > MOST_ENTRIES) throw new Error('the scan has no end');
      });
    }
    codeOf(() => opened.close());
  }
  return { frames: 1, found: Number(isRefused || findings.length > 0) };
});
