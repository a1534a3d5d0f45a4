/**
 * Sends log lines to the journal of systemd as structured entries, by its own protocol: of each line the message, the priority
 * and all fields can be asked for (`journalctl SPINNEY_MOUNTPOINT=/mnt/photos`).
 *
 * Never waits: a line that the journal does not take is dropped and counted.
 */
import { existsSync, fstatSync } from 'node:fs';
import { DatagramSender } from '../../../mount/process-calls.js';
import { LogLosses } from './log-losses.js';

const SOCKET = '/run/systemd/journal/socket';
/** What the journal shows as the program. */
const IDENTIFIER = 'spinney';
const PREFIX = 'SPINNEY_';
/** A datagram must fit into a socket's buffer, which is 200 KiB where nobody changed it. No line of ours is near that. */
const MOST_VALUE_BYTES = 16_384;

/** syslog(3)'s priorities by the levels of the log. */
const PRIORITIES: Readonly<Record<string, number>> = {
  fatal: 2,
  error: 3,
  warn: 4,
  info: 6,
  debug: 7,
  trace: 7,
};

/** What the journal knows better: it gives time and process itself. */
const LEFT_OUT = new Set(['level', 'time', 'pid', 'hostname', 'msg', 'err']);

type Fields = Readonly<Record<string, unknown>>;

export class JournalSink {
  readonly losses = new LogLosses();
  readonly #sender: DatagramSender;
  readonly #about: Fields;

  /** Undefined where the descriptor is not the stream that systemd has connected to its journal. `about` is said with each line. */
  static ofStream(
    fd: number,
    about: Fields,
    { stream = process.env.JOURNAL_STREAM, socket = SOCKET } = {},
  ): JournalSink | undefined {
    if (stream === undefined || stream !== identityOf(fd) || !existsSync(socket)) return undefined;
    return new JournalSink(socket, about);
  }

  private constructor(socket: string, about: Fields) {
    this.#sender = new DatagramSender(socket);
    this.#about = about;
  }

  /** `line` is a line of JSON, as pino makes it. */
  write(line: string): void {
    const problem = this.#sender.send(encode(entryOf(JSON.parse(line) as Fields, this.#about)));
    if (problem === undefined) this.losses.end();
    else this.losses.add(`the journal takes no lines: ${problem}`);
  }
}

/** As JOURNAL_STREAM has it. */
function identityOf(fd: number): string | undefined {
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** Names and values of the journal's entry. */
function entryOf(line: Fields, about: Fields): [name: string, value: string][] {
  const error = line.err as Fields | undefined;
  const priority = PRIORITIES[String(line.level)] ?? PRIORITIES.debug;
  const fields = Object.entries(line).filter(([name]) => !LEFT_OUT.has(name));
  const entry: [string, string][] = [
    ['MESSAGE', messageOf(line, error, fields)],
    ['PRIORITY', String(priority)],
    ['SYSLOG_IDENTIFIER', IDENTIFIER],
  ];
  for (const [name, value] of Object.entries({ ...about, ...Object.fromEntries(fields) })) {
    entry.push([fieldName(name), textOf(value)]);
  }
  for (const [name, value] of Object.entries(error ?? {})) {
    // The stack has lines that tell a programmer where; the code is what programs look for.
    entry.push([fieldName(name === 'code' ? 'code' : `error-${name}`), textOf(value)]);
  }
  return entry;
}

/** People see this alone, so what tells more stands in it. */
function messageOf(line: Fields, error: Fields | undefined, fields: [string, unknown][]): string {
  const [said, why] = [line.msg, error?.message].map((text) => (text === undefined ? '' : String(text)));
  const text = said === why || why === '' ? said : said === '' ? why : `${said}: ${why}`;
  return [text, ...fields.map(([name, value]) => `${name}=${textOf(value)}`)].join(' ');
}

/** Names of the journal have capitals, digits and underscores. */
function fieldName(name: string): string {
  const words = name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/[^a-zA-Z0-9]+/g, '_');
  return PREFIX + words.toUpperCase();
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** A value with a line's end in it comes after its length, as 64 bits. */
function encode(entry: readonly [name: string, value: string][]): Buffer {
  const parts = entry.flatMap(([name, value]) => {
    const bytes = Buffer.from(value).subarray(0, MOST_VALUE_BYTES);
    const end = Buffer.from('\n');
    if (!bytes.includes(end)) return [Buffer.from(`${name}=`), bytes, end];
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(bytes.length));
    return [Buffer.from(`${name}\n`), length, bytes, end];
  });
  return Buffer.concat(parts);
}
