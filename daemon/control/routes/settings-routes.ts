/** The control socket's paths about settings. */
import type { FastifyRequest } from 'fastify';
import { SpinneyError } from '../../../engine/errors.js';
import type { Route } from './route.js';

export const SETTINGS_ROUTES: readonly Route[] = [
  { path: '/v1/settings', method: 'GET', answer: ({ target }) => target.settings.report() },
  {
    path: '/v1/settings',
    method: 'PATCH',
    // What was acknowledged before is made durable, and a checkpoint may be under way.
    takesLong: true,
    answer: ({ target }, request) => target.settings.change(wantedIn(request)),
  },
];

/** The body: a JSON object of names and values, which may be texts, numbers, true and false. */
function wantedIn({ body }: FastifyRequest): Record<string, string> {
  let wanted: unknown;
  try {
    wanted = JSON.parse(Buffer.isBuffer(body) ? body.toString() : '');
  } catch {
    throw badBody('it is not JSON');
  }
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted))
    throw badBody('it is no object');
  return Object.fromEntries(
    Object.entries(wanted).map(([name, value]) => {
      if (['string', 'number', 'boolean'].includes(typeof value)) return [name, String(value)];
      throw badBody(`${name} is neither a text nor a number`);
    }),
  );
}

function badBody(reason: string): SpinneyError {
  return new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot read the settings to change: ${reason}; give them as {"log-level": "debug", "scrub": 7}`,
  );
}
