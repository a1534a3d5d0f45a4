/** The process's limit of file descriptors, at the start. Later their use is told by the mount's stats and health. */
import { SpinneyError } from '../../engine/errors.js';
import { raiseDescriptorLimit } from '../../mount/process-calls.js';
import type { Logger } from './log.js';

/** The threads load their programs at the same time, which takes more than 100. */
const LEAST_DESCRIPTORS = 128;
/** With fewer some of what is kept for journal, checkpoints and control socket goes to open files. */
const ENOUGH_DESCRIPTORS = 256;

/** Raises the limit as far as the process may. Throws ERR_MOUNT where it is too low for a daemon. */
export function raiseLimit(log: Pick<Logger, 'warn'>): void {
  const limit = raiseDescriptorLimit();
  if (limit < LEAST_DESCRIPTORS) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot start the daemon: it may have only ${limit} file descriptors and needs ${LEAST_DESCRIPTORS}; ` +
        'raise the limit (ulimit -n, LimitNOFILE=)',
    );
  }
  if (limit < ENOUGH_DESCRIPTORS) {
    log.warn(
      { limit, enough: ENOUGH_DESCRIPTORS },
      'few file descriptors: raise the limit (ulimit -n, LimitNOFILE=)',
    );
  }
}
