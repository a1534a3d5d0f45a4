/**
 * `mount.fuse.spinney`: what mount(8) runs for the type fuse.spinney, by hand or from /etc/fstab, as
 *
 *   mount.fuse.spinney <store> <mountpoint> [-sfnv] [-N <namespace>] [-t <type>] [-o <options>]
 *
 * It translates that to `spinney mount`, or, with the option `remount`, changes the flags of the mount in place. Exit codes are
 * mount(8)'s.
 *
 * mount(8) takes `suid`, `dev` and `exec` for itself and passes on only what takes them away. So for root they hold unless
 * that is given, as on every filesystem; for others mount(8) gives nosuid and nodev itself.
 */
import { SpinneyError } from '../engine/errors.js';
import { badArgument } from './commands/options/arguments.js';
import { nearest } from './commands/options/nearest.js';
import type { Output } from './commands/output/output.js';
import { HELP, IGNORED, MOUNT_WORDS, OF_MOUNTED, SWITCHES, VALUES } from './mount-helper-options.js';
import { remountAt } from './places/remounting.js';
import { failureOf } from './process/failure.js';
import { version } from './process/version.js';
import { run, STANDARD_OUTPUT, USAGE_EXIT_CODE } from './run.js';

/** Exit codes of mount(8). */
const BAD_USAGE = 1;
const MOUNT_FAILED = 32;

/** Runs one command line as mount(8) gives it; returns the exit code. */
export async function runMountHelper(
  args: readonly string[],
  output: Output = STANDARD_OUTPUT,
): Promise<number> {
  if (args.some((arg) => arg === '-h' || arg === '--help')) {
    output.out(HELP);
    return 0;
  }
  if (args.some((arg) => arg === '-V' || arg === '--version')) {
    output.out(`${version}\n`);
    return 0;
  }
  let work: HelperWork;
  try {
    work = readWork(args);
  } catch (error) {
    output.err(`mount.fuse.spinney: ${failureOf(error).message}; see mount.fuse.spinney --help\n`);
    return BAD_USAGE;
  }
  if (work === undefined) return 0;
  if ('remount' in work) {
    try {
      remountAt(work.mountpoint, work.store, work.remount);
      return 0;
    } catch (error) {
      output.err(`mount.fuse.spinney: ${failureOf(error).message}\n`);
      return MOUNT_FAILED;
    }
  }
  // mount(8) says nothing when all is well.
  const exitCode = await run(work.run, { out: () => {}, err: output.err });
  if (exitCode === 0) return 0;
  return exitCode === USAGE_EXIT_CODE ? BAD_USAGE : MOUNT_FAILED;
}

/** What mount(8) asks for: a command line of `spinney`, other flags for a mount that is there, or, as a rehearsal, nothing. */
export type HelperWork =
  | { run: string[] }
  | { remount: string[]; store: string; mountpoint: string }
  | undefined;

/** Throws ERR_INVALID_ARGUMENT, ERR_MOUNT. */
export function readWork(args: readonly string[], isRoot = process.geteuid?.() === 0): HelperWork {
  const { places, options, fake, sloppy } = readArguments(args);
  const [store, mountpoint, ...more] = places;
  if (store === undefined || mountpoint === undefined || more.length > 0) {
    throw badArgument(`a store and a mountpoint are needed, and ${places.length} were given`);
  }
  const isRemount = options.includes('remount');
  const { words, mountOptions } = translate(
    options.filter((option) => option !== 'remount' && !(isRemount && OF_MOUNTED.test(option))),
    sloppy,
  );
  if (fake) return undefined;
  if (isRemount) return { remount: [...options.filter(isReadOnlyWord), ...words], store, mountpoint };
  const mountWords = isRoot ? ['suid', 'dev', ...words] : words;
  return {
    run: [
      'mount',
      mountpoint,
      '--store',
      store,
      ...mountOptions,
      ...(mountWords.length > 0 ? ['-o', mountWords.join(',')] : []),
    ],
  };
}

function isReadOnlyWord(option: string): boolean {
  return option === 'ro' || option === 'rw';
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
      if (arg === '-N')
        throw new SpinneyError(
          'ERR_MOUNT',
          'Cannot mount in another namespace (-N): enter it with nsenter(1), and mount there',
        );
      if (arg === '-o') read.options.push(...value.split(',').filter(Boolean));
    } else if (/^-[sfnv]+$/.test(arg)) {
      read.fake ||= arg.includes('f');
      read.sloppy ||= arg.includes('s');
    } else {
      throw badArgument(`unknown option ${arg}`);
    }
  }
  return read;
}

/** Of options that contradict each other the later one wins. */
function translate(options: readonly string[], sloppy: boolean): { words: string[]; mountOptions: string[] } {
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
    else if (!IGNORED.test(option) && !sloppy) throw badArgument(whatIsUnknown(option, name));
  }
  const mountOptions = [
    ...[...values].map(([name, value]) => `--${name}=${value}`),
    ...[...switches].map((name) => `--${name}`),
  ];
  return { words, mountOptions };
}

function whatIsUnknown(option: string, name: string): string {
  if (VALUES.has(option)) return `the option ${option} needs a value (${option}=...)`;
  const meant = nearest(name, [...VALUES, ...MOUNT_WORDS, ...Object.keys(SWITCHES), 'remount']);
  return `unknown option "${option}" in -o${meant === undefined ? '' : ` (did you mean ${meant}?)`}`;
}
