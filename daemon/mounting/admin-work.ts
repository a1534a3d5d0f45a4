/** What takes so long that a thread of its own does it: one entry for each kind of work. */
import type { Tree } from '../../engine/index.js';

export const ADMIN_WORK = {
  checkpoint: (tree: Tree): void => tree.checkpoint(),
  compact: (tree: Tree): void => tree.compact(),
} as const;

export type AdminWork = keyof typeof ADMIN_WORK;
