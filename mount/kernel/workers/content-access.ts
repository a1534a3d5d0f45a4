import { closeSync, fsyncSync, openSync, unlinkSync } from 'node:fs';
import { ContentFiles, contentPath } from '../../filesystem/contents/content.js';
import { NO_SPARE, nameSpare } from '../../filesystem/contents/spare-files.js';
import type { ContentAccess } from './io-service.js';

/** The content files below `<store>/content`, as the I/O service uses them. */
export function contentAccess(directory: string): ContentAccess {
  const files = new ContentFiles(directory, true);
  return {
    remove: (ino) => {
      try {
        unlinkSync(contentPath(directory, ino));
      } catch (error) {
        // A crash may have come between the removal and its record.
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    },
    syncName: (ino, spare) => {
      if (spare !== NO_SPARE) nameSpare(files, spare, ino);
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
