import type { FastifyReply } from 'fastify';
import { SpinneyError } from '../../engine/errors.js';

/** Aborts once nobody waits for the answer any more, whether or not it has begun: long work looks at that. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () =>
    gone.abort(new SpinneyError('ERR_CLOSED', 'Cannot go on: nobody waits for it')),
  );
  return gone.signal;
}
