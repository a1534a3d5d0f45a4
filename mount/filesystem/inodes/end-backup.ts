/** A backup that is opened for writing is a store like any other from then on. */
import { dirname } from 'node:path';
import { BACKUP_FILE } from '../../../engine/before-open.js';
import { SpinneyError } from '../../../engine/errors.js';
import { SHIPPED_CONTENTS_PREFIX } from '../../../engine/shipped-contents.js';
import type { MountLog } from '../../types.js';
import { newFileStatus, readFully, syncDirectory } from '../contents/disk/content-disk.js';
import { parseBackupRecord } from '../records/backup-record.js';
import { PURGE_KEY } from '../records/keys.js';
import type { Inodes } from './inodes.js';

/** Rows in one batch. */
const FORGOTTEN_AT_ONCE = 1_000;

/**
 * To be called before anything is changed. Removes contents that a backup run which did not come to its end has brought: new files
 * would get their names. What the store that was backed up kept for its snapshots is not here, and is forgotten by and by.
 * @throws ERR_NO_STORE where the record of the backup cannot be read
 */
export function endBackup({ content, tree }: Inodes, log: MountLog): void {
  const { disk, directory } = content;
  const path = `${dirname(directory)}/${BACKUP_FILE}`;
  const fd = disk.nodeAt(path)?.kind === 'file' ? disk.open(path, 'read') : -1;
  if (fd < 0) return;
  let text: string;
  try {
    const status = newFileStatus();
    disk.status(fd, status);
    const bytes = new Uint8Array(status.size);
    text = Buffer.from(bytes.subarray(0, readFully(disk, fd, bytes))).toString();
  } finally {
    disk.close(fd);
  }
  const backup = parseBackupRecord(text);
  if (backup === undefined) {
    throw new SpinneyError(
      'ERR_NO_STORE',
      `Cannot open the store for writing: its ${BACKUP_FILE} is damaged, and may tell of contents that are not its own; mount it read-only and copy what is there`,
    );
  }
  const { base, pending, source, path: from } = backup;
  if (base !== undefined && pending !== undefined && tree.lastLsn() !== pending.lsn) {
    for (const { ino, born } of content.list()) if (born >= base.snapshot) content.remove(ino, born);
  }
  forgetRemote(tree);
  disk.remove(path);
  syncDirectory(disk, dirname(directory));
  tree.put(PURGE_KEY, new Uint8Array(0));
  log('warn', `This store was a backup of ${from}, and is one of its own from now on`, { source });
}

/** What a remote has was that store's; here all contents are files. Before the record goes: a kill leaves it to the next start. */
function forgetRemote(tree: Inodes['tree']): void {
  for (;;) {
    const keys: Uint8Array[] = [];
    for (const item of tree.range({ prefix: SHIPPED_CONTENTS_PREFIX, keysOnly: true })) {
      if (item.type === 'key') keys.push(item.key);
      if (keys.length === FORGOTTEN_AT_ONCE) break;
    }
    if (keys.length === 0) return;
    tree.atomic((batch) => {
      for (const key of keys) batch.delete(key);
    });
  }
}
