/**
 * Repairs a store into a new one beside it. The damaged store is only read, under its shared lock, until all is done.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '../../engine/errors.js';
import { type RepairFinding, type Salvaged, SpinneyError, salvage, Tree, Wreck } from '../../engine/index.js';
import type { WorkProgress } from '../../engine/progress.js';
import { type ContentMark, readMark } from '../filesystem/contents/content-mark.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import { leftCopies } from '../filesystem/contents/left-copies.js';
import { InodeSet } from '../filesystem/records/inode-set.js';
import { entryKey, isName, SLASH } from '../filesystem/records/keys.js';
import { FILESYSTEM_MEASURE } from '../filesystem/records/measure.js';
import * as record from '../filesystem/records/record.js';
import { SnapshotIds } from '../filesystem/records/snapshot-ids.js';
import { CONTENT_DIRECTORY, NewStore } from '../stores/new-store.js';
import { ContentsMove, type MovedContents } from './contents-move.js';
import type { ContentsCut, RepairedNamespace } from './context.js';
import { LOST_AND_FOUND } from './lost-and-found.js';
import { isSound, looksLikeRecord } from './records.js';
import { repairNamespace } from './repair-namespace.js';

export interface RepairOptions {
  /** The damaged store. */
  store: string;
  /** Where the new one is made: a path where nothing is, an empty directory, or what an earlier run left. */
  target: string;
  /** Whether the new store is only made to see what comes of it, without contents, and removed again. */
  isDry: boolean;
  /** Keep records of damaged images that look whole. */
  unproven: boolean;
  cacheBytes?: number;
  progress: WorkProgress;
  report: (finding: RepairFinding) => void;
}

export interface Repaired {
  /** Whether the new store is there: not where there was nothing to repair, or nothing was to be done. */
  isMade: boolean;
  salvaged: Salvaged;
  namespace: RepairedNamespace;
  contents: MovedContents;
}

/**
 * @throws ERR_NO_STORE, ERR_STORE_LOCKED, ERR_FORMAT_VERSION, ERR_UNSAFE where the store cannot be opened; what NewStore
 *   throws; ERR_NO_SPACE, ERR_IO. A run that was to make a store leaves what it has made to the next.
 */
export function repairStore(options: RepairOptions): Repaired {
  const { store, target, progress } = options;
  // Nobody may serve the store before its contents are brought.
  const wreck = new Wreck(store, progress);
  try {
    refuseOwner(store);
    const doing = `repair ${store} to ${target}`;
    const made = new NewStore({ path: target, command: 'repair', doing, source: store, goesOn: true });
    return repairTo(made, wreck, options);
  } catch (error) {
    throw cannotRepair(store, target, error);
  } finally {
    wreck.close();
  }
}

/** What others put into a store may lead anywhere: as root one would bring it to a place where it looks like the store's own. */
function refuseOwner(store: string): void {
  const { uid } = statSync(store);
  const own = process.geteuid?.();
  if (uid === own) return;
  throw new SpinneyError(
    'ERR_UNSAFE',
    `Cannot repair ${store}: it belongs to uid ${uid}, and this process runs as uid ${own}; run it as that user`,
  );
}

/** A failed system call names what failed; what was made stays for the next run. */
function cannotRepair(store: string, target: string, error: unknown): unknown {
  const { syscall, code, path } = error as NodeJS.ErrnoException;
  if (error instanceof SpinneyError || syscall === undefined) return error;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  const reason = `${path === undefined ? '' : `${path}: `}${reasonOf(error)}`;
  const advice = isFull ? '; make room and run it again, or give another place' : '';
  const message = `Cannot repair ${store} to ${target}: ${reason}${advice}`;
  return new SpinneyError(isFull ? 'ERR_NO_SPACE' : 'ERR_IO', message, { cause: error });
}

