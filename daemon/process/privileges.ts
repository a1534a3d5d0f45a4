/**
 * What root's daemon may do. The kernel keeps privileges for each thread, and Node has threads of its own before the first line
 * of ours runs: so they are taken from a daemon before it begins, by who starts it (docs/decisions/privileges.md).
 */
import { prctl } from '../../mount/process-calls.js';

const PR_CAPBSET_READ = 23;
const PR_CAPBSET_DROP = 24;
const PR_SET_NO_NEW_PRIVS = 38;
/** More capabilities than Linux has; the kernel says where they end. */
const CAPABILITIES = 64;

/** Capabilities that the daemon keeps, by their numbers in linux/capability.h. */
const KEPT: ReadonlySet<number> = new Set([
  1, // CAP_DAC_OVERRIDE: a store and a mountpoint below directories of others
  2, // CAP_DAC_READ_SEARCH: the same
  19, // CAP_SYS_PTRACE: who keeps a mount busy
  21, // CAP_SYS_ADMIN: mounting, unmounting, passthrough
  24, // CAP_SYS_RESOURCE: more descriptors than the limit
]);

/**
 * Takes from the processes that this thread starts from here on, if they are root's, all other capabilities, and the way to get any
 * by running a program. What the kernel refuses stays as it is: it is no reason not to start.
 */
export function limitChildren(): void {
  // An ordinary user's daemon has no privileges, and unmounts by fusermount3, which is setuid root.
  if (process.geteuid?.() !== 0) return;
  for (let capability = 0; capability < CAPABILITIES; capability++) {
    const isThere = prctl(PR_CAPBSET_READ, capability, 0, 0, 0) === 1;
    if (isThere && !KEPT.has(capability)) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}
