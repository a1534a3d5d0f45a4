/** The scrubber of a store: it goes on from what came of the last scrub, which the store keeps. */
import type { Tree } from '../../../engine/index.js';
import { readScrubRecord, writeScrubRecord } from '../../../mount/scrub-record.js';
import type { ScrubReport } from '../../control/reports.js';
import type { Logger } from '../../process/log/log.js';
import type { Admin } from '../admin/admin.js';
import { Scrubber } from './scrubber.js';

/** Where nothing may be written (`readOnly`) the next daemon does not know of this one's scrubs. */
export function storeScrubber(tree: Tree, admin: Admin, readOnly: boolean, log: Logger): Scrubber {
  const keep = (report: ScrubReport): void => {
    try {
      if (!readOnly) writeScrubRecord(tree, report);
    } catch (error) {
      log.warn({ err: error }, 'could not keep what came of a scrub');
    }
  };
  let last: ScrubReport | undefined;
  try {
    last = readScrubRecord(tree) as ScrubReport | undefined;
  } catch (error) {
    log.warn({ err: error }, 'could not read what came of the last scrub');
  }
  return new Scrubber(admin, log, { last, keep });
}
