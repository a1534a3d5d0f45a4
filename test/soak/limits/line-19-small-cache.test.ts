/**
 * A mount whose cache is much smaller than its tree, under changes that leave as much as there was, with checkpoints forced
 * all the time: the daemon's memory, its descriptors and the store's files level off.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Site } from '../../e2e/site.js';
import { soak } from '../soak.js';

const SCRIPT = join(import.meta.dirname, 'churn.py');
const ROUNDS = 6;
const OPERATIONS = 150;
const CACHE_MIB = 8;
/** What the last third of the rounds may have more than the second. */
const MEMORY_SLACK = 24 * 1024 * 1024;
/** A segment of the journal more or less, and some blobs. */
const FILES_SLACK = 24 * 1024 * 1024;
const DESCRIPTORS_SLACK = 16;

interface Sample {
  memory: number;
  descriptors: number;
  /** Bytes of the disk that the store's files take, those of contents not counted. */
  bytes: number;
  files: number;
}

function sample(site: Site, pid: number): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  let bytes = 0;
  let files = 0;
  const add = (directory: string): void => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) {
        if (path !== join(site.store, 'content')) add(path);
        continue;
      }
      // One that the daemon has just removed.
      const found = statSync(path, { throwIfNoEntry: false });
      bytes += (found?.blocks ?? 0) * 512;
      files++;
    }
  };
  add(site.store);
  return {
    memory: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    bytes,
    files,
  };
}

soak({ line: 19, title: 'a cache smaller than the tree', seeds: 1 }, async (seed) => {
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  try {
    await site.mount('--cache-size', String(CACHE_MIB));
    const pid = site.daemon();
    await site.sh(`python3 ${SCRIPT} $MNT ${seed}`);
    const samples: Sample[] = [];
    let checkpoints = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const churn = site.sh(`python3 ${SCRIPT} $MNT ${seed * ROUNDS + round} ${OPERATIONS}`);
      let isOver = false;
      const over = churn.finally(() => {
        isOver = true;
      });
      while (!isOver) {
        await site.must('checkpoint', '--store', site.store);
        checkpoints++;
      }
      await over;
      samples.push(sample(site, pid));
    }
    const most = (from: number, to: number, what: keyof Sample): number =>
      Math.max(...samples.slice(from * ROUNDS, to * ROUNDS).map((one) => one[what]));
    const slacks = { memory: MEMORY_SLACK, bytes: FILES_SLACK, descriptors: DESCRIPTORS_SLACK, files: 2 };
    for (const [what, slack] of Object.entries(slacks) as [keyof Sample, number][]) {
      const before = most(1 / 3, 2 / 3, what);
      const after = most(2 / 3, 1, what);
      if (after > before + slack) throw new Error(`${what} grew from ${before} to ${after}`);
    }
    const { tree } = await site.stats();
    if (tree.totalSpaceUsed < 2 * CACHE_MIB * 1024 * 1024) throw new Error('the tree fits in the cache');
    await site.umount();
    await site.must('check', site.store);
    const grew = most(2 / 3, 1, 'memory') - most(1 / 3, 2 / 3, 'memory');
    return { operations: ROUNDS * OPERATIONS, checkpoints, grewMiB: grew >> 20 };
  } finally {
    await cleanUp?.();
  }
});
