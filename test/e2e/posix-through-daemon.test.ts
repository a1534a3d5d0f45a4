/** As posix.test.ts, with contents that go through the daemon, as they do wherever the kernel cannot pass them through. */
import { THROUGH_DAEMON } from './posix/sides.js';
import { comparedWithExt4 } from './posix/suite.js';

comparedWithExt4('as on ext4, contents through the daemon', THROUGH_DAEMON);
