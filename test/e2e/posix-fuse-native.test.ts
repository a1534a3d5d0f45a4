/** As posix.test.ts, with the other driver: the same cases, except for what its binding cannot do. */
import { FIRST_CALLS, FUSE_NATIVE_EXCLUSIONS } from './posix/fuse-native.js';
import { FUSE_NATIVE } from './posix/sides.js';
import { comparedWithExt4 } from './posix/suite.js';

comparedWithExt4('fuse-native, as on ext4', FUSE_NATIVE, FUSE_NATIVE_EXCLUSIONS, FIRST_CALLS);
