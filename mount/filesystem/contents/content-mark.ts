/**
 * What the tree tells of its contents as a whole: up to where they are on the disk, and in which boot they are served.
 *
 * Contents are written by the kernel when it likes; a power cut may leave them shorter than the records say. Within one
 * boot nothing is lost but by damage. So a start needs to know whether the machine came to an end since, and which records'
 * contents were not on the disk for sure by then.
 *
 * The value of the key `scontents`, 80 bytes:
 *
 *   offset type
 *        0  u8      format, 1
 *        1  39      the boot's id as text, padded by zeros
 *       40  f64     LSN: contents of records up to here are durable, unless they are LIVE or were made so later
 *       48  f64     seconds when that was made so
 *       56  f64     LSN at the start after the last cut: what is above did not see it; 0: there was none
 *       64  f64     seconds between which the cut came: not before
 *       72  f64     nor after
 */
import type { TreeOperations, TreeReads } from '../../../engine/api.js';
import { CONTENT_MARK_KEY } from '../records/keys.js';

export interface ContentMark {
  boot: string;
  durableLsn: number;
  durableSeconds: number;
  cutLsn: number;
  cutAfter: number;
  cutBefore: number;
}

/** In place of a boot's id: what the last cut left is being settled. */
export const NO_BOOT = 'none';

const FORMAT = 1;
const BOOT_AT = 1;
const NUMBERS_AT = 40;
const BYTES = 80;

/** Undefined in a store that has none, or one that this version does not know. */
export function readMark(tree: Pick<TreeReads, 'get'>): ContentMark | undefined {
  const value = tree.get(CONTENT_MARK_KEY);
  if (value === undefined || value.length !== BYTES || value[0] !== FORMAT) return undefined;
  const bytes = Buffer.from(value);
  const number = (index: number) => bytes.readDoubleLE(NUMBERS_AT + 8 * index);
  return {
    boot: bytes.toString('latin1', BOOT_AT, NUMBERS_AT).replace(/\0+$/, ''),
    durableLsn: number(0),
    durableSeconds: number(1),
    cutLsn: number(2),
    cutAfter: number(3),
    cutBefore: number(4),
  };
}

export function writeMark(tree: Pick<TreeOperations, 'put'>, mark: ContentMark): void {
  const bytes = Buffer.alloc(BYTES);
  bytes[0] = FORMAT;
  bytes.write(mark.boot, BOOT_AT, 'latin1');
  const numbers = [mark.durableLsn, mark.durableSeconds, mark.cutLsn, mark.cutAfter, mark.cutBefore];
  for (const [index, number] of numbers.entries()) bytes.writeDoubleLE(number, NUMBERS_AT + 8 * index);
  tree.put(CONTENT_MARK_KEY, bytes);
}

/** The last change of a store that was made while nobody served it, whose contents are all on the disk. */
export function markAllDurable(
  tree: Pick<TreeOperations, 'put' | 'delete' | 'lastLsn'>,
  boot: string,
  seconds: number,
): void {
  tree.delete(CONTENT_MARK_KEY);
  writeMark(tree, {
    boot,
    durableLsn: tree.lastLsn(),
    durableSeconds: seconds,
    cutLsn: 0,
    cutAfter: 0,
    cutBefore: 0,
  });
}

/**
 * Whether contents may be missing that nobody is to blame for: the machine came to an end, or the filesystem below was taken
 * away, since the store was served. Not after a clean end with all durable. `boot`: of this run of the machine.
 */
export function isAfterCut(
  tree: Pick<TreeOperations, 'getVersion' | 'lastLsn' | 'previousEnd'>,
  mark: ContentMark | undefined,
  boot: string,
): boolean {
  if (tree.previousEnd === 'power-cut') return true;
  if (mark?.boot === boot) return false;
  return tree.previousEnd !== 'closed' || !isAllDurable(tree, mark);
}

/** Whether the mark's own is the only change since contents were durable. */
export function isAllDurable(
  tree: Pick<TreeOperations, 'getVersion' | 'lastLsn'>,
  mark: ContentMark | undefined,
): boolean {
  const last = tree.lastLsn();
  return mark?.durableLsn === last - 1 && tree.getVersion(CONTENT_MARK_KEY) === last;
}
