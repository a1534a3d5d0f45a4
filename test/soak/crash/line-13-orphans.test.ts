/** Files that were unlinked while they were open, and then the daemon is killed, also while it reclaims them: nothing of them stays. */
import { join } from 'node:path';
import { Site } from '../../e2e/site.js';
import { seededRandom } from '../../support/disk/random.js';
import { isLong, soak } from '../soak.js';
import { Daemon } from './daemon.js';

const SCRIPT = join(import.meta.dirname, 'orphans.py');
/** Each with a tenth of them, which a common limit of 20,000 descriptors lets it open. */
const HOLDERS = 10;
const ORPHANS = isLong ? 100_000 : 4000;
/** As in orphans.py. */
const KEPT = 50;
const STARTING_CALLS = { fewest: 200, most: 1500 };
const MOST_STARTS = 3;
const DEADLINE_SECONDS = 600;

soak({ line: 13, title: 'unlinked while open, then killed', seeds: 1 }, async (seed) => {
  const random = seededRandom(seed);
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  let kills = 1;
  try {
    await site.mount();
    const each = ORPHANS / HOLDERS;
    const holders = Array.from({ length: HOLDERS }, (_, i) =>
      site.start(`exec python3 ${SCRIPT} $MNT/${i} ${each}`, DEADLINE_SECONDS),
    );
    await Promise.all(
      holders.map(async ({ child, result }) => {
        const opened = new Promise((resolve) => child.stdout!.once('data', () => resolve(undefined)));
        const end = await Promise.race([opened, result]);
        if (end !== undefined) throw new Error(`a holder ended: ${JSON.stringify(end)}`);
      }),
    );
    await site.kill();
    // They hold what is dead by now; some beyond the next starts.
    if (random() < 0.5) for (const { child } of holders) child.kill();
    for (let starts = Math.floor(random() * (MOST_STARTS + 1)); starts > 0; starts--) {
      const daemon = new Daemon(site, ['--no-restart']);
      const { fewest, most } = STARTING_CALLS;
      await daemon.reached(fewest + Math.floor(random() * (most - fewest)));
      daemon.kill();
      kills += Number((await daemon.exited()) !== 0);
    }
    await site.mount();
    for (const { child } of holders) child.kill();
    const kept = Math.ceil(each / KEPT);
    const listed = await site.sh(`cd $MNT; cat */kept-* | sort -n | uniq -c | wc -l; ls */ | grep -c kept-`);
    if (listed !== `${kept}\n${kept * HOLDERS}`)
      throw new Error(`of ${kept * HOLDERS} files with names are there: ${listed}`);
    // Removal goes on behind the mount; an unmount would not wait for so many.
    const left = 'find $STORE/content -type f ! -name owners ! -path "*/spares/*" | wc -l';
    await site.sh(`while [ $(${left}) -gt ${kept * HOLDERS} ]; do sleep 0.1; done`, DEADLINE_SECONDS);
    await site.umount();
    const files = await site.sh(left);
    if (files !== String(kept * HOLDERS)) throw new Error(`${files} files of content are left`);
    const report = await site.must('check', site.store);
    if (/^note:/m.test(report)) throw new Error(report);
    if (site.logged('error').length > 0) throw new Error(site.logged('error').join('\n'));
  } finally {
    await cleanUp?.();
  }
  return { orphans: ORPHANS, kills };
});
