/** Going through all rows of contents, beside other work. */
import type { TreeReads } from '../../api.js';
import { type ContentPart, partsInObjects, SHIPPED_CONTENTS_PREFIX } from './rows.js';

/** Rows that are looked at between two breaths. */
const ROWS_AT_ONCE = 1000;

/** Calls `visit` with the parts that each row has in objects, and its key; of rows that were there all the time, none is left out. @throws as `range` */
export async function eachRow(
  tree: Pick<TreeReads, 'range'>,
  visit: (parts: readonly (ContentPart & { name: string })[], key: Uint8Array) => void,
): Promise<void> {
  let count = 0;
  for (const entry of tree.range({ prefix: SHIPPED_CONTENTS_PREFIX })) {
    if (entry.type !== 'key') continue;
    visit(partsInObjects(entry.key, entry.value), entry.key);
    if (++count % ROWS_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}
