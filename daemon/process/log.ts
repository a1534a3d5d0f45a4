/**
 * The daemon's log: pino, JSON lines to a file or to stderr; readable lines when stderr is a terminal, and entries of the journal
 * when systemd has connected stderr to it.
 */
import { isatty } from 'node:tty';
import { type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import type { MountLog } from '../../mount/types.js';
import { JournalSink } from './log/journal.js';
import { streamOf } from './log/log-file.js';
import { LogSink } from './log/log-sink.js';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  level: LogLevel;
  /** JSON lines are appended to this file (made with mode 0600); without it they go to stderr. */
  file?: string;
  /** The file is rotated before it grows larger; by default never. */
  mostBytes?: number;
  /** What the journal is told with each line: mountpoint and store. */
  about?: Readonly<Record<string, string>>;
  /** Instead of stderr, and whether it is a terminal; given by tests. */
  fd?: number;
  terminal?: boolean;
}

export interface OpenLog {
  readonly logger: Logger;
  /** Goes on in a new file of the same name, after the old one was renamed (logrotate). */
  reopen(): void;
  /** Why lines are missing, while they are. */
  problem(): string | undefined;
}

/**
 * Opens the log. Throws ERR_IO or ERR_UNSAFE, naming the file, when it cannot be opened or should not be. Its methods never
 * throw.
 */
export function openLog({
  level,
  file,
  mostBytes,
  about = {},
  fd = 2,
  terminal = isatty(fd),
}: LogOptions): OpenLog {
  const stream = file === undefined ? fd : streamOf(file);
  const journal = stream === undefined ? undefined : JournalSink.ofStream(stream, about);
  const sink = journal ?? (file === undefined ? LogSink.toDescriptor(fd) : LogSink.toFile(file, mostBytes));
  const pretty =
    file === undefined && terminal ? prettyFactory({ colorize: true, ignore: 'pid' }) : undefined;
  const destination =
    pretty === undefined ? sink : { write: (line: string) => sink.write(pretty(line) ?? line) };
  const logger = pino({ level, base: { pid: process.pid } }, destination);
  sink.losses.onRecovered = ({ count, since, cause }) =>
    logger.warn({ count, since, cause }, 'log lines before this one were lost');
  return {
    logger,
    reopen: () => {
      if (sink instanceof LogSink) sink.reopen();
    },
    problem() {
      const lost = sink.losses.current;
      if (lost === undefined) return sink instanceof LogSink ? sink.rotationProblem : undefined;
      return `the log cannot be written since ${lost.since.toISOString()}, lines lost: ${lost.count}; ${lost.cause}`;
    },
  };
}

/** The log as the mount layer takes it. */
export function mountLog(log: Logger): MountLog {
  return (level, message, fields) => log[level](fields ?? {}, message);
}
