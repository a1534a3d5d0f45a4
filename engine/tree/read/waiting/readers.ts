/** What reads a tree beside which changes may wait. */
import type { TreeState } from '../../state/state.js';
import { Reader } from '../reader.js';
import type { PointReads, Sums } from '../reads.js';
import { Scanner, type Scans } from '../scanner.js';
import { Summation } from '../summation.js';
import { MergedReader } from './merged-reader.js';
import { MergedScanner } from './merged-scanner.js';

/** Calls an action while nothing waits. */
export type Settled = <T>(action: () => T) => T;

export interface Readers {
  points: PointReads;
  scans: Scans;
  sums: Sums;
}

/**
 * `check` as of a Reader. `waiting`: what is seen of waiting changes, and whether there are any; undefined: there never are. How
 * many keys there are is known once these are in the tree, by `settled`; or else by going through them.
 */
export function readersOf(
  state: TreeState,
  reader: Reader,
  check: () => void,
  waiting?: { state: TreeState; isAny: () => boolean; settled?: Settled },
): Readers {
  const scanner = new Scanner(state, reader);
  const summation = new Summation(state, reader.makeRoom, check);
  if (waiting === undefined) return { points: reader, scans: scanner, sums: summation };
  const { isAny, settled } = waiting;
  const waitingReader = new Reader(waiting.state, reader.makeRoom, reader.check);
  const scans = new MergedScanner(scanner, new Scanner(waiting.state, waitingReader), isAny);
  const count = (prefix: Uint8Array): number => {
    if (!isAny()) return summation.count(prefix);
    if (settled !== undefined) return settled(() => summation.count(prefix));
    return scans.count({ key: prefix, inclusive: true }, Number.POSITIVE_INFINITY, prefix).keys;
  };
  const sums: Sums = {
    count,
    sum: (prefix) => summation.sum(prefix),
    valuesCounted: (prefix, field) => summation.valuesCounted(prefix, field),
  };
  return { points: new MergedReader(reader, waitingReader, isAny), scans, sums };
}
