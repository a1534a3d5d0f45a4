/** Where the contents of a loaded store's files come from. */
import { closeSync, ftruncateSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { contentPath } from '../filesystem/contents/content.js';
import type { ContentsMove } from '../repair/index.js';
import { badLine } from './format.js';
import type { LoadedContents } from './load.js';

/** Brings them from the store that was dumped. */
export function contentsOf(move: ContentsMove): LoadedContents {
  return {
    bring(ino, size) {
      const content = move.findNewest(ino);
      if (content === undefined)
        throw badLine(`its ${size} bytes are not in the store that contents are taken from`);
      if (content.size !== size)
        throw badLine(`it has ${size} bytes, ${content.size} are in the store that contents are taken from`);
      move.take(content, ino);
      return content.blocks;
    },
  };
}

/** None: files have their sizes, and are read as zeros. */
export function sparseContents(directory: string): LoadedContents {
  return {
    bring(ino, size) {
      const path = contentPath(directory, ino);
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      const fd = openSync(path, 'wx', 0o600);
      try {
        ftruncateSync(fd, size);
      } finally {
        closeSync(fd);
      }
      return 0;
    },
  };
}

/** Refuses: for a dump that is to be of nothing but empty files. */
export const NO_CONTENTS: LoadedContents = {
  bring(_ino, size) {
    throw badLine(
      `it has ${size} bytes, of which a dump tells nothing: give --contents STORE to take them from there, or --sparse for zeros in their place`,
    );
  },
};
