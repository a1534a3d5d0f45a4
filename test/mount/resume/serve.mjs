/**
 * A daemon's part that serves a mount whose connection another process holds: descriptor 3. Argument: as JSON, the store, the
 * mount, and whether it is gone on with. Posts what comes of it to its parent, and hands over on demand.
 */
import { Tree } from '../../../dist/engine/index.js';
import { mountTree } from '../../../dist/mount/index.js';
import { mountKernel } from '../../../dist/mount/kernel/kernel-mount.js';
import { FILESYSTEM_MEASURE } from '../../../dist/mount/sums/filesystem-measure.js';

const CONNECTION = 3;
const {
  store,
  mountpoint,
  connection,
  durability,
  resumes,
  readOnly = false,
  timeout = 60,
} = JSON.parse(process.argv[2]);
const tell = (message) => process.send?.(message);

try {
  const began = performance.now();
  const tree = Tree.open({
    dir: store,
    durability,
    cacheBytes: 64 << 20,
    checkpoint: { host: 'worker', idleIntervalMs: 20 },
    measure: FILESYSTEM_MEASURE,
  });
  const opened = performance.now();
  const options = {
    mountpoint,
    driver: 'kernel',
    readOnly,
    allowOther: true,
    entryTimeout: timeout,
    attributeTimeout: timeout,
    negativeTimeout: timeout,
    options: [],
    snapshotDirectory: '.snapshots',
    contentDirectory: `${store}/content`,
    sessionDirectory: store,
    source: store,
  };
  const log = (level, message, fields) => {
    if (level !== 'debug') tell({ log: `${level}: ${message} ${JSON.stringify(fields ?? {})}` });
  };
  const mounted = resumes
    ? (await mountTree(tree, { ...options, attach: CONNECTION }, log)).mounted
    : await mountKernel({ fd: CONNECTION, mountpoint, connection }, tree, options, log);
  process.on('message', async (what) => {
    if (what === 'stats') tell({ stats: mounted.stats(), problems: mounted.problems() });
    if (what !== 'hand over') return;
    const handedOver = await mounted.handOver();
    if (handedOver) {
      tree.sync();
      tree.close();
    }
    tell({ handedOver });
    if (handedOver) process.exit(0);
  });
  tell({
    ready: true,
    isKept: mounted.descriptor !== undefined,
    resumed: mounted.resumed,
    openMs: opened - began,
    ms: performance.now() - began,
  });
  const end = await mounted.ended;
  tell({ ended: end.reason, error: end.error?.message });
  if (end.reason === 'unmounted') tree.close();
  process.exit(0);
} catch (error) {
  tell({ refused: error.message, code: error.code });
  process.exit(1);
}
