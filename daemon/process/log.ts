/**
 * The daemon's log: pino, JSON lines to a file or to stderr, and readable lines when stderr is a terminal.
 * Writing is synchronous, so that the last lines before a crash are there.
 */
import { isatty } from 'node:tty';
import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { MountLog } from '../../mount/types.js';
import { openLogFile } from './log-file.js';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  level: LogLevel;
  /** JSON lines are appended to this file (made with mode 0600); without it they go to stderr. */
  file?: string;
  /** Instead of stderr, and whether it is a terminal; given by tests. */
  fd?: number;
  terminal?: boolean;
}

/** Opens the log. Throws ERR_IO or ERR_UNSAFE, naming the file, when it cannot be opened or should not be. */
export function openLog(options: LogOptions): Logger {
  return pino({ level: options.level, base: { pid: process.pid } }, openDestination(options));
}

function openDestination({ file, fd = 2, terminal = isatty(fd) }: LogOptions): DestinationStream {
  if (file === undefined) {
    return terminal
      ? PinoPretty({ destination: fd, sync: true, colorize: true, ignore: 'pid' })
      : destination({ dest: fd, sync: true });
  }
  return destination({ dest: openLogFile(file), sync: true });
}

/** The log as the mount layer takes it. */
export function mountLog(log: Logger): MountLog {
  return (level, message, fields) => log[level](fields ?? {}, message);
}
