/**
 * Makes a store with a directory of many empty files, without a mount: `fill.mjs <store> <directory> <count>`. The files
 * are `f0000000` and on.
 */
import { Tree } from '../../../../dist/engine/index.js';
import { childKey, entryKey, NEXT_INODE_KEY } from '../../../../dist/mount/filesystem/records/keys.js';
import * as record from '../../../../dist/mount/filesystem/records/record.js';

const [store, directory, count] = [
  process.argv[2],
  Buffer.from(`/${process.argv[3]}`),
  Number(process.argv[4]),
];
const ROOT_INO = 1;
const FIRST_INO = 3;
const BATCH = 1_000;
/** Where the number of the inode is in a record. */
const INO = 4;

function recordOf(ino, mode, links) {
  const made = record.newRecord(ino, mode);
  record.setLinks(made, links);
  for (const time of [record.ATIME, record.MTIME, record.CTIME, record.BTIME]) {
    record.setTime(made, time, 1_700_000_000, 0);
  }
  return made;
}

const tree = Tree.open({ dir: store });
tree.put(entryKey(Buffer.alloc(0)), recordOf(ROOT_INO, record.DIRECTORY | 0o755, 3));
tree.put(entryKey(directory), recordOf(ROOT_INO + 1, record.DIRECTORY | 0o755, 2));
const next = Buffer.alloc(8);
next.writeBigUInt64LE(BigInt(FIRST_INO + count));
tree.put(NEXT_INODE_KEY, next);
const key = Buffer.from(childKey(directory, Buffer.from('f0000000')));
const file = Buffer.from(recordOf(0, record.REGULAR | 0o644, 1));
for (let from = 0; from < count; from += BATCH) {
  tree.atomic((batch) => {
    for (let i = from; i < Math.min(from + BATCH, count); i++) {
      key.write(String(i).padStart(7, '0'), key.length - 7);
      file.writeUInt32LE(FIRST_INO + i, INO);
      batch.put(Buffer.from(key), Buffer.from(file));
    }
  });
}
tree.close();
