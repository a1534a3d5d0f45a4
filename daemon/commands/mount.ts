import { basename, dirname, join } from 'node:path';
import { SpinneyError } from '../../engine/errors.js';
import { controlSocketPath, refuseOccupied } from '../control/socket-path.js';
import type { DaemonOptions } from '../mounting/daemon.js';
import { startDetached } from '../mounting/detached.js';
import { prepareMountpoint, resolveMountpoint, resolveStore } from '../places/mountpoint.js';
import { refuseMisplaced } from '../places/overlap.js';
import { ownDaemonDirectory } from '../places/run-directory.js';
import { examineStore, makePrivate, openToOthers } from '../places/store-directory.js';
import { resolveFile } from '../process/file-path.js';
import { examineLogFile, isStream } from '../process/log/log-file.js';
import { KEPT_FILES } from '../process/log/log-rotation.js';
import { LOG_LEVELS, openLog } from '../process/log.js';
import {
  badArgument,
  choiceOption,
  listOption,
  numberOption,
  type RawOptions,
  requiredText,
  textOption,
} from './arguments.js';
import { cacheBytesOf, cacheSizeOption } from './cache-size.js';
import type { Command, CommandOption } from './command.js';
import { requireDevice } from './mount-checks.js';
import { snapshotRulesOf, snapshotsOption } from './snapshot-rules.js';

const MOST_SECONDS = 366 * 24 * 3600;
/** Nothing changes behind the mount's back, so the kernel may keep what it was told. */
const DEFAULT_TIMEOUT_SECONDS = 3600;
const seconds = { default: DEFAULT_TIMEOUT_SECONDS, min: 0, max: MOST_SECONDS, integer: false };

const SNAPSHOT_DIRECTORY = '.snap';
const NO_DIRECTORY = 'none';
const MOST_NAME_BYTES = 255;

/** Names of the daemon's files, in the store or where that cannot be written. */
const CONTROL_NAME = 'control.sock';
const LOG_NAME = 'spinney.log';
/** With those that are kept, five times as much. */
const DEFAULT_LOG_MIB = 16;
const MOST_LOG_MIB = 1_000_000;

const PER_MOUNT_OPTIONS = ['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec'];

const DRIVERS = ['auto', 'kernel', 'fuse-native'] as const;
const DURABILITIES = ['buffered', 'written', 'synced'] as const;

function timeoutOption(what: string): CommandOption {
  return {
    takesValue: true,
    describe: `Seconds for which the kernel remembers ${what}`,
    default: String(DEFAULT_TIMEOUT_SECONDS),
  };
}

export const mount: Command = {
  name: 'mount',
  summary: 'Mount a store; returns when the mount answers',
  argument: {
    name: 'mountpoint',
    isRequired: true,
    describe: 'An existing, empty directory',
    values: 'directory',
  },
  options: {
    store: {
      takesValue: true,
      values: 'directory',
      describe: 'Directory of the store, made if it is missing; must be given',
    },
    driver: { takesValue: true, values: DRIVERS, describe: DRIVERS.join(', '), default: 'auto' },
    foreground: { describe: 'Stay, and log to stderr' },
    durability: {
      takesValue: true,
      values: DURABILITIES,
      describe: `What a change that returned survives: ${DURABILITIES.join(', ')}`,
      default: 'written',
    },
    'cache-size': cacheSizeOption,
    'allow-other': { describe: 'Let other users in' },
    'read-only': { describe: 'Mount read-only; the store must exist' },
    'entry-timeout': timeoutOption('names'),
    'attr-timeout': timeoutOption('attributes'),
    'negative-timeout': timeoutOption('that a name is absent'),
    control: {
      takesValue: true,
      values: 'file',
      describe: 'Path of the control socket',
      default: `<store>/${CONTROL_NAME}`,
    },
    scrub: {
      takesValue: true,
      describe: 'Days after which all blobs are verified again; 0: never',
      default: '0',
    },
    snapshots: snapshotsOption,
    'snapshot-directory': {
      takesValue: true,
      describe: 'Name of the hidden directory of snapshots in every directory; none: there is none',
      default: SNAPSHOT_DIRECTORY,
    },
    o: {
      takesValue: true,
      values: PER_MOUNT_OPTIONS,
      isList: true,
      describe: `Words with commas: ${PER_MOUNT_OPTIONS.join(', ')}; suid and dev are for root`,
      default: 'nosuid,nodev,exec',
    },
    'log-level': {
      takesValue: true,
      values: LOG_LEVELS,
      describe: LOG_LEVELS.join(', '),
      default: 'info',
    },
    'log-file': {
      takesValue: true,
      values: 'file',
      describe: 'File of JSON lines',
      default: `<store>/${LOG_NAME}`,
    },
    'log-size': {
      takesValue: true,
      describe: `MiB after which a new log file begins; ${KEPT_FILES} older ones are kept; 0: never`,
      default: String(DEFAULT_LOG_MIB),
    },
  },
  async run(raw, output) {
    const level = choiceOption(raw, 'log-level', LOG_LEVELS, 'info');
    const logOption = textOption(raw, 'log-file');
    const mostBytes = logBytesOf(raw);
    const chosen = chosenOptions(raw);
    if (chosen.readOnly && chosen.snapshots.length > 0)
      throw badArgument('--snapshots needs a mount that may be written, not --read-only');
    // Nothing is made or changed before all of this was looked at.
    const isMade = examineStore(chosen.store, chosen);
    requireDevice();
    const { options, logFile, directory } = placed(chosen, logOption);
    if (dirname(logFile) !== options.store) examineLogFile(logFile);
    else if (!isMade && basename(logFile) !== LOG_NAME) throw intoNewStore(logFile);
    // The daemon does this too; here it spares a store, a log and a process that would come to nothing.
    if (await prepareMountpoint(options.mountpoint, options.store)) {
      output.out('replaced the stale mount of a daemon that was killed\n');
    }
    if (dirname(options.control) !== options.store) await refuseOccupied(options.control);

    const exposed = options.readOnly ? openToOthers(options.store) : makePrivate(options.store);
    if (raw.foreground === true) {
      // Loaded here only, so that the other verbs start fast.
      const { runForeground } = await import('../mounting/foreground.js');
      const log = openLog({
        level,
        mostBytes,
        about: { mountpoint: options.mountpoint, store: options.store },
        ...(logOption !== undefined && { file: logFile }),
      });
      // Of a store that it leaves so the daemon tells by itself.
      if (exposed !== undefined && !options.readOnly) log.logger.warn(exposed);
      return await runForeground(options, log);
    }
    const notice = (text: string) => output.err(`spinney: ${text}\n`);
    if (exposed !== undefined) notice(exposed);
    await startDetached(detachedArguments(raw, options, logFile), logFile, notice);
    output.out(`mounted ${options.store} at ${options.mountpoint}\n`);
    if (directory !== options.store) output.out(`its log and control socket are in ${directory}\n`);
    return 0;
  },
};