function repairTo(target: NewStore, wreck: Wreck, options: RepairOptions): Repaired {
  let isNeeded = false;
  const report = (finding: RepairFinding): void => {
    isNeeded = true;
    options.report(finding);
  };
  let result: Omit<Repaired, 'isMade'>;
  try {
    result = makeStore(target.path, wreck, { ...options, report });
  } catch (error) {
    if (options.isDry) target.remove();
    else target.leave();
    throw error;
  }
  const { snapshots } = result.salvaged;
  if (isNeeded && snapshots.length > 0) {
    const names = snapshots.map((name) => JSON.stringify(name)).join(', ');
    const message = `Snapshots ${names}: a repair keeps none; ${options.store} has them still, as far as it is sound`;
    report({ kind: 'lost', message });
  }
  const isMade = isNeeded && !options.isDry;
  if (isMade) target.finish();
  else target.remove();
  return { isMade, ...result };
}

function makeStore(target: string, wreck: Wreck, options: RepairOptions): Omit<Repaired, 'isMade'> {
  const { store, isDry, unproven, cacheBytes, progress, report } = options;
  const tree = Tree.open({
    dir: target,
    durability: 'buffered',
    checkpoint: { enabled: false },
    measure: FILESYSTEM_MEASURE,
    ...(cacheBytes !== undefined && { cacheBytes }),
  });
  try {
    const salvaged = salvage({ wreck, tree, unproven, progress, report, detached: placeOfDetached });
    const cut = cutOf(tree, salvaged);
    const contents = new ContentsMove(join(store, CONTENT_DIRECTORY), join(target, CONTENT_DIRECTORY), {
      wasCut: cut.isLast,
      lastSnapshot: new SnapshotIds(tree).last,
      copies: (files) => leftCopies(tree, files, cut.isLast),
      isDry,
      copied: () => progress.step(0),
      report,
    });
    const { olderLsn, isIncomplete } = salvaged;
    const namespace = repairNamespace({ tree, contents, olderLsn, isIncomplete, cut, progress, report });
    progress.begin('making it durable', 0);
    tree.checkpoint();
    return { salvaged, namespace, contents: contents.moved };
  } finally {
    tree.close();
  }
}

/** The power cut that the contents saw last, as far as the store tells. */
function cutOf(tree: Tree, salvaged: Salvaged): ContentsCut {
  const mark = readMark(tree);
  const unsettled = new InodeSet();
  if (!isAfterCut(mark, salvaged)) {
    return { isLast: false, after: mark?.cutAfter ?? 0, before: mark?.cutBefore ?? 0, unsettled };
  }
  salvaged.putAfter(mark?.durableLsn ?? 0, (value) => {
    if (isSound(value)) unsettled.add(record.inoOf(value));
  });
  return { isLast: true, after: mark?.durableSeconds ?? 0, before: Number.POSITIVE_INFINITY, unsettled };
}

/** As for a store that is opened (content-mark.ts). */
function isAfterCut(mark: ContentMark | undefined, { previousEnd, lastLsn }: Salvaged): boolean {
  if (previousEnd === 'power-cut') return true;
  if (mark === undefined || mark.boot === new SystemDisk().bootId()) return false;
  return previousEnd !== 'closed' || mark.durableLsn !== lastLsn - 1;
}

/** See SalvageOptions. Only records of names and inodes are told from other bytes by what they are. */
function placeOfDetached(
  blobId: number,
  rest: Uint8Array,
  value: Uint8Array,
  isWhole: boolean,
): Uint8Array | undefined {
  if (!looksLikeRecord(value)) return undefined;
  const kind = String.fromCharCode(rest[0] ?? 0);
  if (isWhole && kind !== 'd' && kind !== 'i') return undefined;
  const path = isWhole ? (kind === 'd' ? rest.subarray(1) : new Uint8Array()) : rest;
  const names: Buffer[] = [];
  for (let from = 0; from <= path.length; ) {
    const slash = path.indexOf(SLASH, from);
    const end = slash < 0 ? path.length : slash;
    const name = path.subarray(from, end);
    if (isName(name)) names.push(Buffer.from(name));
    from = end + 1;
  }
  if (names.length === 0) names.push(Buffer.from(`#${record.inoOf(value)}`));
  const parts = [LOST_AND_FOUND, Buffer.from(`blob-${blobId}`), ...names];
  return entryKey(
    Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [part] : [Buffer.from('/'), part]))),
  );
}
