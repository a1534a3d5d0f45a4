/**
 * The mount against the local filesystem, which must be ext4: the same system calls on both, and everything that a
 * program can see of them is compared: results, errors, attributes, which times changed, what is left. As root.
 */
import { KERNEL_DRIVER } from './posix/sides.js';
import { comparedWithExt4 } from './posix/suite.js';

comparedWithExt4('as on ext4', KERNEL_DRIVER);
