/** The command line's side of the control socket. */
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { dirname } from 'node:path';
import { type ErrorCode, SpinneyError } from '../../engine/errors.js';
import { failureOf, hasCode } from '../process/failure.js';
import type { ErrorReport } from './reports.js';

/** Far above what a daemon's answers take; guards against something else that listens there. */
const ANSWER_LIMIT_BYTES = 256 * 1024 * 1024;

export interface ControlAnswer {
  status: number;
  body: unknown;
}

/**
 * Asks the daemon that listens at `socketPath`. Waits as long as the work takes. Throws a SpinneyError with a
 * one-line reason when nobody answers, and the daemon's own error for every status but 200 and 503.
 */
export async function askDaemon(
  socketPath: string,
  method: 'GET' | 'POST',
  path: string,
): Promise<ControlAnswer> {
  const { status, text } = await exchange(socketPath, method, path).catch((error: unknown) => {
    throw new SpinneyError(
      'ERR_IO',
      `Cannot reach the daemon at ${socketPath}: ${whyUnreachable(socketPath, error)}`,
      {
        cause: error,
      },
    );
  });
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new SpinneyError(
      'ERR_IO',
      `Cannot read the answer of the daemon at ${socketPath}: it is not JSON`,
      {
        cause: error,
      },
    );
  }
  if (status !== 200 && isErrorReport(body)) {
    throw new SpinneyError(body.error.code as ErrorCode, body.error.message);
  }
  return { status, body };
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, method, path, agent: false }, (incoming) => {
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
    outgoing.end();
  });
}

function whyUnreachable(socketPath: string, error: unknown): string {
  if (hasCode(error, 'ENOENT')) {
    return existsSync(dirname(socketPath))
      ? 'no daemon has made this socket; is the store mounted?'
      : `no such store: ${dirname(socketPath)} does not exist`;
  }
  if (hasCode(error, 'ECONNREFUSED')) return 'nobody listens; the daemon has ended without removing it';
  if (hasCode(error, 'EACCES')) return "permission denied; only root and the daemon's user may";
  if (hasCode(error, 'ECONNRESET') || hasCode(error, 'EPIPE')) {
    return "the connection was closed; only root and the daemon's user are answered, 64 clients at a time";
  }
  return failureOf(error).message;
}

function isErrorReport(body: unknown): body is ErrorReport {
  const error = (body as Partial<ErrorReport> | null)?.error;
  return typeof error?.code === 'string' && typeof error.message === 'string';
}
