import { join, resolve } from 'node:path';
import { defaultCacheBytes } from '../../engine/cache/available-memory.js';
import { MAX_CACHE_BYTES, MIN_CACHE_BYTES } from '../../engine/limits.js';
import { controlSocketPath } from '../control/socket-path.js';
import type { DaemonOptions } from '../mounting/daemon.js';
import { startDetached } from '../mounting/detached.js';
import { prepareMountpoint, resolveMountpoint, resolveStore } from '../mounting/mountpoint.js';
import { LOG_LEVELS, openLog } from '../process/log.js';
import {
  choiceOption,
  listOption,
  numberOption,
  type RawOptions,
  requiredText,
  textOption,
} from './arguments.js';
import type { Command } from './command.js';
import { requireDevice, requireStore } from './mount-checks.js';

const MIB = 1024 * 1024;
const MOST_SECONDS = 366 * 24 * 3600;
/** Nothing changes behind the mount's back, so the kernel may keep what it was told. */
const DEFAULT_TIMEOUT_SECONDS = 3600;
const seconds = { default: DEFAULT_TIMEOUT_SECONDS, min: 0, max: MOST_SECONDS, integer: false };

const PER_MOUNT_OPTIONS = ['suid', 'nosuid', 'dev', 'nodev', 'exec', 'noexec'];

export const mount: Command = {
  usage: 'mount <mountpoint>',
  summary: 'Mount a store; returns when the mount answers',
  options: (yargs) =>
    yargs
      .positional('mountpoint', {
        type: 'string',
        demandOption: true,
        describe: 'An existing, empty directory',
      })
      .option('store', {
        type: 'string',
        requiresArg: true,
        describe: 'Directory of the store; made if missing',
      })
      .option('driver', { type: 'string', requiresArg: true, describe: 'auto, kernel or fuse-native [auto]' })
      .option('foreground', { type: 'boolean', describe: 'Stay, and log to stderr' })
      .option('durability', {
        type: 'string',
        requiresArg: true,
        describe: 'buffered, written or synced [written]',
      })
      .option('cache-size', {
        type: 'string',
        requiresArg: true,
        describe: `Cache in MiB [a quarter of the memory, here ${defaultCacheBytes() / MIB}]`,
      })
      .option('allow-other', { type: 'boolean', describe: 'Let other users in' })
      .option('read-only', { type: 'boolean', describe: 'Mount read-only; the store must exist' })
      .option('entry-timeout', {
        type: 'string',
        requiresArg: true,
        describe: 'Seconds that the kernel keeps names',
      })
      .option('attr-timeout', {
        type: 'string',
        requiresArg: true,
        describe: 'Seconds that it keeps attributes',
      })
      .option('negative-timeout', {
        type: 'string',
        requiresArg: true,
        describe: 'Seconds that it keeps absences',
      })
      .option('control', {
        type: 'string',
        requiresArg: true,
        describe: 'Control socket [<store>/control.sock]',
      })
      .option('o', {
        type: 'string',
        requiresArg: true,
        describe: `Mount options: ${PER_MOUNT_OPTIONS.join(', ')}`,
      })
      .option('log-level', { type: 'string', requiresArg: true, describe: `${LOG_LEVELS.join(', ')} [info]` })
      .option('log-file', {
        type: 'string',
        requiresArg: true,
        describe: 'JSON lines [<store>/spinney.log]',
      }),
  async run(raw, output) {
    const level = choiceOption(raw, 'log-level', LOG_LEVELS, 'info');
    const logFile = textOption(raw, 'log-file');
    const options = daemonOptions(raw);
    requireStore(options);
    requireDevice();

    if (raw.foreground === true) {
      // Loaded here only, so that the other verbs start fast.
      const { runForeground } = await import('../mounting/foreground.js');
      const log = openLog({ level, ...(logFile !== undefined && { file: resolve(logFile) }) });
      return await runForeground(options, log);
    }
    // The daemon does this too; here it spares a store, a log and a process that would come to nothing.
    if (await prepareMountpoint(options.mountpoint, options.store)) {
      output.out('replaced the stale mount of a daemon that was killed\n');
    }
    const file = resolve(logFile ?? join(options.store, 'spinney.log'));
    await startDetached(detachedArguments(raw, options, file), file);
    output.out(`mounted ${options.store} at ${options.mountpoint}\n`);
    return 0;
  },
};

function daemonOptions(raw: RawOptions): DaemonOptions {
  const mountpoint = resolveMountpoint(requiredText(raw, 'mountpoint'));
  const store = resolveStore(requiredText(raw, 'store'), mountpoint);
  const control = textOption(raw, 'control');
  return {
    mountpoint,
    store,
    control: controlSocketPath({ store, ...(control !== undefined && { control }) }),
    driver: choiceOption(raw, 'driver', ['auto', 'kernel', 'fuse-native'] as const, 'auto'),
    durability: choiceOption(raw, 'durability', ['buffered', 'written', 'synced'] as const, 'written'),
    cacheBytes:
      MIB *
      numberOption(raw, 'cache-size', {
        default: defaultCacheBytes() / MIB,
        min: MIN_CACHE_BYTES / MIB,
        max: MAX_CACHE_BYTES / MIB,
        integer: true,
      }),
    readOnly: raw['read-only'] === true,
    allowOther: raw['allow-other'] === true,
    entryTimeout: numberOption(raw, 'entry-timeout', seconds),
    attributeTimeout: numberOption(raw, 'attr-timeout', seconds),
    negativeTimeout: numberOption(raw, 'negative-timeout', seconds),
    mountOptions: listOption(raw, 'o', PER_MOUNT_OPTIONS),
  };
}

/** The same mount for the daemon's process, which starts in another directory: with absolute paths. */
function detachedArguments(raw: RawOptions, options: DaemonOptions, logFile: string): string[] {
  const args = ['mount', '--foreground', '--store', options.store, '--control', options.control];
  args.push('--log-file', logFile);
  for (const name of [
    'driver',
    'durability',
    'cache-size',
    'entry-timeout',
    'attr-timeout',
    'negative-timeout',
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
