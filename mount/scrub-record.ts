/** When the blobs of the store were verified last, and what came of it: a fact of the store, as JSON. */
import type { TreeOperations } from '../engine/api.js';
import { SCRUB_KEY } from './filesystem/records/keys.js';

/** What was kept; undefined where nothing was, or nothing that can be read. */
export function readScrubRecord(tree: Pick<TreeOperations, 'get'>): unknown {
  const value = tree.get(SCRUB_KEY);
  if (value === undefined) return undefined;
  try {
    return JSON.parse(Buffer.from(value).toString());
  } catch {
    return undefined;
  }
}

export function writeScrubRecord(tree: Pick<TreeOperations, 'put'>, report: object): void {
  tree.put(SCRUB_KEY, Buffer.from(JSON.stringify(report)));
}
