/** Backups of a mount that several clients change meanwhile: each is clean, and what the snapshot of its moment is. */
import { join } from 'node:path';
import { BackupSite } from '../../e2e/stores/backup-site.js';
import { isLong, soak } from '../soak.js';

const LOAD = join(import.meta.dirname, 'backup-load.py');
const CLIENTS = 3;
const BACKUPS = isLong ? 5 : 2;
const DEADLINE_SECONDS = 600;

soak({ line: 21, title: 'backups under a load of several clients', seeds: 1 }, async (seed) => {
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new BackupSite((atEnd) => {
    cleanUp = atEnd;
  });
  try {
    await site.mount();
    await site.sh('mkdir $MNT/load');
    const clients = Array.from({ length: CLIENTS }, (_, i) =>
      site.start(`python3 ${LOAD} $MNT/load ${seed * CLIENTS + i}`, DEADLINE_SECONDS),
    );
    let bytes = 0;
    for (let taken = 0; taken < BACKUPS; taken++) {
      const { snapshot, contents } = await site.backup();
      bytes += contents.bytes;
      await site.isClean();
      await site.seeSnapshot(snapshot);
    }
    await site.sh('touch $MNT/load/stop');
    for (const { result } of clients) {
      const { code, err } = await result;
      if (code !== 0) throw new Error(`a client failed: ${err}`);
    }
    // What the last one holds as open for writing ends here.
    await site.backup();
    await site.isClean();
    await site.see('same $MNT $DIR/seen');
    return { backups: BACKUPS + 1, bytes };
  } finally {
    await cleanUp?.();
  }
});
