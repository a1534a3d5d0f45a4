/** Processes that race for the same names through a real mount. */
import { join } from 'node:path';
import { Site } from '../e2e/site.js';
import { soak } from './soak.js';

const CLIENTS = 4;
const OPERATIONS = 500;
const SCRIPT = join(import.meta.dirname, 'racing_names.py');

soak({ line: 12, title: 'clients that race through a mount', seeds: 1 }, async (seed) => {
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  try {
    await site.mount();
    const clients = Array.from({ length: CLIENTS }, (_, i) =>
      site.sh(`python3 ${SCRIPT} "$MNT" ${seed * CLIENTS + i} ${OPERATIONS}`),
    );
    await Promise.all(clients);
    await site.sh(`python3 ${SCRIPT} "$MNT" check`);
    await site.umount();
    await site.must('check', site.store);
    if (site.logged(50).length > 0) throw new Error(`the daemon logged ${site.logged(50).join()}`);
    return { clients: CLIENTS, operations: CLIENTS * OPERATIONS };
  } finally {
    await cleanUp?.();
  }
});
