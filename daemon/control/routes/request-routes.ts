/** The control socket's path about the requests of the mount. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { SpinneyError } from '../../../engine/errors.js';
import { LineStream } from '../line-stream.js';
import type { LineSource, RequestQuery } from '../reports.js';
import type { Route } from './route.js';

const LINES = 'application/x-ndjson';
const LEAST_BUSY_MS = 200;
const MOST_BUSY_MS = 60_000;
/** An hour: beyond what a request may take. */
const MOST_SLOWER_MS = 3_600_000;
const MOST_UID = 0xffff_fffe;

export const REQUEST_ROUTES: readonly Route[] = [
  {
    path: '/v1/log',
    method: 'GET',
    answer({ target }, request, reply) {
      const words = request.query as Record<string, unknown>;
      const query = queryOf(words);
      const busy = numberOf(words, 'busy', LEAST_BUSY_MS, MOST_BUSY_MS);
      if (words.follow !== undefined && words.follow !== '1') throw badQuery('follow', 'the number 1');
      if (words.follow === '1') {
        const { requests } = target;
        return goOn(
          request,
          reply,
          busy === undefined ? requests.follow(query) : requests.followBusy(query, busy),
        );
      }
      if (busy !== undefined) throw badQuery('busy', 'what goes with follow=1');
      reply.type(LINES);
      return target.requests
        .slow(query)
        .map((report) => `${JSON.stringify(report)}\n`)
        .join('');
    },
  },
];

/** A mount may be silent for long, and the client with it; which one goes away the connection tells. */
function goOn(request: FastifyRequest, reply: FastifyReply, source: LineSource): LineStream {
  request.raw.socket.setTimeout(0);
  reply.type(LINES).header('connection', 'close');
  // Else they are sent with the first line.
  reply.raw.once('pipe', () => reply.raw.flushHeaders());
  return new LineStream(source);
}

function queryOf(words: Record<string, unknown>): RequestQuery {
  const { op, path } = words;
  if (op !== undefined && (typeof op !== 'string' || op === ''))
    throw badQuery('op', 'operations, with commas between them');
  if (path !== undefined && typeof path !== 'string') throw badQuery('path', 'one path');
  const uid = numberOf(words, 'uid', 0, MOST_UID);
  if (uid !== undefined && !Number.isInteger(uid)) throw badQuery('uid', 'a whole number');
  return { slower: numberOf(words, 'slower', 0, MOST_SLOWER_MS), operations: op?.split(','), path, uid };
}

function numberOf(
  words: Record<string, unknown>,
  name: string,
  min: number,
  max: number,
): number | undefined {
  const text = words[name];
  if (text === undefined) return undefined;
  const number = typeof text === 'string' && /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw badQuery(name, `a number from ${min} to ${max}`);
}

function badQuery(name: string, takes: string): SpinneyError {
  return new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot tell of requests: ${name} takes ${takes}`);
}
