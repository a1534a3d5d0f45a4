/** Brings all contents at or below a path here, as far as they are not. */
import type { TreeReads } from '../../engine/api.js';
import { SpinneyError } from '../../engine/errors.js';
import { childrenPrefix, entryKey, inodeKey } from '../filesystem/records/keys.js';
import * as record from '../filesystem/records/record.js';
import type { ContentName } from '../filesystem/types.js';
import type { WarmProgress } from '../types.js';

/** Files that are wanted at a time. */
const FILES_AT_ONCE = 8;
/** Records that are looked at between two breaths. */
const RECORDS_AT_ONCE = 1_000;
const PROGRESS_MS = 200;

export interface Warmed {
  tree: TreeReads;
  isHere(ino: number, born: number): boolean;
  /** Resolves to 0 when the content is here, or to a negative errno. */
  bring(content: ContentName): Promise<number>;
}

/** `path`: of the mount, in bytes. @throws ERR_NOT_FOUND, and the signal's reason */
export async function warm(
  { tree, isHere, bring }: Warmed,
  path: Uint8Array,
  onProgress: (progress: WarmProgress) => void,
  signal: AbortSignal,
): Promise<WarmProgress> {
  const wanted: (ContentName & { size: number })[] = [];
  const progress: WarmProgress = { files: 0, bytes: 0, filesDone: 0, bytesDone: 0, failures: 0 };
  let count = 0;
  for (const entry of entriesAt(tree, path)) {
    const inode = record.isLink(entry) ? tree.get(inodeKey(record.inoOf(entry))) : entry;
    if (
      inode !== undefined &&
      record.typeOf(inode) === record.REGULAR &&
      record.hasFlag(inode, record.CONTENT)
    ) {
      const content = { ino: record.inoOf(inode), born: record.bornOf(inode), size: record.sizeOf(inode) };
      progress.files++;
      progress.bytes += content.size;
      if (isHere(content.ino, content.born)) {
        progress.filesDone++;
        progress.bytesDone += content.size;
      } else wanted.push(content);
    }
    if (++count % RECORDS_AT_ONCE !== 0) continue;
    await new Promise((resolve) => setImmediate(resolve));
    signal.throwIfAborted();
  }
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
  aborted.catch(() => {});
  const timer = setInterval(() => onProgress({ ...progress }), PROGRESS_MS);
  try {
    const next = wanted.values();
    const bringAll = async () => {
      for (const content of next) {
        signal.throwIfAborted();
        // What is under way comes to its end; nobody waits for that.
        const result = await Promise.race([bring(content), aborted]);
        if (result < 0) progress.failures++;
        else {
          progress.filesDone++;
          progress.bytesDone += content.size;
        }
      }
    };
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, bringAll));
  } finally {
    clearInterval(timer);
  }
  return progress;
}

/** Records at the path and below it. */
function* entriesAt(tree: TreeReads, path: Uint8Array): Generator<Uint8Array> {
  const own = tree.get(entryKey(path));
  if (own === undefined) {
    throw new SpinneyError('ERR_NOT_FOUND', `Cannot fetch ${Buffer.from(path).toString()}: there is nothing`);
  }
  yield own;
  for (const item of tree.range({ prefix: childrenPrefix(path) })) if (item.type === 'key') yield item.value;
}
