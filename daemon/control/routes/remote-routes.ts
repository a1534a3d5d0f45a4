/** The control socket's path about contents that a remote has. */
import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { SpinneyError } from '../../../engine/errors.js';
import { clientGone } from '../client-gone.js';
import type { RemoteTarget, WarmReport } from '../reports.js';
import type { Route } from './route.js';

export const REMOTE_ROUTES: readonly Route[] = [
  {
    path: '/v1/warm',
    method: 'GET',
    takesLong: true,
    async answer({ target }, request, reply) {
      const lines = warmed(target.remote, pathIn(request), clientGone(reply));
      // What cannot begin is told as an error.
      const first = await lines.next();
      reply.type('application/x-ndjson');
      return Readable.from(prepended(first.value, lines), { objectMode: false });
    },
  },
];

/** From the mount's root on: `path` as text, or `pathBytes` as base64. */
function pathIn(request: FastifyRequest): Uint8Array {
  const { path, pathBytes } = request.query as { path?: unknown; pathBytes?: unknown };
  const bytes =
    typeof pathBytes === 'string' ? Buffer.from(pathBytes, 'base64') : Buffer.from(String(path ?? ''));
  const text = bytes.toString('latin1');
  if (text === '/' || text === '') return new Uint8Array(0);
  if (text.startsWith('/') && !text.includes('\0'))
    return new Uint8Array(bytes.subarray(0, bytes.length - Number(text.endsWith('/'))));
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    'Cannot bring contents: path is from the root of the mount on, as /a/b',
  );
}

/** How far it is, a line each, and at last how it went. */
async function* warmed(remote: RemoteTarget, path: Uint8Array, signal: AbortSignal): AsyncGenerator<string> {
  let last: WarmReport | undefined;
  let wake: () => void = () => {};
  const work = remote.warm(
    path,
    (told) => {
      last = told;
      wake();
    },
    signal,
  );
  let isOver = false;
  const end = () => {
    isOver = true;
    wake();
  };
  work.then(end, end);
  while (!isOver) {
    if (last === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      continue;
    }
    const told = last;
    last = undefined;
    yield `${JSON.stringify(told)}\n`;
  }
  yield `${JSON.stringify({ ...(await work), isDone: true })}\n`;
}

async function* prepended(first: string, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* rest;
}
