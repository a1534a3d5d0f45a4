/** What the tree tells of records, as it stands: nothing is settled, and no backing file is asked. */
import { childKey } from '../records/keys.js';
import * as record from '../records/record.js';
import type { RecordFacts } from '../types.js';
import type { Inodes } from './inodes.js';
import { xattrKey } from './xattr-keys.js';

export function recordFacts(inodes: Inodes): RecordFacts {
  const { tree } = inodes;
  return {
    lastLsn: () => tree.lastLsn(),
    entryIno: (parent, name) => {
      const entry = typeof parent === 'number' ? undefined : tree.get(childKey(parent, name));
      return entry === undefined ? 0 : record.inoOf(entry);
    },
    entryVersion: (parent, name) =>
      typeof parent === 'number' ? 0 : (tree.getVersion(childKey(parent, name)) ?? 0),
    version: (place) => inodes.find(place)?.version ?? 0,
    xattrVersion: (place, name) => {
      const found = inodes.find(place);
      return found === undefined ? 0 : (tree.getVersion(xattrKey(place, found, name)) ?? 0);
    },
  };
}
