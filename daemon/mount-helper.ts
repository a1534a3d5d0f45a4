/**
 * `mount.fuse.spinney`: what mount(8) runs for the type fuse.spinney, by hand or from /etc/fstab, as
 *
 *   mount.fuse.spinney <store> <mountpoint> [-sfnv] [-N <namespace>] [-t <type>] [-o <options>]
 *
 * It translates that to `spinney mount`. Exit codes are mount(8)'s.
 */
import { SpinneyError } from '../engine/errors.js';
import { badArgument } from './commands/arguments.js';
import type { Output } from './commands/output.js';
import { failureOf } from './process/failure.js';
import { run, STANDARD_OUTPUT, USAGE_EXIT_CODE } from './run.js';

/** Exit codes of mount(8). */
const BAD_USAGE = 1;
const MOUNT_FAILED = 32;

/** Options that become one of `spinney mount` with a value. */
const VALUES = new Set([
  'attr-timeout',
  'cache-size',
  'control',
  'driver',
  'durability',
  'entry-timeout',
  'log-file',
  'log-level',
  'negative-timeout',
]);

/** Options of `spinney mount` without a value; false takes the word back. */
const SWITCHES: Readonly<Record<string, readonly [name: string, on: boolean]>> = {
  ro: ['read-only', true],
  rw: ['read-only', false],
  allow_other: ['allow-other', true],
  'allow-other': ['allow-other', true],
};
/** Options that `spinney mount -o` takes, in their order. */
const MOUNT_WORDS = new Set(['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec']);

/** Options that are for mount(8) or for whoever reads /etc/fstab, or that hold anyway. */
const IGNORED =
  /^(defaults|auto|noauto|nofail|_netdev|user|nouser|users|owner|group|async|(no)?(a|dira|rela|lazy)time|strictatime|user=.*|comment=.*|x-.*|X-.*)$/;

/** Runs one command line as mount(8) gives it; returns the exit code. */
export async function runMountHelper(
  args: readonly string[],
  output: Output = STANDARD_OUTPUT,
): Promise<number> {
  let translated: string[] | undefined;
  try {
    translated = mountArguments(args);
  } catch (error) {
    output.err(`mount.fuse.spinney: ${failureOf(error).message}\n`);
    return BAD_USAGE;
  }
  if (translated === undefined) return 0;
  // mount(8) says nothing when all is well.
  const exitCode = await run(translated, { out: () => {}, err: output.err });
  if (exitCode === 0) return 0;
  return exitCode === USAGE_EXIT_CODE ? BAD_USAGE : MOUNT_FAILED;
}

/** Arguments of `spinney` that do what mount(8) asks for; undefined where it asks for nothing but a rehearsal. */
export function mountArguments(args: readonly string[]): string[] | undefined {
  const { places, options, fake, sloppy } = readArguments(args);
  const [store, mountpoint, ...more] = places;
  if (store === undefined || mountpoint === undefined || more.length > 0) {
    throw badArgument('the usage is mount.fuse.spinney <store> <mountpoint> [-o options]');
  }
  const translated = translate(options, sloppy);
  return fake ? undefined : ['mount', mountpoint, '--store', store, ...translated];
}

interface HelperArguments {
  places: string[];
  options: string[];
  fake: boolean;
  sloppy: boolean;
}

function readArguments(args: readonly string[]): HelperArguments {
  const read: HelperArguments = { places: [], options: [], fake: false, sloppy: false };
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith('-')) {
      read.places.push(arg);
    } else if (arg === '-o' || arg === '-t' || arg === '-N') {
      const value = args[++i];
      if (value === undefined) throw badArgument(`${arg} needs a value`);
      if (arg === '-N') throw new SpinneyError('ERR_MOUNT', 'Cannot mount in another namespace (-N)');
      if (arg === '-o') read.options.push(...value.split(',').filter(Boolean));
    } else if (/^-[sfnv]+$/.test(arg)) {
      read.fake ||= arg.includes('f');
      read.sloppy ||= arg.includes('s');
    } else {
      throw badArgument(`${arg} is unknown`);
    }
  }
  return read;
}

/** Of options that contradict each other the later one wins. */
function translate(options: readonly string[], sloppy: boolean): string[] {
  const values = new Map<string, string>();
  const switches = new Set<string>();
  const words: string[] = [];
  for (const option of options) {
    const at = option.indexOf('=');
    const name = at < 0 ? option : option.slice(0, at);
    const found = Object.hasOwn(SWITCHES, option) ? SWITCHES[option] : undefined;
    if (at >= 0 && VALUES.has(name)) values.set(name, option.slice(at + 1));
    else if (found?.[1] === true) switches.add(found[0]);
    else if (found !== undefined) switches.delete(found[0]);
    else if (MOUNT_WORDS.has(option)) words.push(option);
    else if (!IGNORED.test(option) && !sloppy) throw badArgument(`-o has "${option}", which is unknown`);
  }
  return [
    ...[...values].map(([name, value]) => `--${name}=${value}`),
    ...[...switches].map((name) => `--${name}`),
    ...(words.length > 0 ? ['-o', words.join(',')] : []),
  ];
}
