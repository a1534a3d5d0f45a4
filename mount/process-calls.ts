/** System calls that Node lacks and that a daemon needs for itself, besides its mounts. */
export { raiseDescriptorLimit } from './libc/descriptor-limit.js';
export { dup2, exitNow, prctl } from './libc/libc.js';
