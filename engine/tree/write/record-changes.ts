/** From a journal's record to what it does to a tree. */
import { SpinneyError } from '../../errors.js';
import { RECORD_DELETE, RECORD_GRAFT, RECORD_PUT, type RecordReader } from '../../journal/records/record.js';
import type { Change } from './changes.js';

/**
 * What a record tells to do; keys and values are views of what it was read from. `cannot` begins the message: "Cannot recover /srv/store".
 * @throws ERR_FORMAT_VERSION
 */
export function changesOf(record: RecordReader, cannot: string): Change[] {
  const changes: Change[] = [];
  while (record.next()) {
    if (record.kind === RECORD_PUT) changes.push({ key: record.first, value: record.second });
    else if (record.kind === RECORD_DELETE) changes.push({ key: record.first, value: undefined });
    else if (record.kind === RECORD_GRAFT) changes.push({ source: record.first, destination: record.second });
    else {
      throw new SpinneyError(
        'ERR_FORMAT_VERSION',
        `${cannot}: the journal has a record of kind ${record.kind} at LSN ${record.lsn}, which this version does not write`,
      );
    }
  }
  return changes;
}
