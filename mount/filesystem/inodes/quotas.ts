/**
 * Limits of directories: how many bytes (sizes of files) and how many files and directories may be below one. Kept as records
 * of their own (`q` + path), and in memory, for a store has few: where there is none, nothing is asked.
 *
 * What is below a directory is told by `usageBelow`. That is asked once, and what is added since is noted beside it: as long as
 * both together stay within the limit there is room, whatever was taken away meanwhile. Only where they do not it is asked
 * again. So a refusal follows from what really is there, and an addition costs a comparison.
 */
import type { Batch, TreeOperations } from '../../../engine/api.js';
import { EDQUOT } from '../errno.js';
import { concat, equalBytes, isBelow, pathOfKey, QUOTAS_PREFIX, quotaKey } from '../records/keys.js';
import { type Limits, limitsValue, readLimits } from '../records/limits.js';
import type { Usage } from './usage.js';

interface Quota extends Limits {
  path: Uint8Array;
  /** What was below it when it was last asked, and what was added since; undefined: not asked yet. */
  used: Limits | undefined;
  added: Limits;
}

/** What an operation adds below a directory. Not below 0. */
export interface Addition {
  bytes: number;
  files: number;
}

export class Quotas {
  readonly #tree: TreeOperations;
  readonly #usageBelow: (path: Uint8Array) => Usage;
  #quotas: Quota[] = [];

  constructor(tree: TreeOperations, usageBelow: (path: Uint8Array) => Usage) {
    this.#tree = tree;
    this.#usageBelow = usageBelow;
  }

  /** Reads what the store has. */
  load(): void {
    this.#quotas = [];
    for (const item of this.#tree.range({ prefix: QUOTAS_PREFIX })) {
      const limits = item.type === 'key' ? readLimits(item.value) : undefined;
      if (item.type === 'key' && limits !== undefined)
        this.#quotas.push(newQuota(pathOfKey(item.key), limits));
    }
  }

  get isEmpty(): boolean {
    return this.#quotas.length === 0;
  }

  /** The directory's own limits. */
  of(path: Uint8Array): Limits {
    return this.#find(path) ?? NO_LIMITS;
  }

  /** Sets the directory's limits; both 0 end them. */
  set(path: Uint8Array, limits: Limits): void {
    const hasNone = limits.bytes === 0 && limits.files === 0;
    if (hasNone) this.#tree.delete(quotaKey(path));
    else this.#tree.put(quotaKey(path), limitsValue(limits));
    this.#quotas = this.#quotas.filter((quota) => !equalBytes(quota.path, path));
    if (!hasNone) this.#quotas.push(newQuota(path, limits));
  }

  /** Whether bytes in the directory are limited: then every write must be seen. */
  limitsBytes(directory: Uint8Array): boolean {
    return this.#quotas.some((quota) => quota.bytes > 0 && isBelow(directory, quota.path));
  }

  /**
   * Takes room for what is to be added in the directory, where all limits that hold there have it; else nothing, and returns
   * -EDQUOT. `from`: what is added comes from this directory, so limits that hold there too are not concerned.
   */
  take(directory: Uint8Array, addition: Addition, from?: Uint8Array): number {
    if (addition.bytes === 0 && addition.files === 0) return 0;
    const concerned = this.#quotas.filter(
      ({ path }) => isBelow(directory, path) && !(from !== undefined && isBelow(from, path)),
    );
    for (const quota of concerned) if (!this.#hasRoom(quota, addition)) return -EDQUOT;
    for (const { added } of concerned) {
      added.bytes += addition.bytes;
      added.files += addition.files;
    }
    return 0;
  }

  #hasRoom(quota: Quota, addition: Addition): boolean {
    if (quota.used !== undefined && isWithin(quota, addition)) return true;
    this.#look(quota);
    return isWithin(quota, addition);
  }

  #look(quota: Quota): Limits {
    const { files, subdirs, bytes } = this.#usageBelow(quota.path);
    quota.used = { files: files + subdirs, bytes };
    quota.added = { files: 0, bytes: 0 };
    return quota.used;
  }

  /** What the limits that hold in the directory leave at most, and what of that is free; undefined: no limit. */
  space(directory: Uint8Array): { [of in keyof Limits]: { most: number; free: number } | undefined } {
    const space: ReturnType<Quotas['space']> = { bytes: undefined, files: undefined };
    for (const quota of this.#quotas) {
      if (!isBelow(directory, quota.path)) continue;
      const used = this.#look(quota);
      for (const of of ['bytes', 'files'] as const) {
        if (quota[of] === 0) continue;
        const free = Math.max(0, quota[of] - used[of]);
        if (space[of] === undefined || free < space[of].free) space[of] = { most: quota[of], free };
      }
    }
    return space;
  }

  // Directories that move or go take their limits along. What is recorded in a batch is settled once that is made.

  recordRemoval(batch: Batch, path: Uint8Array): void {
    if (this.#find(path) !== undefined) batch.delete(quotaKey(path));
  }

  settleRemoval(path: Uint8Array): void {
    if (!this.isEmpty) this.#quotas = this.#quotas.filter((quota) => !equalBytes(quota.path, path));
  }

  /** `moves`: pairs of a directory's path and the one that it gets, all at once. */
  recordMoves(batch: Batch, moves: readonly [from: Uint8Array, to: Uint8Array][]): void {
    const moved = this.#moved(moves);
    for (const [{ path }] of moved) batch.delete(quotaKey(path));
    for (const [quota, path] of moved) batch.put(quotaKey(path), limitsValue(quota));
  }

  settleMoves(moves: readonly [from: Uint8Array, to: Uint8Array][]): void {
    for (const [quota, path] of this.#moved(moves)) quota.path = path;
    // What is below those above has changed.
    for (const quota of this.#quotas) quota.used = undefined;
  }

  #moved(moves: readonly [from: Uint8Array, to: Uint8Array][]): [Quota, Uint8Array][] {
    const moved: [Quota, Uint8Array][] = [];
    for (const quota of this.#quotas) {
      const move = moves.find(([from]) => isBelow(quota.path, from));
      if (move !== undefined) moved.push([quota, concat(move[1], quota.path.subarray(move[0].length))]);
    }
    return moved;
  }

  #find(path: Uint8Array): Quota | undefined {
    return this.#quotas.find((quota) => equalBytes(quota.path, path));
  }
}

const NO_LIMITS: Limits = { bytes: 0, files: 0 };

function newQuota(path: Uint8Array, { bytes, files }: Limits): Quota {
  return { path: new Uint8Array(path), bytes, files, used: undefined, added: { bytes: 0, files: 0 } };
}

/** Nothing is refused that adds nothing, though a limit be exceeded already. */
function isWithin(quota: Quota, addition: Addition): boolean {
  const { used, added } = quota;
  if (used === undefined) return false;
  return (['bytes', 'files'] as const).every(
    (of) => quota[of] === 0 || addition[of] === 0 || used[of] + added[of] + addition[of] <= quota[of],
  );
}
