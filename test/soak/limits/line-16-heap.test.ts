/**
 * A daemon with a small heap: it does not start, or serves, or ends for want of memory while it does. Whichever it is, the
 * mount does not hang, and what was acknowledged is there when the store is mounted with enough.
 */
import { join } from 'node:path';
import { Site } from '../../e2e/site.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';

const SCRIPT = join(import.meta.dirname, 'few_resources.py');
const OPERATIONS = 400;
const LEAST_MIB = 8;
const MOST_MIB = 40;

soak({ line: 16, title: 'little heap', seeds: 1 }, async (seed) => {
  const random = seededRandom(seed);
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  const figures = { 'not started': 0, served: 0, ended: 0, operations: 0, files: 0 };
  try {
    // So that there is a root directory whatever happens.
    await site.mount();
    await site.umount();
    const heap = LEAST_MIB + Math.floor(random() * (MOST_MIB - LEAST_MIB));
    const started = await site.attempt(
      `NODE_OPTIONS=--max-old-space-size=${heap} exec ${process.execPath} $PROGRAM/dist/daemon/cli.js mount $MNT --store $STORE`,
    );
    if (started.code !== 0) figures['not started']++;
    else {
      const client = await site.attempt(`exec python3 ${SCRIPT} load $MNT $DIR/log ${seed} ${OPERATIONS}`);
      if (client.code !== 0)
        throw new Error(`with ${heap} MiB the client ended with ${client.code}: ${client.err}`);
      const [done = 0, refused = 0] = client.out.trim().split(' ').map(Number);
      figures.operations += done;
      figures[done + refused === OPERATIONS ? 'served' : 'ended']++;
    }
    // Ended or not, it leaves nothing in the way.
    await site.sh('umount $MNT 2> /dev/null || true');
    await site.mount();
    figures.files += Number(await site.sh(`touch $DIR/log; python3 ${SCRIPT} check $MNT $DIR/log`));
    await site.umount();
    await site.must('check', site.store);
    return figures;
  } finally {
    await cleanUp?.();
  }
});
