/** What the control socket answers, one entry for each path. A path that is not here is 404, whatever it looks like. */
import type { FastifyRequest } from 'fastify';
import { SpinneyError } from '../../../engine/errors.js';
import { DEBUG_ROUTES } from './debug-routes.js';
import { REMOTE_ROUTES } from './remote-routes.js';
import { REQUEST_ROUTES } from './request-routes.js';
import type { Route } from './route.js';
import { SETTINGS_ROUTES } from './settings-routes.js';
import { SNAPSHOT_ROUTES } from './snapshot-routes.js';
import { UPGRADE_ROUTES } from './upgrade-routes.js';

export const ROUTES: readonly Route[] = [
  {
    path: '/v1/stats',
    method: 'GET',
    async answer({ target }, request) {
      await target.refresh();
      return target.stats({ blobs: query(request).blobs === '1' });
    },
  },
  {
    path: '/v1/health',
    method: 'GET',
    answer({ target }, _request, reply) {
      const health = target.health();
      reply.code(health.status === 'ok' ? 200 : 503);
      return health;
    },
  },
  {
    path: '/v1/status',
    method: 'GET',
    async answer({ target }) {
      await target.refresh();
      return target.status();
    },
  },
  { path: '/v1/checkpoint', method: 'POST', takesLong: true, answer: ({ target }) => target.checkpoint() },
  { path: '/v1/compact', method: 'POST', takesLong: true, answer: ({ target }) => target.compact() },
  {
    path: '/v1/scrub',
    method: 'POST',
    takesLong: true,
    answer: ({ target }, request) => target.scrub({ rate: rateOf(query(request).rate) }),
  },
  ...REQUEST_ROUTES,
  ...REMOTE_ROUTES,
  ...SNAPSHOT_ROUTES,
  ...SETTINGS_ROUTES,
  ...DEBUG_ROUTES,
  ...UPGRADE_ROUTES,
  {
    path: '/metrics',
    method: 'GET',
    answer({ metrics }, _request, reply) {
      reply.type(metrics.contentType);
      return metrics.text();
    },
  },
];

/** MiB a second; undefined where none is given. */
function rateOf(text: unknown): number | undefined {
  if (text === undefined) return undefined;
  const rate = Number(text);
  if (typeof text === 'string' && rate > 0 && Number.isFinite(rate)) return rate;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot scrub at the rate ${String(text)}: it is a number of MiB a second above 0`,
  );
}

function query(request: FastifyRequest): Record<string, unknown> {
  return request.query as Record<string, unknown>;
}
