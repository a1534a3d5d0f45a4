/** What a fuse-native mount does otherwise than ext4: see mount/fuse-native/limits.ts. */
import type { Exclusion } from './exclusions.js';
import type { Call } from './sides.js';

/** A kernel that knows that there is no fallocate says so before it takes set-id bits. */
export const FIRST_CALLS: Call[] = [
  ['create', 'f'],
  ['open', 'h', 'f', 'O_RDWR'],
  ['fallocate', 'h', 0, 0, 10],
];

export const FUSE_NATIVE_EXCLUSIONS: readonly Exclusion[] = [];
