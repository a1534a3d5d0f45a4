/** What `spinney debug` asks for beside what there is already. */
import { SpinneyError } from '../../../engine/errors.js';
import type { Route } from './route.js';

const DEFAULT_PROFILE_MS = 300;
const MOST_PROFILE_MS = 60_000;

export const DEBUG_ROUTES: readonly Route[] = [
  { path: '/v1/debug', method: 'GET', answer: ({ target }) => target.debug() },
  {
    path: '/v1/debug/threads',
    method: 'GET',
    takesLong: true,
    answer: ({ target }, request) => target.threads(millisecondsOf((request.query as { ms?: unknown }).ms)),
  },
];

function millisecondsOf(text: unknown): number {
  if (text === undefined) return DEFAULT_PROFILE_MS;
  const ms = Number(text);
  if (typeof text === 'string' && ms >= 1 && ms <= MOST_PROFILE_MS) return ms;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot look at the threads for ${String(text)} ms: it is a number from 1 to ${MOST_PROFILE_MS}`,
  );
}
