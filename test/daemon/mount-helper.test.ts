import { describe, expect, it } from 'vitest';
import { mountArguments, runMountHelper } from '../../daemon/mount-helper.js';

const PLACES = ['/srv/store', '/mnt/x'];
const COMMAND = ['mount', '/mnt/x', '--store', '/srv/store'];

async function failure(...args: string[]): Promise<{ code: number; err: string }> {
  let err = '';
  const output = {
    out: () => {},
    err: (text: string) => {
      err += text;
    },
  };
  return { code: await runMountHelper(args, output), err };
}

describe('mount.fuse.spinney', () => {
  it.each([
    [[], []],
    [['-o', 'rw'], []],
    [['-o', 'defaults,noauto,_netdev,nofail,x-systemd.requires=a.mount,user=ada,relatime'], []],
    [['-o', 'ro'], ['--read-only']],
    [['-o', 'ro,rw'], []],
    [['-o', 'rw,ro,ro'], ['--read-only']],
    [
      ['-o', 'allow_other,suid,dev,noexec'],
      ['--allow-other', '-o', 'suid,dev,noexec'],
    ],
    [
      ['-o', 'cache-size=64,durability=synced', '-o', 'entry-timeout=5,cache-size=32'],
      ['--cache-size=32', '--durability=synced', '--entry-timeout=5'],
    ],
    [['-t', 'fuse.spinney', '-n', '-v', '-o', 'control=/run/x.sock'], ['--control=/run/x.sock']],
    [['-s', '-o', 'frobnicate,ro'], ['--read-only']],
  ])('takes %j', (given, expected) => {
    expect(mountArguments([...PLACES, ...given])).toEqual([...COMMAND, ...expected]);
  });

  it('takes options before the places, as people may write them', () => {
    expect(mountArguments(['-o', 'ro', ...PLACES])).toEqual([...COMMAND, '--read-only']);
  });

  it('does nothing when it is a rehearsal', async () => {
    expect(mountArguments([...PLACES, '-f'])).toBeUndefined();
    expect(await failure(...PLACES, '-f')).toEqual({ code: 0, err: '' });
  });

  it.each([
    [[...PLACES, '-o', 'frobnicate'], '-o has "frobnicate", which is unknown'],
    [[...PLACES, '-o', 'cache-size'], '-o has "cache-size", which is unknown'],
    [[...PLACES, '-x'], '-x is unknown'],
    [[...PLACES, '-o'], '-o needs a value'],
    [['/srv/store'], 'the usage is mount.fuse.spinney <store> <mountpoint> [-o options]'],
  ])('refuses %j', async (args, reason) => {
    const { code, err } = await failure(...args);
    expect(code).toBe(1);
    expect(err).toBe(`mount.fuse.spinney: Cannot read the arguments: ${reason}\n`);
  });

  it('gives the exit codes of mount(8)', async () => {
    expect((await failure('/nowhere/store', '/nowhere/mnt')).code).toBe(32);
    expect((await failure('/nowhere/store', '/tmp', '-o', 'cache-size=lots')).code).toBe(1);
  });
});
