/** The command line's side of the control socket. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { type ErrorCode, reasonOf, SpinneyError } from '../../engine/errors.js';
import { hasCode } from '../process/failure.js';
import type { ErrorReport } from './reports.js';
import type { Route } from './routes/route.js';

/** Far above what a daemon's answers take; guards against something else that listens there. */
const ANSWER_LIMIT_BYTES = 256 * 1024 * 1024;

/** With so few left a daemon may have had none a moment ago. */
const FEW_DESCRIPTORS = 2;

type Method = Route['method'];

export interface ControlAnswer {
  status: number;
  body: unknown;
}

/**
 * Asks the daemon that listens at `socketPath`. Waits as long as the work takes, or until the signal. Throws a SpinneyError with a
 * one-line reason when nobody answers, and the daemon's own error for every status but 200 and 503.
 */
export async function askDaemon(
  socketPath: string,
  method: Method,
  path: string,
  more: { body?: string; signal?: AbortSignal } = {},
): Promise<ControlAnswer> {
  const { status, text } = await exchange(socketPath, method, path, more).catch((error: unknown) =>
    unreachable(socketPath, error),
  );
  return readAnswer(socketPath, status, text);
}

/** Asks for an answer that is text. Throws as `askDaemon`. */
export async function askDaemonForText(socketPath: string, path: string): Promise<string> {
  const { status, text } = await exchange(socketPath, 'GET', path, {}).catch((error: unknown) =>
    unreachable(socketPath, error),
  );
  if (status !== 200) readAnswer(socketPath, status, text);
  return text;
}

/**
 * Asks for an answer that is a JSON value a line, and gives each to `take` as it comes. Throws as `askDaemon`; also where the answer
 * ends before its end. `signal` ends it early; it resolves then.
 */
export async function askDaemonForLines(
  socketPath: string,
  path: string,
  take: (value: unknown) => void,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  try {
    await readLines(socketPath, path, take, signal);
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

async function readLines(
  socketPath: string,
  path: string,
  take: (value: unknown) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const asked = { socketPath, method: 'GET', path, agent: false, ...(signal !== undefined && { signal }) };
  const incoming = await new Promise<IncomingMessage>((resolve, reject) => {
    request(asked, resolve).on('error', reject).end();
  }).catch((error: unknown) => unreachable(socketPath, error));
  if (incoming.statusCode !== 200) {
    let text = '';
    for await (const chunk of incoming) text += String(chunk);
    readAnswer(socketPath, incoming.statusCode ?? 0, text);
    throw unreadable(socketPath, undefined);
  }
  try {
    for await (const line of createInterface({ input: incoming, crlfDelay: Number.POSITIVE_INFINITY }))
      take(JSON.parse(line));
  } catch (error) {
    throw unreadable(socketPath, error);
  }
  if (!incoming.complete) throw unreadable(socketPath, undefined);
}

async function unreachable(socketPath: string, error: unknown): Promise<never> {
  const why = (await exhaustion(socketPath, error)) ?? whyUnreachable(socketPath, error);
  throw new SpinneyError('ERR_IO', `Cannot reach the daemon at ${socketPath}: ${why}`, { cause: error });
}

function unreadable(socketPath: string, cause: unknown): SpinneyError {
  const message = `Cannot read the answer of the daemon at ${socketPath}: it is not JSON, or was cut short`;
  return new SpinneyError('ERR_IO', message, { cause });
}

function readAnswer(socketPath: string, status: number, text: string): ControlAnswer {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw unreadable(socketPath, error);
  }
  if (status !== 200 && isErrorReport(body)) {
    throw new SpinneyError(body.error.code as ErrorCode, body.error.message);
  }
  return { status, body };
}

function exchange(
  socketPath: string,
  method: Method,
  path: string,
  { body, signal }: { body?: string; signal?: AbortSignal },
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const options = { socketPath, method, path, agent: false, ...(signal !== undefined && { signal }) };
    const outgoing = request(options, (incoming) => {
      const chunks: Buffer[] = [];
      let size = 0;
      incoming.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > ANSWER_LIMIT_BYTES) incoming.destroy(new Error('its answer is too long'));
        else chunks.push(chunk);
      });
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString() }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

function whyUnreachable(socketPath: string, error: unknown): string {
  if (hasCode(error, 'ENOENT')) {
    return existsSync(dirname(socketPath))
      ? 'no daemon has made this socket; is the store mounted?'
      : `${dirname(socketPath)} does not exist`;
  }
  if (hasCode(error, 'ENOTSOCK') || (hasCode(error, 'ECONNREFUSED') && !isSocket(socketPath))) {
    return 'it is not a socket';
  }
  if (hasCode(error, 'ECONNREFUSED')) return 'nobody listens; the daemon has ended without removing it';
  if (hasCode(error, 'EACCES')) return "permission denied; only root and the daemon's user may";
  if (isCutOff(error)) {
    return "the connection was closed; only root and the daemon's user are answered, 64 clients at a time";
  }
  return reasonOf(error);
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

function isCutOff(error: unknown): boolean {
  return hasCode(error, 'ECONNRESET') || hasCode(error, 'EPIPE');
}

/**
 * Whether a daemon that closed the connection at once could not have taken it: it has no descriptor left for one. It cannot
 * say so itself.
 */
async function exhaustion(socketPath: string, error: unknown): Promise<string | undefined> {
  if (!isCutOff(error)) return undefined;
  // Loaded here only, so that it costs nothing while all is well.
  const { listenerOf } = await import('./peer.js');
  const pid = await listenerOf(socketPath);
  const use = pid === undefined ? undefined : descriptorsOf(pid);
  if (use === undefined || use.open < use.limit - FEW_DESCRIPTORS) return undefined;
  return (
    `it has ${use.open} of ${use.limit} file descriptors in use, and none for another connection; ` +
    `raise its limit (prlimit --pid ${pid} --nofile=...), or close files`
  );
}

/** Undefined where another user's processes are hidden. */
function descriptorsOf(pid: number): { open: number; limit: number } | undefined {
  try {
    const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/limits`, 'latin1'))?.[1];
    return { open: readdirSync(`/proc/${pid}/fd`).length, limit: Number(limit) };
  } catch {
    return undefined;
  }
}

function isErrorReport(body: unknown): body is ErrorReport {
  const error = (body as Partial<ErrorReport> | null)?.error;
  return typeof error?.code === 'string' && typeof error.message === 'string';
}
