import { closeSync, fsyncSync, openSync, rmSync } from 'node:fs';
import { ContentFiles, contentPath } from '../filesystem/content.js';
import type { ContentAccess } from './io-service.js';

/** The content files below `<store>/content`, as the I/O service uses them. */
export function contentAccess(directory: string): ContentAccess {
  const files = new ContentFiles(directory, true);
  return {
    remove: (ino) => rmSync(contentPath(directory, ino), { force: true }),
    syncName: (ino) => {
      for (const path of files.directoriesOf(ino)) {
        const fd = openSync(path, 'r');
        try {
          fsyncSync(fd);
        } finally {
          closeSync(fd);
        }
      }
    },
  };
}
