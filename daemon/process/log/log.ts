/**
 * The daemon's log: pino, JSON lines, with ISO 8601 times and the levels' names, to a file or to stderr; readable lines when stderr is a terminal, and entries of the journal
 * when systemd has connected stderr to it.
 */
import { createRequire } from 'node:module';
import { isatty } from 'node:tty';
import { type Logger, type LoggerOptions, pino } from 'pino';
import type { MountLog } from '../../../mount/types.js';
import { JournalSink } from './journal.js';
import { streamOf } from './log-file.js';
import type { LogLevel } from './log-levels.js';
import { LogRing } from './log-ring.js';
import { LogSink } from './log-sink.js';

export type { Logger } from 'pino';

/** What each line has, and how. */
export const LINES: LoggerOptions = {
  base: { pid: process.pid },
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (name) => ({ level: name }) },
};

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
  /** The last lines, as JSON, the oldest first. */
  recent(): string[];
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
  const pretty = file === undefined && terminal ? prettyLines() : undefined;
  const ring = new LogRing();
  const destination = {
    write(line: string) {
      ring.add(line);
      sink.write(pretty?.(line) ?? line);
    },
  };
  const logger = pino({ level, ...LINES }, destination);
  sink.losses.onRecovered = ({ count, since, cause }) =>
    logger.warn({ count, since, cause }, 'log lines before this one were lost');
  return {
    logger,
    recent: () => ring.lines(),
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

/** Makes a line readable. Loaded where there is a terminal only: it takes as long as a third of a command. */
function prettyLines(): (line: string) => string | undefined {
  const require = createRequire(import.meta.url);
  const { prettyFactory } = require('pino-pretty') as typeof import('pino-pretty');
  return prettyFactory({ colorize: true, ignore: 'pid' });
}

/** The log as the mount layer takes it. */
export function mountLog(log: Logger): MountLog {
  return (level, message, fields) => log[level](fields ?? {}, message);
}
