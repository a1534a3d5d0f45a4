import type { Disk } from '../../../disk/disk.js';
import { reasonOf } from '../../../errors.js';
import { readManifest } from './manifest-reader.js';

/** What its writer is at looks damaged, too, but not again and again. */
const LOOKS = 5;

/** Reads the manifest anew, beside its writer. A text where it is damaged, so that the store could not be opened again. */
export function manifestDamage(disk: Disk, directory: string): string | undefined {
  let problem: string | undefined;
  for (let look = 0; look < LOOKS; look++) {
    try {
      readManifest(disk, directory);
      return undefined;
    } catch (error) {
      problem = reasonOf(error);
    }
  }
  return problem;
}
