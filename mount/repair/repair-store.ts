/**
 * Repairs a store into a new one beside it. The damaged store is only read, under its shared lock.
 *
 * Until all is done and durable the new store has a file that marks it as unfinished, and nobody mounts it. A run that was cut
 * short is begun again by the next; contents that it brought stay.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { UNFINISHED_FILE } from '../../engine/before-open.js';
import { type RepairFinding, type Salvaged, SpinneyError, salvage, Tree, Wreck } from '../../engine/index.js';
import type { WorkProgress } from '../../engine/progress.js';
import { readMark } from '../filesystem/contents/content-mark.js';
import { SystemDisk } from '../filesystem/contents/system.js';
import { entryKey, isName, SLASH } from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import { ContentsMove, type MovedContents } from './contents-move.js';
import type { RepairedNamespace } from './context.js';
import { LOST_AND_FOUND } from './lost-and-found.js';
import { looksLikeRecord } from './records.js';
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

const CONTENT_DIRECTORY = 'content';

/**
 * @throws ERR_NO_STORE, ERR_STORE_LOCKED, ERR_FORMAT_VERSION, ERR_UNSAFE where the store cannot be opened; ERR_EXISTS where
 *   something is at `target`; ERR_NO_SPACE, ERR_IO
 */
export function repairStore(options: RepairOptions): Repaired {
  const { store, target, isDry, progress } = options;
  new Wreck(store, progress).close();
  refuseTarget(store, target);
  prepareTarget(target);
  let isNeeded = false;
  const report = (finding: RepairFinding): void => {
    isNeeded = true;
    options.report(finding);
  };
  const { cacheBytes } = options;
  const tree = Tree.open({
    dir: target,
    durability: 'buffered',
    checkpoint: { enabled: false },
    ...(cacheBytes !== undefined && { cacheBytes }),
  });
  let result: Omit<Repaired, 'isMade'>;
  try {
    const salvaged = salvage({
      dir: store,
      tree,
      unproven: options.unproven,
      progress,
      report,
      detached: placeOfDetached,
    });
    const wasCut = wasPowerCut(tree, salvaged);
    const contents = new ContentsMove(join(store, CONTENT_DIRECTORY), join(target, CONTENT_DIRECTORY), {
      wasCut,
      isDry,
      copied: () => progress.step(0),
      report,
    });
    const { olderLsn, isIncomplete } = salvaged;
    const namespace = repairNamespace({ tree, contents, olderLsn, isIncomplete, wasCut, progress, report });
    progress.begin('making it durable', 0);
    tree.checkpoint();
    result = { salvaged, namespace, contents: contents.moved };
  } finally {
    tree.close();
  }
  const isMade = isNeeded && !isDry;
  if (isMade) finishTarget(target);
  else rmSync(target, { recursive: true });
  return { isMade, ...result };
}

/** As `isAfterCut`, of the damaged store. */
function wasPowerCut(tree: Tree, { previousEnd, lastLsn }: Salvaged): boolean {
  if (previousEnd === 'power-cut') return true;
  const mark = readMark(tree);
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

function refuseTarget(store: string, target: string): void {
  const from = resolve(store);
  const to = resolve(target);
  for (const [inner, outer] of [
    [from, to],
    [to, from],
  ] as const) {
    if (!relative(outer, inner).startsWith('..')) {
      throw new SpinneyError(
        'ERR_INVALID_ARGUMENT',
        `Cannot repair ${from} to ${to}: one lies in the other; give another place`,
      );
    }
  }
  const status = lstatSync(to, { throwIfNoEntry: false });
  if (status === undefined) return;
  const names = status.isDirectory() ? readdirSync(to) : undefined;
  if (names === undefined || (names.length > 0 && !names.includes(UNFINISHED_FILE))) {
    throw new SpinneyError(
      'ERR_EXISTS',
      `Cannot repair ${from} to ${to}: something is there; nothing is written over: remove it, or give another place`,
    );
  }
}

/** Makes the directory, marked as unfinished; of an earlier run only contents stay. */
function prepareTarget(target: string): void {
  mkdirSync(target, { recursive: true, mode: 0o700 });
  writeFileSync(join(target, UNFINISHED_FILE), 'spinney repair has not finished this store: run it again\n', {
    mode: 0o600,
    flush: true,
  });
  for (const name of readdirSync(target)) {
    if (name !== UNFINISHED_FILE && name !== CONTENT_DIRECTORY)
      rmSync(join(target, name), { recursive: true });
  }
  syncDirectory(target);
  syncDirectory(dirname(resolve(target)));
}

/** All else is durable: from here on it is a store. */
function finishTarget(target: string): void {
  const mark = join(target, UNFINISHED_FILE);
  if (existsSync(mark)) unlinkSync(mark);
  syncDirectory(target);
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
