/** What the sums of a store are of: `measure` of its tree. Every opening of a store's tree for writing gives it. */
import type { MeasureOptions } from '../../../engine/api.js';
import { countRecord } from './record.js';

/**
 * Sums of sizes are exact to 2^53 only, and values that are no records (extended attributes) may look like one of any size. So a
 * size is counted in two parts, of which a blob's worth stays exact whatever the records say.
 */
export const TEBIBYTE: number = 2 ** 40;

/** `files`: all but directories. `live`: those whose size their record does not tell, and which count no bytes. */
export const FILESYSTEM_MEASURE: MeasureOptions = {
  name: 'spinney files 1',
  fields: ['files', 'subdirs', 'bytes', 'tebibytes', 'live'],
  of: (_key, value, out) => countRecord(value, out),
};
