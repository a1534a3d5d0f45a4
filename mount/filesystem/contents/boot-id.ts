import { readFileSync } from 'node:fs';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** Of this run of the machine; a constant where the system does not tell, so that nothing is taken for lost. */
export function bootId(): string {
  try {
    return readFileSync(BOOT_ID, 'latin1').trim();
  } catch {
    return 'unknown';
  }
}
