/** The control socket's paths about snapshots. */
import { Readable } from 'node:stream';
import type { FastifyRequest } from 'fastify';
import { SpinneyError } from '../../../engine/errors.js';
import { clientGone } from '../client-gone.js';
import type { ChangeReport } from '../reports.js';
import type { Route } from './route.js';

export const SNAPSHOT_ROUTES: readonly Route[] = [
  {
    path: '/v1/snapshots',
    method: 'GET',
    takesLong: true,
    answer: async ({ target }) => ({ snapshots: await target.snapshots.list() }),
  },
  {
    path: '/v1/snapshots',
    method: 'POST',
    takesLong: true,
    answer: ({ target }, request) => target.snapshots.create(nameIn(request)),
  },
  {
    path: '/v1/snapshots/:name',
    method: 'DELETE',
    takesLong: true,
    answer: ({ target }, request) => target.snapshots.delete(nameOf(request)),
  },
  {
    path: '/v1/snapshots/:name/diff',
    method: 'GET',
    takesLong: true,
    async answer({ target }, request, reply) {
      const { to } = request.query as { to?: unknown };
      const after = to === undefined ? undefined : String(to);
      const changes = target.snapshots.diff(nameOf(request), after, clientGone(reply));
      const lines = jsonLines(changes);
      // Up to the first change it may take long; from there on it goes as fast as it is read.
      const first = await lines.next();
      reply.type('application/x-ndjson');
      return Readable.from(first.done === true ? [] : prepended(first.value, lines), { objectMode: false });
    },
  },
];

/** The name that is asked for: `{"name": "x"}` as the body, or `?name=x`. */
function nameIn(request: FastifyRequest): string {
  const { name } = request.query as { name?: unknown };
  if (typeof name === 'string') return name;
  const body = Buffer.isBuffer(request.body) ? request.body.toString() : '';
  const given = named(body);
  if (given !== undefined) return given;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    'Cannot make a snapshot: give its name, as {"name": "..."} in the body or as ?name=...',
  );
}

function named(body: string): string | undefined {
  try {
    const { name } = JSON.parse(body) as { name?: unknown };
    return typeof name === 'string' ? name : undefined;
  } catch {
    return undefined;
  }
}

function nameOf(request: FastifyRequest): string {
  return (request.params as { name: string }).name;
}

async function* jsonLines(changes: AsyncIterable<ChangeReport>): AsyncGenerator<string> {
  for await (const change of changes) yield `${JSON.stringify(change)}\n`;
}

async function* prepended(first: string, rest: AsyncGenerator<string>): AsyncGenerator<string> {
  yield first;
  yield* rest;
}
