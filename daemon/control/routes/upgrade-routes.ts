/** The control socket's paths by which another program goes on with the mount. */
import { SpinneyError } from '../../../engine/errors.js';
import type { UpgradeTarget } from '../reports.js';
import type { Route, RouteServices } from './route.js';

const MOST_WORDS = 256;

export const UPGRADE_ROUTES: readonly Route[] = [
  { path: '/v1/upgrade', method: 'GET', answer: ({ target }) => upgradesOf(target).examine() },
  {
    path: '/v1/upgrade',
    method: 'POST',
    takesLong: true,
    async answer({ target }, request) {
      const { command, changed } = wordsIn(request.body);
      await upgradesOf(target).handOver(command, changed);
      return { handedOver: true };
    },
  },
];

function upgradesOf({ upgrades }: RouteServices['target']): UpgradeTarget {
  if (upgrades !== undefined) return upgrades;
  throw new SpinneyError('ERR_MOUNT', 'Cannot upgrade: the mount is not up yet');
}

/** `{"command": ["program", "word", ...], "changed": ["option", ...]}`; the second may be missing. */
function wordsIn(body: unknown): { command: string[]; changed: string[] } {
  try {
    const { command, changed = [] } = JSON.parse(String(body)) as { command?: unknown; changed?: unknown };
    if (areWords(command) && command.length > 0 && areWords(changed)) return { command, changed };
  } catch {
    // Told below.
  }
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    'Cannot upgrade: give the program that goes on, as {"command": ["program", "word", ...]}',
  );
}

function areWords(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length > MOST_WORDS) return false;
  return value.every((word) => typeof word === 'string' && !word.includes('\0'));
}