/** Infinite where the file is not to be rotated. */
function logBytesOf(raw: RawOptions): number {
  const mib = numberOption(raw, 'log-size', {
    default: DEFAULT_LOG_MIB,
    min: 0,
    max: MOST_LOG_MIB,
    integer: true,
  });
  return mib === 0 ? Number.POSITIVE_INFINITY : mib * 1024 * 1024;
}

/** What the arguments say; where the control socket is may be left to be chosen. */
type ChosenOptions = Omit<DaemonOptions, 'control'> & { control: string | undefined };

/** Fills in where the daemon has its files, and refuses places that are not for them. */
function placed(
  chosen: ChosenOptions,
  logOption: string | undefined,
): { options: DaemonOptions; logFile: string; directory: string } {
  const isComplete = chosen.control !== undefined && logOption !== undefined;
  const directory = isComplete ? chosen.store : ownDaemonDirectory(chosen.store);
  const control = controlSocketPath({
    store: directory,
    control: chosen.control && resolveFile(chosen.control),
  });
  const logFile = resolveFile(logOption ?? join(directory, LOG_NAME));
  refuseMisplaced(control, 'the control socket', CONTROL_NAME, chosen);
  if (!isStream(logFile)) refuseMisplaced(logFile, 'the log file', LOG_NAME, chosen);
  return { options: { ...chosen, control }, logFile, directory };
}

/** Undefined: there is none. */
function snapshotDirectoryOf(raw: RawOptions): string | undefined {
  const name = textOption(raw, 'snapshot-directory') ?? SNAPSHOT_DIRECTORY;
  if (name === NO_DIRECTORY) return undefined;
  if (/^\.{1,2}$|[/\0\ufffd]/.test(name) || Buffer.byteLength(name) > MOST_NAME_BYTES) {
    throw badArgument(
      `--snapshot-directory is "${name}", but takes the name of a directory, or ${NO_DIRECTORY}`,
    );
  }
  return name;
}

function chosenOptions(raw: RawOptions): ChosenOptions {
  const mountpoint = resolveMountpoint(requiredText(raw, 'mountpoint'));
  const store = resolveStore(requiredText(raw, 'store'), mountpoint);
  return {
    mountpoint,
    store,
    control: textOption(raw, 'control'),
    driver: choiceOption(raw, 'driver', DRIVERS, 'auto'),
    durability: choiceOption(raw, 'durability', DURABILITIES, 'written'),
    cacheBytes: cacheBytesOf(raw),
    readOnly: raw['read-only'] === true,
    allowOther: raw['allow-other'] === true,
    entryTimeout: numberOption(raw, 'entry-timeout', seconds),
    attributeTimeout: numberOption(raw, 'attr-timeout', seconds),
    negativeTimeout: numberOption(raw, 'negative-timeout', seconds),
    scrubDays: numberOption(raw, 'scrub', { default: 0, min: 0, max: 366, integer: false }),
    mountOptions: listOption(raw, 'o', PER_MOUNT_OPTIONS),
    snapshots: snapshotRulesOf(raw),
    snapshotDirectory: snapshotDirectoryOf(raw),
  };
}

/** A store is made only where nothing else is, and the log comes before it. */
function intoNewStore(logFile: string): SpinneyError {
  return new SpinneyError(
    'ERR_MOUNT',
    `Cannot use ${logFile} as the log file: its store is still to be made, and then holds nothing else`,
  );
}

/** The same mount for the daemon's process, which starts in another directory: with absolute paths. */
function detachedArguments(raw: RawOptions, options: DaemonOptions, logFile: string): string[] {
  const args = ['mount', '--foreground', '--store', options.store, '--control', options.control];
  // A stream of this process is the error stream of that one.
  args.push('--log-file', isStream(logFile) ? '/dev/stderr' : logFile);
  for (const name of [
    'driver',
    'durability',
    'cache-size',
    'entry-timeout',
    'attr-timeout',
    'negative-timeout',
    'scrub',
    'log-size',
    'snapshots',
    'snapshot-directory',
  ]) {
    const text = textOption(raw, name);
    if (text !== undefined) args.push(`--${name}`, text);
  }
  if (options.allowOther) args.push('--allow-other');
  if (options.readOnly) args.push('--read-only');
  if (options.mountOptions.length > 0) args.push('-o', options.mountOptions.join(','));
  const level = textOption(raw, 'log-level');
  if (level !== undefined) args.push('--log-level', level);
  return [...args, options.mountpoint];
}
