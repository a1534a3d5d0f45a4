/** The sums that a blob carries, against its records. */
import type { Frame } from '../../art/frame.js';
import { hasSumsOf, type Measure, Sums, sumSubtree, sumsOf } from '../../art/measure.js';

/**
 * Compares the sums in the image, and those in the store's row, with what the image's records come to. A blob without sums is
 * sound: they are made when it is next read.
 */
export function verifySums(
  frame: Frame,
  measure: Measure,
  row: readonly number[] | undefined,
  damage: (message: string) => void,
): void {
  if (!hasSumsOf(frame, measure.identity)) return;
  const found = new Sums(measure.fields);
  if (frame.root !== 0) sumSubtree(frame, frame.root << 3, measure, found);
  const told = sumsOf(frame);
  for (const [i, name] of measure.fieldNames.entries()) {
    const sum = found.values[i] as number;
    if (told?.[i] !== sum) {
      damage(`Blob ${frame.blobId}: its header tells ${told?.[i]} ${name}, its records come to ${sum}`);
    }
    if (row !== undefined && row[i] !== sum) {
      damage(`Blob ${frame.blobId}: the manifest tells ${row[i]} ${name}, its records come to ${sum}`);
    }
  }
}
