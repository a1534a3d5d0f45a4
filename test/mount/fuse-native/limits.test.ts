import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../mount/fuse-native/limits.js';
import { FUSE_NATIVE_EXCLUSIONS, WITHOUT_CASES } from '../../e2e/posix/fuse-native.js';

const ROOT = join(import.meta.dirname, '../../..');

describe('the limits of fuse-native', () => {
  it('are in limits.md and README.md as they are listed', () => {
    execFileSync(process.execPath, [join(ROOT, 'scripts/limits.mjs'), '--check'], { stdio: 'pipe' });
  });

  it('have an exclusion each, or a reason for having none', () => {
    const excluded = FUSE_NATIVE_EXCLUSIONS.map(({ limit }) => limit);
    const told = [...new Set(excluded), ...Object.keys(WITHOUT_CASES)];
    expect(told.toSorted()).toEqual(LIMITS.map(({ id }) => id).toSorted());
  });

  it('are shown by a case or more for each exclusion', () => {
    expect(FUSE_NATIVE_EXCLUSIONS.filter(({ cases }) => cases < 1)).toEqual([]);
  });
});
