/** Where the contents that records tell of are, for whoever ships them. */
import { ContentFiles, contentPath } from '../filesystem/contents/content.js';
import { SystemDisk } from '../filesystem/contents/disk/system.js';
import {
  bornOfKey,
  ENTRY,
  INODE,
  inoOfKey,
  isNumberedKey,
  KEPT,
  ORPHAN,
} from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';

/** `k`, the inode's number, and 4 bytes of born. */
const KEPT_KEY_BYTES = 13;

export interface ToldContent {
  ino: number;
  born: number;
  isLive: boolean;
}

/** The content that a record tells of; undefined where it tells of none. */
export function contentOf(key: Uint8Array, value: Uint8Array): ToldContent | undefined {
  switch (key[0]) {
    case KEPT:
      if (key.length !== KEPT_KEY_BYTES) return undefined;
      return { ino: inoOfKey(key), born: bornOfKey(key), isLive: false };
    case INODE:
    case ORPHAN:
      if (!isNumberedKey(key)) return undefined;
      break;
    case ENTRY:
      break;
    default:
      return undefined;
  }
  if (
    record.isLink(value) ||
    record.typeOf(value) !== record.REGULAR ||
    !record.hasFlag(value, record.CONTENT)
  )
    return undefined;
  const isLive = record.hasFlag(value, record.LIVE);
  return { ino: record.inoOf(value), born: record.bornOf(value), isLive };
}

export function contentPlaces(directory: string) {
  const files = new ContentFiles(new SystemDisk(), directory, true);
  return {
    pathOf: (ino: number, born: number) => contentPath(directory, ino, born),
    hasWriters: (ino: number, born: number) => files.hasWriters(ino, born),
    contentOf,
  };
}
