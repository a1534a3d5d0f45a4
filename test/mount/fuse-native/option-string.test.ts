import { describe, expect, it } from 'vitest';
import { mountOptionString } from '../../../mount/fuse-native/option-string.js';
import type { MountOptions } from '../../../mount/types.js';

const OPTIONS: MountOptions = {
  mountpoint: '/mnt',
  driver: 'fuse-native',
  readOnly: false,
  allowOther: false,
  entryTimeout: 0,
  attributeTimeout: 5,
  negativeTimeout: 2,
  options: [],
  snapshotDirectory: '.snap',
  contentDirectory: '/srv/store/content',
  source: '/srv/store',
};

describe('option string', () => {
  it('has what the binding would drop, and the words of the command line last', () => {
    const options = mountOptionString({ ...OPTIONS, options: ['suid', 'noexec'] }).split(',');
    expect(options[0]).toBe('/srv/store');
    expect(options).toEqual(expect.arrayContaining(['entry_timeout=0', 'negative_timeout=2']));
    expect(options).toContain('attr_timeout=0');
    expect(options).not.toContain('ro');
    expect(options.slice(-4)).toEqual(['nosuid', 'nodev', 'suid', 'noexec']);
    expect(mountOptionString({ ...OPTIONS, readOnly: true }).split(',')).toContain('ro');
  });

  it('refuses a store that libfuse would split, or that is too long', () => {
    for (const source of ['/srv/a,suid', '/srv/a\\b']) {
      expect(() => mountOptionString({ ...OPTIONS, source })).toThrow('has a comma or a backslash');
    }
    expect(() => mountOptionString({ ...OPTIONS, source: `/${'x'.repeat(900)}` })).toThrow(
      'the limit is 900',
    );
  });
});
