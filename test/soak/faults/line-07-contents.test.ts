/**
 * A sync fails once, of the tree, of a content or of a directory of contents, and what it was to make durable never will be,
 * though the next one succeeds: no fsync returns as if it were, and what was acknowledged before is there.
 */
import type { DiskCallName } from '../../support/disk/faults.js';
import { seededRandom } from '../../support/disk/random.js';
import { FilesLoad } from '../../support/files/files-load.js';
import { SeededFiles } from '../../support/files/seeded-files.js';
import { soak } from '../soak.js';

const OPERATIONS = 50;
const CASES = 6;
const SYNCS: ReadonlySet<DiskCallName> = new Set<DiskCallName>(['fsync', 'fdatasync', 'syncDirectory']);

soak({ line: 7, title: 'EIO at every Nth fsync of contents', seeds: 3 }, (seed) => {
  const figures = { cases: 0, struck: 0, refused: 0, 'cuts afterwards': 0 };
  for (let count = 0; count < CASES; count++) {
    const random = seededRandom(seed * CASES + count);
    const site = new SeededFiles(seed * CASES + count);
    const load = new FilesLoad(site);
    const isOfContents = random() < 0.8;
    const nth = Math.floor(random() * (isOfContents ? 6 : 20));
    let syncs = 0;
    let struck = '';
    site.disk.onCall = ({ name, path }) => {
      // The system tells of it once more to who syncs all.
      if (name === 'syncFilesystem' && struck !== '') return { error: 'EIO' };
      if (!SYNCS.has(name) || path.includes('/content') !== isOfContents || syncs++ !== nth) return undefined;
      struck = `${name} ${path}`;
      figures.struck++;
      return { error: 'EIO', lose: true };
    };
    try {
      for (let done = 0; done < OPERATIONS; done++) {
        const failure = load.step();
        if (failure !== undefined) {
          figures.refused++;
          if (struck === '') throw new Error(`${failure.what}: errno ${failure.errno}`);
        }
        if (struck === '' || (failure === undefined && random() < 0.7)) continue;
        site.checkLeft(site.disk.inner.afterPowerCut('drop'), site.acknowledged, true);
        site.checkLeft(site.disk.inner.afterPowerCut(random), site.acknowledged, true);
        figures['cuts afterwards'] += 2;
      }
      site.disk.heal();
      site.checkNow();
      site.restart(site.disk.inner.afterKill(), site.returned, false);
      site.checkNow();
      figures.cases++;
    } catch (error) {
      throw new Error(`case ${count}, ${load.what}, after ${struck} (sync ${nth}): ${error}`, {
        cause: error,
      });
    } finally {
      site.end();
    }
  }
  return figures;
});
