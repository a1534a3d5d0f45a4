/** System calls that Node lacks and that a daemon needs for itself, besides its mounts. */
export { DatagramSender } from './libc/datagrams.js';
export { descriptorLimit, openDescriptors, raiseDescriptorLimit } from './libc/descriptor-limit.js';
export { dup2, exitNow, prctl, setsid } from './libc/libc.js';
export { closeOnExec, hasReader, makePipe } from './libc/pipes.js';
