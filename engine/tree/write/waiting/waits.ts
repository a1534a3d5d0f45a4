/** What a writer does about changes that wait: which are to, and what tree there is with them. All but `mergeIfDue` REQUIRES the tree lock. */
import { TOMBSTONE } from '../../../art/layout.js';
import { ColdReader } from '../../read/cold-reader.js';
import { Reader } from '../../read/reader.js';
import { Scanner } from '../../read/scanner.js';
import { MergedScanner } from '../../read/waiting/merged-scanner.js';
import { NEED_MERGED, type TreeState } from '../../state/state.js';
import type { Change } from '../changes.js';
import { Finder } from '../finder.js';
import { ABSENT, ANY_VERSION, type Mutation } from '../mutation.js';
import type { Splitting } from '../splitting.js';
import { Merging } from './merging.js';
import { WaitingPolicy } from './policy.js';
import { WaitingTree } from './waiting-tree.js';

/** What becomes of a change: it is made in the tree, it waits, the key is not as the caller expects it. */
export const IN_TREE = 0;
export const WAITS = 1;
export const REFUSED = 2;

export class Waits {
  readonly tree: WaitingTree;
  readonly merging: Merging;
  /** For reads, which may be under way while a change is made. */
  readonly state: TreeState;
  /** Of both together, for who has the tree lock. */
  readonly scanner: MergedScanner;
  readonly #policy: WaitingPolicy;
  /** Of the tree itself, by pages where that will do. */
  readonly #finder: Finder;

  /** As for a Merging. */
  constructor(state: TreeState, mutation: Mutation, splitting: Splitting, locked: <T>(step: () => T) => T) {
    this.tree = new WaitingTree(state);
    this.merging = new Merging(state, this.tree, mutation, splitting, locked);
    this.#policy = new WaitingPolicy(state);
    this.#finder = new Finder(state, state.options.mayWait ? new ColdReader(state, () => {}) : undefined);
    const waiting = state.forWaiting();
    this.state = waiting;
    this.scanner = new MergedScanner(
      new Scanner(state, new Reader(state, () => {})),
      new Scanner(waiting, new Reader(waiting, () => {})),
      () => waiting.look(),
    );
  }

  /** Whoever adds to what waits merges a part of it where that is too much: so writers keep step. Holds no lock. */
  mergeIfDue(): void {
    if (this.#policy.isMergingDue) this.merging.some();
  }

  /** One of IN_TREE, WAITS and REFUSED; the parameters are as of `Writer.write`. */
  decide(key: Uint8Array, value: Uint8Array | undefined, expected: number): number {
    const change = this.tree.version(key);
    if (change !== undefined) return isWanted(liveOf(change), value, expected) ? WAITS : REFUSED;
    if (!this.#policy.mayWait(key)) return IN_TREE;
    if (value !== undefined && expected === ANY_VERSION) return WAITS;
    return isWanted(this.#finder.version(key), value, expected) ? WAITS : REFUSED;
  }

  /** Whether a batch is to wait, as a whole. Throws NEED_MERGED where what waits would be in its way. */
  haveAllWait(changes: readonly Change[]): boolean {
    if (changes.some((change) => 'source' in change)) {
      if (this.#isInTheWay(changes)) throw NEED_MERGED;
      return false;
    }
    let mayWait = false;
    for (const change of changes) {
      if ('source' in change) continue;
      if (this.tree.version(change.key) !== undefined) return true;
      mayWait ||= this.#policy.mayWait(change.key);
    }
    return mayWait;
  }

  #isInTheWay(changes: readonly Change[]): boolean {
    return changes.some((change) => {
      if (!('source' in change)) return this.tree.version(change.key) !== undefined;
      return this.scanner.waitsBelow(change.source) || this.scanner.waitsBelow(change.destination);
    });
  }

  /** The key's version, of what waits or else of the tree. */
  version(key: Uint8Array): number | undefined {
    const change = this.tree.version(key);
    return change === undefined ? this.#finder.version(key) : liveOf(change);
  }

  /** The key's value, a copy. */
  value(key: Uint8Array): Uint8Array | undefined {
    const change = this.tree.version(key);
    if (change === undefined) return this.#finder.value(key);
    return change < TOMBSTONE ? this.tree.value(key) : undefined;
  }
}

/** The version of what waits; undefined: it is that the key is deleted. */
function liveOf(change: number): number | undefined {
  return change < TOMBSTONE ? change : undefined;
}

/** Whether a key of this version is as the caller of `Writer.write` expects it. */
function isWanted(version: number | undefined, value: Uint8Array | undefined, expected: number): boolean {
  if (version === undefined) return value !== undefined && expected < 0;
  return expected !== ABSENT && (expected < 0 || version === expected);
}
