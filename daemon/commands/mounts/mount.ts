import { fstatSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { SpinneyError } from '../../../engine/errors.js';
import { dup2 } from '../../../mount/process-calls.js';
import { controlSocketPath, refuseOccupied } from '../../control/socket-path.js';
import { parseTcpAddress, type TcpAddress } from '../../control/tcp-address.js';
import type { DaemonOptions } from '../../mounting/daemon-options.js';
import { DURABILITIES, SCRUB_BOUNDS, TIMEOUT_BOUNDS } from '../../mounting/settings/values.js';
import { startDetached } from '../../mounting/starting/detached.js';
import { leavingDaemons } from '../../places/leaving.js';
import { prepareMountpoint, resolveMountpoint, resolveStore } from '../../places/mountpoint.js';
import { refuseMisplaced } from '../../places/overlap.js';
import { examineRemote } from '../../places/remote-place.js';
import { ownDaemonDirectory } from '../../places/run-directory.js';
import { examineStore, makePrivate, openToOthers } from '../../places/store-directory.js';
import { takeInheritance } from '../../process/inheritance.js';
import { closeLogFile, examineLogFile, isStream, openLogFile } from '../../process/log/log-file.js';
import { LOG_LEVELS } from '../../process/log/log-levels.js';
import { KEPT_FILES } from '../../process/log/log-rotation.js';
import { resolveFile } from '../../process/text/file-path.js';
import {
  badArgument,
  choiceOption,
  listOption,
  millisecondsOption,
  numberOption,
  type RawOptions,
  requiredText,
  textOption,
} from '../options/arguments.js';
import { cacheBytesOf, cacheSizeOption } from '../options/cache-size.js';
import type { Command, CommandOption } from '../options/command.js';
import { requireDevice } from '../options/mount-checks.js';
import { mountRemoteOf, mountRemoteOptions } from '../options/mount-remote.js';
import { snapshotRulesOf, snapshotsOption } from '../options/snapshot-rules.js';

/** Nothing changes behind the mount's back, so the kernel may keep what it was told. */
const DEFAULT_TIMEOUT_SECONDS = 3600;
const SECONDS = { default: DEFAULT_TIMEOUT_SECONDS, ...TIMEOUT_BOUNDS };
/** The kernel is told of what has changed, but an answer that was on its way then may come after it. */
const FOLLOWED_SECONDS = 1;

const SNAPSHOT_DIRECTORY = '.snap';
const NO_DIRECTORY = 'none';
const MOST_NAME_BYTES = 255;

/** Names of the daemon's files, in the store or where that cannot be written. */
const CONTROL_NAME = 'control.sock';
const LOG_NAME = 'spinney.log';
/** With those that are kept, five times as much. */
const DEFAULT_LOG_MIB = 16;
const MOST_LOG_MIB = 1_000_000;
const STDERR = 2;

const DEFAULT_SLOW_MS = 10;

const PER_MOUNT_OPTIONS = ['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec'];

const DRIVERS = ['auto', 'kernel', 'fuse-native'] as const;

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
    'no-restart': { describe: 'When the daemon dies take the mount away, and start no other' },
    durability: {
      takesValue: true,
      values: DURABILITIES,
      describe: `What a change that returned survives: ${DURABILITIES.join(', ')}`,
      default: 'written',
    },
    'cache-size': cacheSizeOption,
    ...mountRemoteOptions,
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
    metrics: {
      takesValue: true,
      describe: 'HOST:PORT at which GET /metrics is served to Prometheus',
      default: 'only at the control socket',
    },
    scrub: {
      takesValue: true,
      describe: 'Days after which all blobs are verified again; 0: never',
      default: '0',
    },
    'slow-requests': {
      takesValue: true,
      describe: 'Requests that take at least so long are kept for `spinney log`: 10ms, 1.5s, 500us',
      default: `${DEFAULT_SLOW_MS}ms`,
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
    const inheritance = raw.foreground === true ? takeInheritance() : undefined;
    const readOnly = chosen.readOnly && chosen.remote?.follows !== true;
    const isMade = examineStore(chosen.store, {
      readOnly,
      mustExist: readOnly || inheritance !== undefined,
      mayBeUnfinished: chosen.remote !== undefined,
    });
    examineRemote(chosen.store, chosen.remote);
    requireDevice();
    const { options, logFile, directory, commandLine } = placed(chosen, raw, logOption);
    if (dirname(logFile) !== options.store) examineLogFile(logFile);
    else if (!isMade && basename(logFile) !== LOG_NAME) throw intoNewStore(logFile);
    // The daemon does this too; here it spares a store, a log and a process that would come to nothing.
    if (inheritance === undefined && (await prepareMountpoint(options.mountpoint, options.store))) {
      output.out('replaced the stale mount of a daemon that was killed\n');
    }
    if (dirname(options.control) !== options.store) await refuseOccupied(options.control);
    await examineMetrics(options);

    const exposed = readOnly ? openToOthers(options.store) : makePrivate(options.store);
    if (raw.foreground === true) {
      // Loaded here only, so that the other verbs start fast.
      const { runForeground } = await import('../../mounting/starting/foreground.js');
      const { openLog } = await import('../../process/log/log.js');
      const log = openLog({
        level,
        mostBytes,
        about: { mountpoint: options.mountpoint, store: options.store },
        ...(logOption !== undefined && { file: logFile }),
      });
      // Of a store that it leaves so the daemon tells by itself.
      if (exposed !== undefined && !options.readOnly) log.logger.warn(exposed);
      if (inheritance !== undefined && logOption !== undefined) renewErrorStream(logFile);
      const told = { file: logOption === undefined ? undefined : logFile, mostBytes };
      return await runForeground({ ...options, log: told }, log, inheritance);
    }
    const notice = (text: string) => output.err(`spinney: ${text}\n`);
    if (exposed !== undefined) notice(exposed);
    await startDetached(commandLine, logFile, notice);
    output.out(`mounted ${options.store} at ${options.mountpoint}\n`);
    if (directory !== options.store) output.out(`its log and control socket are in ${directory}\n`);
    return 0;
  },
};

