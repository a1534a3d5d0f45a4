/**
 * What `spinney repair` makes of stores as power cuts leave them: all that opening such a store finds, and nothing else; the
 * store stays as it was, byte for byte. Without the manifest it may find less, and then says so.
 */
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { salvage, Tree, Wreck } from '../../../engine/index.js';
import { MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { SILENT } from '../../../engine/progress.js';
import { filesOf } from '../../mount/repair/stores.js';
import type { MemoryDisk } from '../../support/disk/memory-disk.js';
import { seededRandom } from '../../support/disk/random.js';
import { abandon, isLook, openOn, SeededTree, STORE } from '../../support/seeded-tree.js';
import { soak } from '../soak.js';

const OPERATIONS = 60;
/** Of the calls that change the disk, so many are cut at. */
const SHARE = 0.04;
const MANIFESTS = ['manifest', 'manifest.log', 'manifest.spare', 'manifest.old'];

soak({ line: 2, title: 'repair of what a power cut leaves', seeds: 3 }, (seed) => {
  const home = fs.mkdtempSync(join(os.tmpdir(), 'spinney-cut-'));
  const random = seededRandom(seed + 0x7e9a);
  const figures = { states: 0, records: 0, 'without a manifest': 0, 'of these with something lost': 0 };
  const cuts: MemoryDisk[] = [];
  const site = new SeededTree(seed, {
    watch: (made) => {
      made.disk.onCall = (call) => {
        if (!isLook(call.name) && random() < SHARE) cuts.push(made.disk.inner.afterPowerCut(random));
        return undefined;
      };
    },
  });
  try {
    for (let done = 0; done < OPERATIONS; done++) {
      site.apply(site.operation());
      for (const disk of cuts.splice(0)) {
        const tree = openOn(disk.afterKill(), site);
        const held = holdingsOf(tree);
        const lsn = tree.lastLsn();
        abandon(tree);
        const dir = join(home, 'store');
        putDown(disk, dir);
        if (!fs.existsSync(join(dir, 'blobs.dat'))) continue;
        compare(dir, held, lsn, figures);
      }
    }
    return figures;
  } finally {
    site.end();
    fs.rmSync(home, { recursive: true });
  }
});

function compare(dir: string, held: Map<string, string>, lsn: number, figures: Record<string, number>): void {
  const { found, lastLsn, lost } = salvaged(dir);
  if (lost.length > 0 || lastLsn !== lsn) throw new Error(`LSN ${lastLsn} and not ${lsn}, ${lost.join()}`);
  const difference = differenceOf(held, found);
  if (difference !== undefined) throw new Error(difference);
  figures.states!++;
  figures.records! += found.size;
  for (const name of MANIFESTS) fs.rmSync(join(dir, name), { force: true });
  const without = salvaged(dir);
  figures['without a manifest']!++;
  if (without.lost.length > 0) figures['of these with something lost']!++;
  else {
    const silent = differenceOf(held, without.found);
    if (silent !== undefined) throw new Error(`without a manifest, and nothing told: ${silent}`);
  }
}

function differenceOf(held: Map<string, string>, found: Map<string, string>): string | undefined {
  for (const [key, value] of held) {
    if (found.get(key) !== value)
      return `${JSON.stringify(key)} is ${found.has(key) ? 'another' : 'missing'}`;
  }
  for (const key of found.keys()) if (!held.has(key)) return `${JSON.stringify(key)} should not be there`;
  return undefined;
}

/** Puts the store on the disk of the machine, in place of the last one. */
function putDown(disk: MemoryDisk, dir: string): void {
  fs.rmSync(dir, { recursive: true, force: true });
  fs.mkdirSync(dir, { mode: 0o700 });
  if (!disk.exists(STORE)) return;
  for (const name of disk.list(STORE)) fs.writeFileSync(join(dir, name), disk.readFile(`${STORE}/${name}`));
}

function salvaged(dir: string): { found: Map<string, string>; lastLsn: number; lost: string[] } {
  const target = `${dir}.new`;
  const lost: string[] = [];
  const before = filesOf(dir);
  const wreck = new Wreck(dir, SILENT);
  const tree = Tree.open({
    dir: target,
    cacheBytes: MIN_CACHE_BYTES,
    durability: 'buffered',
    checkpoint: { enabled: false },
  });
  try {
    const { lastLsn } = salvage({
      wreck,
      tree,
      unproven: false,
      progress: SILENT,
      report: ({ kind, message }) => {
        if (kind === 'lost' || kind === 'older') lost.push(message);
      },
      detached: () => undefined,
    });
    const after = filesOf(dir);
    if (after.size !== before.size || [...before].some(([path, bytes]) => after.get(path) !== bytes)) {
      throw new Error('the store is not what it was');
    }
    return { found: holdingsOf(tree), lastLsn, lost };
  } finally {
    tree.close();
    wreck.close();
    fs.rmSync(target, { recursive: true });
  }
}

function holdingsOf(tree: Tree): Map<string, string> {
  const held = new Map<string, string>();
  for (const item of tree.range()) {
    if (item.type === 'key')
      held.set(Buffer.from(item.key).toString('latin1'), Buffer.from(item.value).toString('latin1'));
  }
  return held;
}
