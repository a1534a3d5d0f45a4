/** How the layer comes up: what it is made of, the root of a new store, and what earlier runs left. */
import type { TreeOperations } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import type { MountLog } from '../types.js';
import { AwayContents, type ContentFetcher } from './contents/away/away.js';
import { ContentFiles } from './contents/content.js';
import { prepareContentDirectory } from './contents/content-directory.js';
import { Descriptors } from './contents/descriptors.js';
import type { ContentDisk } from './contents/disk/content-disk.js';
import { type Clock, SystemClock, SystemDisk } from './contents/disk/system.js';
import { PowerCut } from './contents/power-cut.js';
import type { RemoteRows } from './contents/remote-content.js';
import { SpareFiles } from './contents/spares/spare-files.js';
import { type TroubleListener, Troubles } from './contents/troubles.js';
import { endBackup } from './inodes/end-backup.js';
import { Inodes } from './inodes/inodes.js';
import { deleteOrphanRecords, hasOwnContent } from './inodes/orphans.js';
import { startContents } from './inodes/start-contents.js';
import { InodeNumbers, ROOT_INO } from './records/inode-numbers.js';
import { entryKey, ORPHANS_PREFIX, POSITIONS_KEY } from './records/keys.js';
import * as record from './records/record.js';
import type { ContentWorker, InodeKeepers, Reclaimer } from './types.js';

export interface FileSystemOptions {
  /** Made where it is missing. */
  contentDirectory: string;
  readOnly: boolean;
  /**
   * Whether the driver tells by `forget` when an unlinked inode is used no more; else it is with the release of
   * its last handle.
   */
  keepsNodes: boolean;
  /** Whether the driver calls `rest`; then contents may get their names, and orphans lose their records, late. */
  rests: boolean;
  reclaimer: Reclaimer;
  /** The driver does what it put off, so that a snapshot finds no file open that nobody has open any more. */
  beforeSnapshot?: () => void;
  /** Copies contents for snapshots. Default: that is done at once, while all others wait. */
  worker?: ContentWorker;
  /** Default: nobody hears of it. */
  log?: MountLog;
  /** Told of contents that are damaged, and that they are no more. */
  troubled?: TroubleListener;
  /** Name of the hidden directory of snapshots that every directory has; undefined: none has. */
  snapshotDirectory?: string | undefined;
  /** Default: the system's. */
  clock?: Clock;
  /** What the contents are on. Default: the system's. */
  disk?: ContentDisk;
  /** Contents may be in a remote alone; undefined: there is none. */
  remote?: { rows: RemoteRows; fetcher: ContentFetcher } | undefined;
  /** How many backing files to keep open, at least two; default: by the process's limit of descriptors. */
  mostContents?: () => number;
  /** Where another process finds what is known of inodes; undefined: nowhere. */
  keepers?: InodeKeepers;
}

const ROOT_KEY = entryKey(new Uint8Array(0));

export function newInodes(tree: TreeOperations, options: FileSystemOptions, log: MountLog): Inodes {
  const content = new ContentFiles(
    options.disk ?? new SystemDisk(),
    options.contentDirectory,
    options.readOnly,
  );
  const spares = options.rests && !options.readOnly ? new SpareFiles(content) : undefined;
  const clock = options.clock ?? new SystemClock();
  const { remote } = options;
  const away = remote && new AwayContents(content, remote.rows, remote.fetcher);
  content.away = away;
  return new Inodes({
    tree,
    content,
    away,
    spares,
    descriptors: new Descriptors(content, spares, options.mostContents),
    numbers: new InodeNumbers(tree),
    clock,
    reclaimer: away === undefined ? options.reclaimer : discarding(options.reclaimer, away),
    troubles: new Troubles(log, options.troubled ?? (() => {})),
    cut: new PowerCut(content, clock, log),
    readOnly: options.readOnly,
    keepsNodes: options.keepsNodes,
    rests: options.rests,
    keepers: options.keepers,
    hiddenName: options.snapshotDirectory === undefined ? undefined : Buffer.from(options.snapshotDirectory),
  });
}

/** What is to be removed is brought no more, whoever removes it. */
function discarding(reclaimer: Reclaimer, away: AwayContents): Reclaimer {
  return {
    schedule: (ino, born, lsn) => {
      away.discard(ino, born);
      reclaimer.schedule(ino, born, lsn);
    },
  };
}

/**
 * Makes the root directory of a new store, and hands the orphans of earlier runs to the
 * reclaimer, but for those that `isHeld` says somebody uses. Throws ERR_NO_STORE for a read-only mount of a store without a root, ERR_UNSAFE where a link is in the way.
 */
export function startStore(
  inodes: Inodes,
  finishCopies: (wasCut: boolean) => void,
  isHeld: (ino: number) => boolean,
  log: MountLog,
): void {
  const { tree, content, readOnly } = inodes;
  const hasRoot = tree.getVersion(ROOT_KEY) !== undefined;
  prepareContentDirectory(content.disk, content.directory, readOnly);
  inodes.away?.start();
  if (!readOnly) endBackup(inodes, log);
  startContents(inodes, hasRoot, finishCopies, log);
  inodes.quotas.load();
  if (readOnly) {
    if (hasRoot) return;
    throw new SpinneyError(
      'ERR_NO_STORE',
      'Cannot mount read-only: the store has no root directory yet; mount it for writing once',
    );
  }
  if (!hasRoot) makeRoot(inodes);
  scheduleOrphans(inodes, isHeld);
}

/** What was removed while somebody used it, in an earlier run: hardly anybody does any more. */
function scheduleOrphans(inodes: Inodes, isHeld: (ino: number) => boolean): void {
  const { tree, reclaimer } = inodes;
  const shared: number[] = [];
  const others: Uint8Array[] = [];
  for (const item of tree.range({ prefix: ORPHANS_PREFIX })) {
    if (item.type !== 'key') continue;
    const { value } = item;
    if (isHeld(record.inoOf(value))) {
      inodes.orphans.set(record.inoOf(value), null);
      continue;
    }
    // What a snapshot has too is removed with that.
    if (record.hasFlag(value, record.CONTENT) && !hasOwnContent(inodes, value))
      shared.push(record.inoOf(value));
    else others.push(value);
  }
  deleteOrphanRecords(inodes, shared);
  for (const inode of others) reclaimer.schedule(record.inoOf(inode), record.bornOf(inode), tree.lastLsn());
}

/** Makes the root directory, owned by the process, of a tree that is empty. */
export function makeRoot(inodes: Inodes): void {
  const { tree, clock } = inodes;
  const root = record.newRecord(ROOT_INO, record.DIRECTORY | 0o755);
  record.setLinks(root, 2);
  record.setOwner(root, process.getuid?.() ?? 0, process.getgid?.() ?? 0);
  clock.read();
  inodes.stamp(root, record.ATIME, record.MTIME, record.CTIME, record.BTIME);
  tree.atomic((batch) => {
    batch.put(ROOT_KEY, root);
    // No directory is without a position, from here on.
    batch.put(POSITIONS_KEY, new Uint8Array(0));
  });
}
