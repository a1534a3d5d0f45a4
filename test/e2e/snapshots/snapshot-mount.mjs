/**
 * Mounts a store and takes and deletes snapshots of it as it is told by its parent, whom it answers; and reads what a snapshot
 * has, from the tree and the content files. Arguments: the store, the mountpoint, the driver.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Tree } from '../../../dist/engine/index.js';
import { contentPath } from '../../../dist/mount/filesystem/contents/content.js';
import * as record from '../../../dist/mount/filesystem/records/record.js';
import { mountTree } from '../../../dist/mount/index.js';
import { FILESYSTEM_MEASURE } from '../../../dist/mount/sums/filesystem-measure.js';

const [store, mountpoint, driver] = process.argv.slice(2);
const contentDirectory = join(store, 'content');
const tree = Tree.open({
  dir: store,
  cacheBytes: 16 * 1024 * 1024,
  checkpoint: { host: 'worker' },
  measure: FILESYSTEM_MEASURE,
});
const options = {
  mountpoint,
  driver,
  readOnly: false,
  allowOther: false,
  entryTimeout: 60,
  attributeTimeout: 60,
  negativeTimeout: 60,
  options: [],
  contentDirectory,
  source: store,
};
const log = (level, message) => {
  if (level === 'warn' || level === 'error') process.stderr.write(`${level}: ${message}\n`);
};
const { mounted } = await mountTree(tree, options, log);

function recordOf(name, path) {
  const reads = tree.at(name);
  try {
    const found = reads.get(`d${path}`);
    if (found === undefined || !record.isLink(found)) return found;
    const key = Buffer.alloc(9);
    key[0] = 0x69;
    key.writeBigUInt64BE(BigInt(record.inoOf(found)), 1);
    return reads.get(key);
  } finally {
    reads.close();
  }
}

/** Where the content is that the snapshot has of the file at this path. */
function fileOf(name, path) {
  const inode = recordOf(name, path);
  return inode && contentPath(contentDirectory, record.inoOf(inode), record.bornOf(inode));
}

const COMMANDS = {
  take: (name) => mounted.snapshots.takeSnapshot(name),
  delete: (name) => mounted.snapshots.deleteSnapshot(name),
  progress: () => mounted.snapshots.purgeProgress(),
  fileOf,
  read: (name, path) => {
    const file = fileOf(name, path);
    return file === undefined || !existsSync(file) ? undefined : readFileSync(file, 'latin1');
  },
  passthrough: () => mounted.stats().passthrough,
  /** Unmounts and ends. */
  end: async () => {
    await mounted.unmount('detach');
    await mounted.ended;
    tree.close();
    setTimeout(() => process.exit(0), 100);
  },
};

process.on('message', async ({ id, command, args }) => {
  try {
    process.send({ id, result: await COMMANDS[command](...args) });
  } catch (error) {
    process.send({ id, error: `${error.code ?? ''} ${error.message}` });
  }
});
process.send({ id: 0 });
