/** The process's limit of file descriptors, at the start. Later their use is told by the mount's stats and health. */
import { SpinneyError } from '../../engine/errors.js';
import { raiseDescriptorLimit } from '../../mount/process-calls.js';

/** The reserve for journal, checkpoints, syncs and the control socket, and what the threads need while they load their programs. */
const LEAST_DESCRIPTORS = 256;

/** Raises the limit as far as the process may. Throws ERR_MOUNT where it is too low for a daemon. */
export function raiseLimit(): void {
  const limit = raiseDescriptorLimit();
  if (limit >= LEAST_DESCRIPTORS) return;
  throw new SpinneyError(
    'ERR_MOUNT',
    `Cannot start the daemon: it may have only ${limit} file descriptors and needs ${LEAST_DESCRIPTORS}; ` +
      'raise the limit (ulimit -n, LimitNOFILE=)',
  );
}
