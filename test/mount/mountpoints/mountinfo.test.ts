import { expect, test } from 'vitest';
import { parseMountinfo } from '../../../mount/mountpoints/mountinfo.js';

test('parses entries with and without optional fields, and undoes escapes', () => {
  const text = [
    '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:3 - ext3 /dev/root rw,errors=continue',
    '42 27 0:39 / /tmp/a\\040b\\134\\303\\251 rw,nosuid - fuse.spinney spinney rw,user_id=0',
    '43 27 0:40 / /tmp/- rw - tmpfs none ro',
    '',
  ].join('\n');
  expect(parseMountinfo(text)).toEqual([
    {
      mountId: 36,
      parentId: 35,
      major: 98,
      minor: 0,
      mountpoint: '/mnt2',
      options: 'rw,noatime',
      type: 'ext3',
      source: '/dev/root',
      isReadOnlyFilesystem: false,
    },
    {
      mountId: 42,
      parentId: 27,
      major: 0,
      minor: 39,
      mountpoint: '/tmp/a b\\é',
      options: 'rw,nosuid',
      type: 'fuse.spinney',
      source: 'spinney',
      isReadOnlyFilesystem: false,
    },
    {
      mountId: 43,
      parentId: 27,
      major: 0,
      minor: 40,
      mountpoint: '/tmp/-',
      options: 'rw',
      type: 'tmpfs',
      source: 'none',
      isReadOnlyFilesystem: true,
    },
  ]);
});
