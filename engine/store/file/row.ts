/** One blob's row in a record of the manifest; the table of its bytes is in engine/FORMAT.md. */
import type { StoredRow } from './slot-map.js';

export const ROW_BYTES = 40;

/** Writes the row at byte `at`. */
export function writeRow(view: DataView, at: number, row: StoredRow): void {
  view.setUint32(at, row.id, true);
  view.setUint32(at + 4, row.slot, true);
  view.setFloat64(at + 8, row.generation, true);
  view.setUint32(at + 16, row.liveBytes, true);
  view.setUint32(at + 20, row.leaves, true);
  view.setUint32(at + 24, row.crossings, true);
  view.setUint32(at + 28, row.compactions, true);
  view.setUint32(at + 32, row.crc, true);
  view.setUint16(at + 36, row.height, true);
}

/** With the sums of `fields` fields behind it, where they are known. */
export function readRow(view: DataView, at: number, fields = 0): StoredRow {
  const sums = Array.from({ length: fields }, (_, i) => view.getFloat64(at + ROW_BYTES + i * 8, true));
  const isKnown = fields > 0 && !sums.some(Number.isNaN);
  return {
    id: view.getUint32(at, true),
    slot: view.getUint32(at + 4, true),
    generation: view.getFloat64(at + 8, true),
    liveBytes: view.getUint32(at + 16, true),
    leaves: view.getUint32(at + 20, true),
    crossings: view.getUint32(at + 24, true),
    compactions: view.getUint32(at + 28, true),
    crc: view.getUint32(at + 32, true),
    height: view.getUint16(at + 36, true),
    ...(isKnown && { sums }),
  };
}

/** Writes the sums behind a row at byte `at`; those that are not known as NaN. */
export function writeSums(view: DataView, at: number, { sums }: StoredRow, fields: number): void {
  const isKnown = sums?.length === fields;
  for (let i = 0; i < fields; i++) view.setFloat64(at + i * 8, isKnown ? sums[i]! : Number.NaN, true);
}
