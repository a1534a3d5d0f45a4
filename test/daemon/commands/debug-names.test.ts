import { beforeEach, describe, expect, it } from 'vitest';
import { Names } from '../../../daemon/commands/inspecting/debug/names.js';
import { withoutNames } from '../../../daemon/commands/inspecting/debug/told.js';
import { programWords } from '../../../daemon/commands/inspecting/debug/vocabulary.js';

const WORDS = programWords();
const HASH = /~[\da-f]{8}/;

let names: Names;
beforeEach(() => {
  names = new Names(WORDS, [
    ['/opt/spinney', '<spinney>'],
    ['/mnt/payroll data', '<mountpoint>'],
    ['/srv/payroll', '<store>'],
    ['/srv', '<other>'],
  ]);
});

describe('a debug bundle without names', () => {
  it.each([
    ['the last checkpoint failed: Cannot write: ENOSPC', 'the last checkpoint failed: Cannot write: ENOSPC'],
    ['blob 7 cannot be read (tried 3 times)', 'blob 7 cannot be read (tried 3 times)'],
    ['the mount at /mnt/payroll data is gone', 'the mount at <mountpoint> is gone'],
    [
      'Cannot open /srv/payroll/manifest.log: at offset 512',
      'Cannot open <store>/manifest.log: at offset 512',
    ],
    ['mount.fuse 2026-11-30T06:00:00.000Z 10s 5% 64MiB', '2026-11-30T06:00:00.000Z 10s 5% 64MiB'],
    [
      'CREATE is refused with EIO: 3 since 2026-11-30T06:00:00.000Z',
      'CREATE is refused with EIO: 3 since 2026-11-30T06:00:00.000Z',
    ],
    ['the snapshot "hourly-2026-11-30T06Z"', 'the snapshot "hourly-2026-11-30T06Z"'],
  ])('leaves what is no name: %s', (text, expected) => {
    expect(names.text(text)).toContain(expected);
  });

  it.each([
    'Cannot open /zebra/falcon 2026 quokka.txt: the content of inode 12 is damaged',
    'its keys begin with "d/zebra/falcon quokka"',
    'its keys begin with "d/ze"bra falcon"',
    "ENOENT: no such file or directory, open '/zebra/fal con/quokka'",
    'Cannot delete the snapshot "zebra falcon": there is none',
    'zebra-falcon.txt (inode 4): its 20 bytes are missing; quokka=/zebra',
    '/mnt/payroll data/zebra falcon: quokka',
    '/mnt/payroll data2/zebra falcon',
    '{"path":"/zebra \\"falcon\\" quokka"}',
    'the control group is 0::/system.slice/spinney@payroll.service',
    '    at falcon (zebra/quokka)',
    'Zebra FALCON Quökka',
    'L3plYnJhL2ZhbGNvbi9xdW9ra2E=',
  ])('has no name of %s', (text) => {
    const told = names.text(text);
    expect(told).not.toMatch(/zebra|falcon|quokka|quökka|payroll|ze"bra|fal con|L3pl/i);
    expect(told).toMatch(HASH);
    expect(JSON.stringify(names.value({ text, [text]: [text], path: text }))).not.toMatch(
      /zebra|falcon|quokka|quökka|payroll|L3pl/i,
    );
  });

  it('has numbers of names neither', () => {
    expect(names.text('Cannot open /a/20261130 4711.txt 99: 5 bytes')).toMatch(
      /^Cannot open \/~[\da-f]{8}\/~[\da-f]{8} ~[\da-f]{8} ~[\da-f]{8}: 5 bytes$/,
    );
    expect(names.value({ path: '/tax 2026/12', nameBytes: 'L3RheA==', ino: 12 })).toEqual({
      path: expect.stringMatching(/^\/~[\da-f]{8}\/~[\da-f]{8}$/),
      nameBytes: expect.stringMatching(/^~[\da-f]{8}$/),
      ino: 12,
    });
  });

  it('gives the same name the same hash, by its place in a path, and another one in another bundle', () => {
    const { path } = names.value({ path: '/zebra/falcon' }) as { path: string };
    const [, zebra, falcon] = path.split('/');
    expect(zebra).not.toBe(falcon);
    expect(names.text('Cannot open "/zebra/falcon": 2')).toBe(`Cannot open "/${zebra}/${falcon}": 2`);
    expect(names.path('/mnt/payroll data/zebra')).toBe(`<mountpoint>/${zebra}`);
    expect(new Names(WORDS, []).path('/zebra')).not.toBe(`/${zebra}`);
  });

  it('tells stacks of the program, and metrics with their labels', () => {
    const stack =
      'Error: Cannot read: EIO\n    at Foo.bar (file:///opt/spinney/dist/engine/tree/tree.js:1:2)\n    at node:internal/x:1:1';
    expect(names.text(stack)).toBe(stack.replace('/opt/spinney', '<spinney>'));
    const metrics =
      '# HELP spinney_info Always 1\nspinney_info{version="0.1.0",driver="kernel"} 1\nx{directory="/zebra \\"falcon\\"",le="0.5"} 2';
    expect(names.metrics(metrics)).toMatch(
      /^# HELP spinney_info Always 1\nspinney_info\{version="0.1.0",driver="kernel"\} 1\nx\{directory="\/~.*",le="0.5"\} 2$/,
    );
    expect(names.metrics(metrics)).not.toMatch(/zebra|falcon/);
  });

  it('tells lines of the table of mounts and of logs, whatever is in them', () => {
    const told = withoutNames(names);
    const line = '48 27 0:45 / /mnt/payroll\\040data rw,nosuid - fuse.spinney /srv/payroll rw,user_id=0';
    expect(told.mountLine(line)).toBe(
      '48 27 0:45 / <mountpoint> rw,nosuid - fuse.spinney <store> rw,user_id=0',
    );
    expect(told.mountLine(line.replace('/srv/payroll', '/zebra'))).toMatch(/fuse\.spinney \/~\w+ rw/);
    expect(told.logLine('{"level":30,"msg":"mounted","store":"/srv/payroll"}')).toBe(
      '{"level":30,"msg":"mounted","store":"<store>"}',
    );
    expect(told.logLine('Segmentation fault in zebra')).not.toContain('zebra');
  });
});
