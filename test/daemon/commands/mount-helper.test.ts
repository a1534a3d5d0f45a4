import { describe, expect, it } from 'vitest';
import { readWork, runMountHelper } from '../../../daemon/mount-helper.js';
import { version } from '../../../daemon/process/version.js';

const PLACES = ['/srv/store', '/mnt/x'];
const COMMAND = ['mount', '/mnt/x', '--store', '/srv/store'];

async function helper(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const output = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  };
  const code = await runMountHelper(args, output);
  return { code, out, err };
}

describe('mount.fuse.spinney', () => {
  it.each([
    [[], []],
    [['-o', 'rw'], []],
    [['-o', 'defaults,noauto,_netdev,nofail,x-systemd.requires=a.mount,user=ada,relatime'], []],
    [['-o', 'nogroup,silent,x-systemd.automount,x-systemd.requires-mounts-for=/srv,uhelper=udisks2'], []],
    [
      ['-o', 'scrub=7,log-size=0'],
      ['--scrub=7', '--log-size=0'],
    ],
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
    expect(readWork([...PLACES, ...given], false)).toEqual({ run: [...COMMAND, ...expected] });
  });

  it('takes options before the places, as people may write them', () => {
    expect(readWork(['-o', 'ro', ...PLACES], false)).toEqual({ run: [...COMMAND, '--read-only'] });
  });

  it.each([
    ['rw', 'suid,dev'],
    ['ro,nosuid', 'suid,dev,nosuid'],
    ['rw,noexec,nosuid,nodev,user', 'suid,dev,noexec,nosuid,nodev'],
  ])('has suid and dev for root, as mount(8) passes only what takes them away: %s', (given, words) => {
    const work = readWork([...PLACES, '-o', given], true);
    expect((work as { run: string[] }).run.slice(-2)).toEqual(['-o', words]);
  });

  it('takes a remount as mount(8) gives it, with what the table of mounts and /etc/fstab have', () => {
    const given =
      'rw,nosuid,nodev,relatime,user_id=0,group_id=0,default_permissions,allow_other,max_read=1048576,cache-size=64,remount,ro';
    expect(readWork([...PLACES, '-o', given], true)).toEqual({
      remount: ['rw', 'ro', 'nosuid', 'nodev'],
      store: '/srv/store',
      mountpoint: '/mnt/x',
    });
  });

  it('says what cannot be remounted', async () => {
    const { code, err } = await helper('/srv/store', '/tmp', '-o', 'remount,ro');
    expect(code).toBe(32);
    expect(err).toMatch(
      /^mount.fuse.spinney: Cannot remount \/tmp: (nothing is mounted there|it is not a Spinney mount .*)\n$/,
    );
  });

  it('has a help and a version', async () => {
    for (const option of ['--help', '-h']) {
      const { code, out, err } = await helper(option);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      for (const word of ['remount', 'allow_other', 'cache-size=VALUE', 'nosuid'])
        expect(out).toContain(word);
    }
    expect(await helper('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' });
  });

  it('does nothing when it is a rehearsal', async () => {
    expect(readWork([...PLACES, '-f'])).toBeUndefined();
    expect(await helper(...PLACES, '-f')).toEqual({ code: 0, out: '', err: '' });
  });

  it.each([
    [[...PLACES, '-o', 'frobnicate'], 'unknown option "frobnicate" in -o'],
    [
      [...PLACES, '-o', 'ro,cache_size=64'],
      'unknown option "cache_size=64" in -o (did you mean cache-size?)',
    ],
    [[...PLACES, '-o', 'cache-size'], 'the option cache-size needs a value (cache-size=...)'],
    [[...PLACES, '-x'], 'unknown option -x'],
    [[...PLACES, '-o'], '-o needs a value'],
    [['/srv/store'], 'a store and a mountpoint are needed, and 1 were given'],
  ])('refuses %j', async (args, reason) => {
    const { code, err } = await helper(...args);
    expect(code).toBe(1);
    expect(err).toBe(
      `mount.fuse.spinney: Cannot read the arguments: ${reason}; see mount.fuse.spinney --help\n`,
    );
  });

  it('gives the exit codes of mount(8)', async () => {
    expect((await helper('/nowhere/store', '/nowhere/mnt')).code).toBe(32);
    expect((await helper('/nowhere/store', '/tmp', '-o', 'cache-size=lots')).code).toBe(1);
  });
});
