/**
 * `spinney repair` killed at random moments, again and again, and then left alone: the store that it was to repair is what it was,
 * what was not finished is not mounted or checked, and the last run makes what a run that nobody disturbed makes.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { UNFINISHED_FILE } from '../../../engine/store/file/names.js';
import { entryKey } from '../../../mount/filesystem/records/keys.js';
import { bytes } from '../../filesystem/fixture.js';
import { DamagedStore, damageOf, filesOf, holdings } from '../../mount/repair/stores.js';
import { seededRandom } from '../../support/disk/random.js';
import { type Ended, runUntil } from '../../support/killed-program.js';
import { soak } from '../soak.js';

const CLI = join(import.meta.dirname, '../../../dist/daemon/cli.js');
const KILLS = 4;
const DIRECTORIES = 4;
const FILES = 300;

soak({ line: 3, title: 'repair killed at random moments', seeds: 1 }, async (seed) => {
  const random = seededRandom(seed);
  const site = new DamagedStore();
  const figures = { kills: 0, 'of these unfinished': 0, records: 0 };
  try {
    site.fill(DIRECTORIES, FILES);
    site.fixture.tree.delete(entryKey(bytes('/dir1')));
    site.close();
    if (random() < 0.5) for (const name of ['manifest', 'manifest.log']) fs.rmSync(site.path(name));
    const before = filesOf(site.store);
    const undisturbed = `${site.target}-undisturbed`;
    const { calls } = await run(['repair', site.store, '--yes', '--to', undisturbed]);
    for (let round = 0; round < KILLS; round++) {
      await run(['repair', site.store, '--yes', '--to', site.target], random() * calls);
      figures.kills++;
      if (!fs.existsSync(site.target)) continue;
      if (fs.existsSync(join(site.target, UNFINISHED_FILE))) {
        figures['of these unfinished']++;
        const { code } = await run(['check', site.target]);
        if (code !== 2) throw new Error(`check of a store that is not finished ended with ${code}`);
      } else fs.rmSync(site.target, { recursive: true });
    }
    await run(['repair', site.store, '--yes', '--to', site.target]);
    if (JSON.stringify([...filesOf(site.store)]) !== JSON.stringify([...before]))
      throw new Error('the store has changed');
    const damage = damageOf(site.target);
    if (damage.length > 0) throw new Error(damage.join());
    const held = withoutTimes(holdings(site.target));
    if (held !== withoutTimes(holdings(undisturbed)))
      throw new Error('it is not what an undisturbed run makes');
    figures.records = holdings(site.target).size;
    return figures;
  } finally {
    site.cleanUp();
  }
});

/** Directories that repair made have the time at which it did. */
function withoutTimes(held: Map<string, string>): string {
  return JSON.stringify(
    [...held].map(([key, value]) => [key, /^d\/lost\+found(\/dir1)?$/.test(key) ? '' : value]),
  );
}

function run(args: string[], killAt = Number.POSITIVE_INFINITY): Promise<Ended> {
  return runUntil(killAt, [CLI, ...args]);
}