/** A daemon that leaves the store may have the address until it has. */
async function examineMetrics({ metrics, store }: DaemonOptions): Promise<void> {
  if (metrics === undefined || leavingDaemons(store).length > 0) return;
  // Loaded here only: no other mount needs it.
  const { examineTcpAddress } = await import('../../control/metrics/metrics-server.js');
  await examineTcpAddress(metrics);
}

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
type ChosenOptions = Omit<DaemonOptions, 'control' | 'successor'> & { control: string | undefined };

interface PlacedOptions {
  options: DaemonOptions;
  logFile: string;
  /** Where the daemon has its files. */
  directory: string;
  /** Arguments of a process that makes the same mount. */
  commandLine: string[];
}

/** Fills in where the daemon has its files, and refuses places that are not for them. */
function placed(chosen: ChosenOptions, raw: RawOptions, logOption: string | undefined): PlacedOptions {
  const isComplete = chosen.control !== undefined && logOption !== undefined;
  const directory = isComplete ? chosen.store : ownDaemonDirectory(chosen.store);
  const control = controlSocketPath({
    store: directory,
    control: chosen.control && resolveFile(chosen.control),
  });
  const logFile = resolveFile(logOption ?? join(directory, LOG_NAME));
  refuseMisplaced(control, 'the control socket', CONTROL_NAME, chosen);
  if (!isStream(logFile)) refuseMisplaced(logFile, 'the log file', LOG_NAME, chosen);
  // A daemon in the background has its log in a file in any case.
  const isLogFile = logOption !== undefined || raw.foreground !== true;
  const spelled = spelledOptions(raw, chosen, control, isLogFile ? logFile : undefined);
  const commandLine = mountCommandLine(spelled, chosen.mountpoint);
  const successor = raw['no-restart'] === true ? undefined : { spelled, commandLine };
  return { options: { ...chosen, control, successor }, logFile, directory, commandLine };
}

