/**
 * Whether the daemon may soon have no descriptor left. It uses most of a low limit on purpose, for clients' files, and leaves some for
 * all else (mount/filesystem/contents/descriptors.ts): so what counts is how few are left, not the share.
 */
import { descriptorLimit, openDescriptors } from '../../../mount/process-calls.js';
import type { Problem } from '../../health/codes.js';
import { Threshold } from '../../health/threshold.js';

const FEW_LEFT = 32;
const ENOUGH_LEFT = 64;

export class DescriptorProblems {
  readonly #left = new Threshold();

  find(open = openDescriptors(), limit = descriptorLimit()): Problem | undefined {
    if (!this.#left.update(limit - open, FEW_LEFT, ENOUGH_LEFT)) return undefined;
    return { code: 'DESCRIPTORS_LOW', reason: `${open} of ${limit} file descriptors are in use` };
  }
}
