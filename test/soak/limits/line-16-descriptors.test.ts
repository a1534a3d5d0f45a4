/**
 * A daemon whose limit of descriptors is lowered at random moments, down to fewer than it has: who opens files is told ENFILE,
 * everything else goes on, and once the limit is back all works. What was acknowledged is there, and nothing is damaged.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Site } from '../../e2e/site.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';

const SCRIPT = join(import.meta.dirname, 'few_resources.py');
const OPERATIONS = 400;
const LIMIT = 1024;
/** The least that a daemon starts with. */
const LEAST = 256;

soak({ line: 16, title: 'few descriptors', seeds: 1 }, async (seed) => {
  const random = seededRandom(seed);
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  try {
    await site.mountWithin(`-n ${random() < 0.5 ? LEAST : LIMIT}`);
    const pid = site.daemon();
    const client = site.start(`exec python3 ${SCRIPT} load $MNT $DIR/log ${seed} ${OPERATIONS}`);
    let isOver = false;
    void client.result.then(() => {
      isOver = true;
    });
    let lowered = 0;
    while (!isOver) {
      const used = readdirSync(`/proc/${pid}/fd`).length;
      const limit = Math.max(3, used - 40 + Math.floor(random() * 60));
      await site.sh(`prlimit --pid ${pid} --nofile=${limit}:${LIMIT}`);
      lowered++;
      await sleep(random() * 100);
      await site.sh(`prlimit --pid ${pid} --nofile=${LIMIT}:${LIMIT}`);
      await sleep(random() * 50);
    }
    const { code, out, err } = await client.result;
    if (code !== 0) throw new Error(`the client ended with ${code}: ${err}`);
    const [done = 0, refused = 0] = out.trim().split(' ').map(Number);
    if (done + refused !== OPERATIONS)
      throw new Error(
        `the mount went away: ${err}${readFileSync(join(site.store, 'spinney.log'), 'utf8').slice(-3000)}`,
      );
    await site.must('checkpoint', '--store', site.store);
    const files = Number(await site.sh(`python3 ${SCRIPT} check $MNT $DIR/log`));
    await site.umount();
    await site.must('check', site.store);
    return { operations: done, refused, lowered, files };
  } finally {
    await cleanUp?.();
  }
});
