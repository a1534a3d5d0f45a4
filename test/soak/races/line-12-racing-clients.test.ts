/** Processes that race for the same names through a real mount. */
import { join } from 'node:path';
import { Site } from '../../e2e/site.js';
import { isLong, soak } from '../soak.js';

const CLIENTS = 4;
/** Of each client in a round. Many more would make paths that are longer than a path may be. */
const OPERATIONS = 500;
const ROUNDS = isLong ? 25 : 1;
const SCRIPT = join(import.meta.dirname, 'racing_names.py');

soak({ line: 12, title: 'clients that race through a mount', seeds: 1 }, async (seed) => {
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  try {
    await site.mount();
    for (let round = 0; round < ROUNDS; round++) {
      const first = (seed * ROUNDS + round) * CLIENTS;
      await site.sh(`mkdir $MNT/${round}`);
      const clients = Array.from({ length: CLIENTS }, (_, i) =>
        site.sh(`python3 ${SCRIPT} "$MNT/${round}" ${first + i} ${OPERATIONS}`),
      );
      await Promise.all(clients);
    }
    await site.sh(`for place in $MNT/*; do python3 ${SCRIPT} $place check; done`);
    await site.umount();
    await site.must('check', site.store);
    if (site.logged('error').length > 0) throw new Error(`the daemon logged ${site.logged('error').join()}`);
    return { clients: CLIENTS * ROUNDS, operations: CLIENTS * ROUNDS * OPERATIONS };
  } finally {
    await cleanUp?.();
  }
});
