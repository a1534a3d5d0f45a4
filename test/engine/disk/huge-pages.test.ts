/** A cache may be larger than the longest view of memory that Node.js 20 makes. */
import { expect, it } from 'vitest';
import { adviseHugePages } from '../../../engine/disk/libc.js';

it('memory of more than 4 GiB is advised too', () => {
  // Takes nothing until it is touched.
  expect(() => adviseHugePages(new SharedArrayBuffer(5 * 2 ** 30))).not.toThrow();
});