function metricsOf(raw: RawOptions): TcpAddress | undefined {
  const text = textOption(raw, 'metrics');
  return text === undefined ? undefined : parseTcpAddress(text);
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
  const remote = mountRemoteOf(raw);
  const follows = remote?.follows === true;
  const seconds = follows ? { ...TIMEOUT_BOUNDS, default: FOLLOWED_SECONDS } : SECONDS;
  return {
    mountpoint,
    store,
    control: textOption(raw, 'control'),
    driver: choiceOption(raw, 'driver', DRIVERS, 'auto'),
    durability: choiceOption(raw, 'durability', DURABILITIES, 'written'),
    cacheBytes: cacheBytesOf(raw),
    readOnly: raw['read-only'] === true || follows,
    allowOther: raw['allow-other'] === true,
    entryTimeout: numberOption(raw, 'entry-timeout', seconds),
    attributeTimeout: numberOption(raw, 'attr-timeout', seconds),
    negativeTimeout: numberOption(raw, 'negative-timeout', seconds),
    scrubDays: numberOption(raw, 'scrub', { default: 0, ...SCRUB_BOUNDS }),
    mountOptions: listOption(raw, 'o', PER_MOUNT_OPTIONS),
    slowRequestMs: millisecondsOption(raw, 'slow-requests') ?? DEFAULT_SLOW_MS,
    snapshots: snapshotRulesOf(raw),
    // What is followed has none of its snapshots.
    snapshotDirectory: follows ? undefined : snapshotDirectoryOf(raw),
    metrics: metricsOf(raw),
    remote,
  };
}

/** A store is made only where nothing else is, and the log comes before it. */
function intoNewStore(logFile: string): SpinneyError {
  return new SpinneyError(
    'ERR_MOUNT',
    `Cannot use ${logFile} as the log file: its store is still to be made, and then holds nothing else`,
  );
}

/** Options whose words mean the same wherever the daemon starts. */
const PLAIN_OPTIONS = [
  'driver',
  'durability',
  'cache-size',
  'entry-timeout',
  'attr-timeout',
  'negative-timeout',
  'scrub',
  'log-size',
  'slow-requests',
  'log-level',
  'snapshots',
  'snapshot-directory',
  'metrics',
  'remote',
  'remote-endpoint',
  'remote-addressing',
  'remote-durability',
  'content-cache',
];

/** The same mount for another process, which starts in another directory: with absolute paths. */
function spelledOptions(
  raw: RawOptions,
  chosen: ChosenOptions,
  control: string,
  logFile: string | undefined,
): Record<string, string | true> {
  const spelled: Record<string, string | true> = { store: chosen.store, control };
  // A stream of this process is the error stream of that one.
  if (logFile !== undefined) spelled['log-file'] = isStream(logFile) ? '/dev/stderr' : logFile;
  for (const name of PLAIN_OPTIONS) {
    const text = textOption(raw, name);
    if (text !== undefined) spelled[name] = text;
  }
  if (chosen.allowOther) spelled['allow-other'] = true;
  if (chosen.readOnly) spelled['read-only'] = true;
  if (chosen.remote?.allowPlainHttp === true) spelled['remote-plain-http'] = true;
  if (chosen.remote?.follows === true) spelled.follow = true;
  if (raw['no-restart'] === true) spelled['no-restart'] = true;
  if (chosen.mountOptions.length > 0) spelled.o = chosen.mountOptions.join(',');
  return spelled;
}

/** The arguments of a daemon's process. */
function mountCommandLine(spelled: Readonly<Record<string, string | true>>, mountpoint: string): string[] {
  const words = Object.entries(spelled).flatMap(([name, value]) => {
    const option = name.length === 1 ? `-${name}` : `--${name}`;
    return value === true ? [option] : [option, value];
  });
  return ['mount', '--foreground', ...words, mountpoint];
}

/**
 * What the runtime says of its own crash goes to the log that is written now, not to the older one that the guard was
 * born with. Where stderr is no file, it stays.
 */
function renewErrorStream(logFile: string): void {
  if (isStream(logFile) || !fstatSync(STDERR).isFile()) return;
  const fd = openLogFile(logFile);
  dup2(fd, STDERR);
  closeLogFile(fd);
}

/**
 * The daemon that another mount of the same kind would have: `spelled` are its options as a daemon has told them, with changes. Throws
 * what `spinney mount` would, and makes nothing.
 */
export function examineMount(
  spelled: Readonly<Record<string, string | true>>,
  mountpoint: string,
): PlacedOptions {
  const raw = { ...spelled, mountpoint };
  choiceOption(raw, 'log-level', LOG_LEVELS, 'info');
  logBytesOf(raw);
  const chosen = chosenOptions(raw);
  examineStore(chosen.store, { readOnly: chosen.readOnly, mustExist: true });
  examineRemote(chosen.store, chosen.remote);
  const examined = placed(chosen, raw, textOption(raw, 'log-file'));
  if (dirname(examined.logFile) !== chosen.store) examineLogFile(examined.logFile);
  return examined;
}
