/** How the command line is read, and what it says of what it cannot read. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { version } from '../../../daemon/process/version.js';
import { failure, spinney, temporaryDirectory } from '../support.js';

describe('help', () => {
  it('names every verb', async () => {
    const { code, out, err } = await spinney('--help');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const verb of ['mount', 'umount', 'stats', 'health', 'checkpoint', 'compact', 'check']) {
      expect(out).toContain(`spinney ${verb}`);
    }
  });

  it('is what the program prints that is given nothing, as an error', async () => {
    const { out: help } = await spinney('--help');
    expect(await spinney()).toEqual({ code: 2, out: '', err: help });
  });

  it.each([
    [['-h'], ['--help']],
    [['help'], ['--help']],
    [
      ['help', 'mount'],
      ['mount', '--help'],
    ],
    [
      ['mount', '-h'],
      ['mount', '--help'],
    ],
    [['-V'], ['--version']],
  ])('%j is %j', async (short, long) => {
    const told = await spinney(...long);
    expect(told).toMatchObject({ code: 0, err: '' });
    expect(await spinney(...short)).toEqual(told);
  });

  it('tells the version of the package', async () => {
    expect(await spinney('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' });
    expect(version).toMatch(/^\d+\.\d+\.\d+/);
    // The built files lie deeper.
    const cli = join(import.meta.dirname, '../../../dist/daemon/cli.js');
    const built = await promisify(execFile)(process.execPath, [cli, '--version']);
    expect(built.stdout).toBe(`${version}\n`);
  });

  it('tells defaults and units', async () => {
    const { out } = await spinney('mount', '--help');
    const text = out.replace(/\s+/g, ' ');
    expect(text).toMatch(/--cache-size MiB of memory .* \[default: a quarter of the memory, here \d+\]/);
    expect(text).toMatch(/--entry-timeout Seconds [^[]*\[string\] \[default: 3600\]/);
    expect(text).toContain('[default: written]');
    expect(text).toContain('[default: nosuid,nodev,exec]');
    expect((await spinney('umount', '--help')).out).toContain('mountpoint  Or the store that is mounted');
  });

  it('tells the options of a verb', async () => {
    const { out } = await spinney('mount', '--help');
    for (const option of ['--store', '--driver', '--durability', '--cache-size', '--log-level', '-o']) {
      expect(out).toContain(option);
    }
  });
});

describe('arguments', () => {
  const mount = ['mount', '/nowhere/mnt', '--store', '/nowhere/store'];

  it.each([
    [['--'], 'no verb was given'],
    [['--frob'], 'no verb was given, only --frob; see spinney --help'],
    [['frobnicate'], 'unknown verb "frobnicate"; the verbs are mount, umount, upgrade, status, set, stats,'],
    [['help', 'frobnicate'], 'unknown verb "frobnicate"'],
    [['unmount', '/x'], 'unknown verb "unmount"; did you mean "umount"?'],
    [['chek'], 'did you mean "check"?'],
    [['stats', '--store', '/x', '--frob'], 'stats has no option --frob; see spinney stats --help'],
    [['stats', '--stor', '/x'], 'stats has no option --stor (did you mean --store?)'],
    [['stats', '/x', '--log-level', 'debug'], 'stats has no option --log-level'],
    [['umount', '/x', '-f'], 'umount has no option -f'],
    [['mount'], 'mount needs <mountpoint>; see spinney mount --help'],
    [['check'], 'check needs <store>'],
    [['umount', ''], 'the mountpoint of umount is empty'],
    [['mount', '/a', '/b', '--store', '/c'], 'mount takes one argument, and "/b" is one too many'],
    [['mount', '/a', '/b', '/c'], 'mount takes one argument, and "/b", "/c" are too many'],
    [['mount', '/a', '--', '--b'], 'mount takes one argument, and "--b" is one too many'],
    [['stats', '--store', '--', '/x'], '--store needs a value; see spinney stats --help'],
    [['stats', '--', ''], 'the place of stats is empty'],
    [['--', 'stats'], 'no verb was given'],
    [['stats', '--store'], '--store needs a value; see spinney stats --help'],
    [['mount', '/a', '--cache-size', 'x', '--log-level', 'debug', '--store', '/b'], '--cache-size is "x"'],
    [['stats'], 'say which: give a mountpoint, a store, or --control'],
    [['stats', '/a', '--store', '/b'], 'both /a and --store /b were given; give one'],
  ])('%j: %s', async (args, expected) => {
    const { code, line } = await failure(...args);
    expect(code).toBe(2);
    expect(line).toContain(expected);
  });

  it.each([
    [['--cache-size', '7'], '--cache-size is "7", but takes a whole number from 8 to 65536'],
    [['--cache-size', '1e3'], '--cache-size is "1e3"'],
    [['--cache-size', '64.5'], '--cache-size is "64.5"'],
    [['--cache-size=-8'], '--cache-size is "-8"'],
    [['--cache-size', 'many'], '--cache-size is "many"'],
    [['--entry-timeout', 'x'], '--entry-timeout is "x", but takes a number from 0'],
    [['--attr-timeout=-1'], '--attr-timeout is "-1"'],
    [['--negative-timeout', 'Infinity'], '--negative-timeout is "Infinity"'],
    [['--driver', 'nfs'], '--driver is "nfs", but takes auto, kernel, fuse-native'],
    [['--durability', 'maybe'], '--durability is "maybe", but takes buffered, written, synced'],
    [['--log-level', 'loud'], '--log-level is "loud"'],
    [['-o', 'suid,noatime'], '-o has "noatime", but takes suid, nosuid'],
    [['--store', '/other'], '--store was given 2 times'],
    [['--store='], '--store'],
  ])('mount %j: %s', async (args, expected) => {
    const directory = temporaryDirectory();
    const { code, line } = await failure(...mount.map((arg) => arg.replace('/nowhere', directory)), ...args);
    expect(code).toBe(2);
    expect(line).toContain(expected);
  });

  it.each([
    [['umount', '--', '-x'], '/-x: it is not mounted'],
    [['umount', '--', '--'], '/--: it is not mounted'],
    [['stats', '--json', '--', '--store'], '/--store: no such store or mountpoint'],
    [['set', '/nowhere', '--', '-x'], '"-x" is no setting'],
  ])('behind -- are operands, whatever they begin with: %j: %s', async (args, expected) => {
    expect((await failure(...args)).line).toContain(expected);
  });

  it('mount without a store', async () => {
    const { code, line } = await failure('mount', temporaryDirectory());
    expect(code).toBe(2);
    expect(line).toContain('--store is missing');
  });

  it('mount with a control path that a socket address cannot hold', async () => {
    const directory = temporaryDirectory();
    const { code, line } = await failure('mount', directory, '--store', `/tmp/${'s'.repeat(100)}`);
    expect(code).toBe(2);
    expect(line).toMatch(
      /its path has \d+ bytes, a unix socket takes 107; give a shorter one with --control/,
    );
  });
});

describe('failures', () => {
  it('print a stack only when asked to debug', async () => {
    const directory = temporaryDirectory();
    const args = ['mount', join(directory, 'mnt'), '--store', join(directory, 'store')];
    const { err } = await spinney(...args, '--log-level', 'debug');
    expect(err).toMatch(/\n {4}at /);
    expect((await spinney(...args)).err).not.toMatch(/\n {4}at /);
  });
});
