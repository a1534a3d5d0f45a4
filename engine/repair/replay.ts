/**
 * Plays a salvaged journal on a salvaged tree.
 *
 * With the manifest the checkpoint's LSN is known, and each record is applied once, in order. Where it is lost, it is only
 * known that the checkpoint is not before the newest version that is in the blobs. Puts and deletes may be played again on
 * a later state: what a key is in the end is what its last record says. Moves of prefixes may not, so each must be proven
 * to be later than the checkpoint: a key that was put before it, and that nothing took away since, would be in the blobs
 * otherwise. A move that is not proven is left out, and told.
 */
import { SpinneyError } from '../errors.js';
import {
  type OperationKind,
  RECORD_DELETE,
  RECORD_DELETE_PREFIX,
  RECORD_GRAFT,
  RECORD_PUT,
  type RecordReader,
} from '../journal/records/record.js';
import type { Tree } from '../tree/tree.js';
import type { SalvagedJournal } from './journal-salvage.js';

/** Keys that may prove that the checkpoint was before them. */
const MOST_PROOFS = 10_000;
const KEYS_PER_STEP = 1_000;

export interface Replayed {
  records: number;
  /** LSN of the last of them; 0: none. */
  lastLsn: number;
  /** LSN of the last move that was taken to be in the blobs, with all before it; 0: none. */
  lastCovered: number;
  /** LSNs of the moves that were left out. */
  unprovenMoves: number[];
}

/** `olderLsn`: versions up to this are of keys that only older images have. */
export function replayAll(journal: SalvagedJournal, tree: Tree, olderLsn: number): Replayed {
  return replay(
    journal,
    tree,
    olderLsn,
    () => true,
    () => true,
  );
}

/** As `replayAll`, where it is only known that the blobs have a version `newest`. */
export function replayWithoutMark(
  journal: SalvagedJournal,
  tree: Tree,
  olderLsn: number,
  newest: number,
): Replayed {
  const { firstLsn, lastCovered, bound } = examine(journal, newest);
  const isProven = (lsn: number) => firstLsn <= newest + 1 && lsn >= bound;
  return { ...replay(journal, tree, olderLsn, (lsn) => lsn > lastCovered, isProven), lastCovered };
}

interface Examined {
  firstLsn: number;
  /** The last move that the blobs have for sure; what is before it cannot be played again. 0: none. */
  lastCovered: number;
  /** The checkpoint was before this LSN. */
  bound: number;
}

function examine(journal: SalvagedJournal, newest: number): Examined {
  const found: Examined = {
    firstLsn: Number.POSITIVE_INFINITY,
    lastCovered: 0,
    bound: Number.POSITIVE_INFINITY,
  };
  const put = new Map<string, number>();
  journal.replay((lsn, record) => {
    found.firstLsn = Math.min(found.firstLsn, lsn);
    while (record.next()) {
      const key = Buffer.from(record.first).toString('latin1');
      if (record.kind === RECORD_PUT) {
        if (lsn > newest && put.size < MOST_PROOFS && !put.has(key)) put.set(key, lsn);
      } else if (record.kind === RECORD_DELETE) put.delete(key);
      else {
        if (record.kind === RECORD_GRAFT && lsn <= newest) found.lastCovered = lsn;
        for (const other of put.keys()) if (other.startsWith(key)) put.delete(other);
      }
    }
  });
  for (const lsn of put.values()) found.bound = Math.min(found.bound, lsn);
  return found;
}

function replay(
  journal: SalvagedJournal,
  tree: Tree,
  olderLsn: number,
  isWanted: (lsn: number) => boolean,
  isProvenMove: (lsn: number) => boolean,
): Replayed {
  const replayed: Replayed = { records: 0, lastLsn: 0, lastCovered: 0, unprovenMoves: [] };
  journal.replay((lsn, record) => {
    if (!isWanted(lsn)) return;
    replayed.records++;
    replayed.lastLsn = lsn;
    applyRecord(record, (kind, first, second) => {
      if (kind === RECORD_PUT) tree.put(first, second);
      else if (kind === RECORD_DELETE) tree.delete(first);
      else if (kind === RECORD_DELETE_PREFIX) deleteBelow(tree, first, Number.POSITIVE_INFINITY);
      else if (isProvenMove(lsn)) move(tree, first, second, olderLsn);
      else replayed.unprovenMoves.push(lsn);
    });
  });
  return replayed;
}

/** Calls `visit` with each value that the journal puts. */
export function visitPuts(journal: SalvagedJournal, visit: (lsn: number, value: Uint8Array) => void): void {
  journal.replay((lsn, record) => {
    applyRecord(record, (kind, _first, second) => {
      if (kind === RECORD_PUT) visit(lsn, second);
    });
  });
}

function applyRecord(
  record: RecordReader,
  apply: (kind: OperationKind, first: Uint8Array, second: Uint8Array) => void,
): void {
  while (record.next()) apply(record.kind, record.first, record.second);
}

/** Nothing was below the destination when this was recorded: what older images have there had been removed. */
function move(tree: Tree, source: Uint8Array, destination: Uint8Array, olderLsn: number): void {
  for (const attempt of ['as it was', 'without what is older', 'key by key'] as const) {
    if (attempt === 'key by key') moveKeys(tree, source, destination);
    try {
      tree.renamePrefix(source, destination);
      return;
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_PREFIX_NOT_EMPTY') throw error;
      if (attempt === 'as it was') deleteBelow(tree, destination, olderLsn);
      if (attempt === 'key by key') return;
    }
  }
}

/** Moves what has its place free. */
function moveKeys(tree: Tree, source: Uint8Array, destination: Uint8Array): void {
  inSteps(tree, source, (key) => {
    const target = Buffer.concat([destination, key.subarray(source.length)]);
    if (tree.getVersion(target) === undefined) tree.rename(key, target);
  });
}

function deleteBelow(tree: Tree, prefix: Uint8Array, newest: number): void {
  inSteps(tree, prefix, (key, version) => {
    if (version <= newest) tree.delete(key);
  });
}

/** Calls `visit` with the keys below the prefix, which it may remove. */
function inSteps(tree: Tree, prefix: Uint8Array, visit: (key: Uint8Array, version: number) => void): void {
  let startAfter: Uint8Array | undefined;
  for (;;) {
    const keys: { key: Uint8Array; version: number }[] = [];
    const options = { prefix, keysOnly: true, ...(startAfter !== undefined && { startAfter }) };
    for (const item of tree.range(options)) {
      if (item.type === 'key' && keys.push(item) >= KEYS_PER_STEP) break;
    }
    for (const { key, version } of keys) visit(key, version);
    startAfter = keys.at(-1)?.key;
    if (startAfter === undefined) return;
  }
}
