/** Whether a store may be mounted with the remote that is asked for, told before anything is changed. */
import { existsSync, readdirSync } from 'node:fs';
import { countedNames, type RemoteRecord, readRemoteRecord } from '../../engine/before-open.js';
import { SpinneyError } from '../../engine/errors.js';

/**
 * For what needs all contents in the store's directory.
 * @throws ERR_INVALID_ARGUMENT, and as `readRemoteRecord`
 */
export function refuseRemote(what: string, store: string, instead: string): void {
  const record = readRemoteRecord(store);
  if (record?.isBegun !== true) return;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot ${what}: ${store} has the remote ${record.url}, and contents may be there alone; ${instead}`,
  );
}

/**
 * A store that has a remote is never used without it: contents may be there alone, and what is changed here would be unknown to whoever takes over. The
 * server may be another, as when it has moved.
 * @throws ERR_INVALID_ARGUMENT, and as `readRemoteRecord`
 */
export function examineRemote(
  store: string,
  remote: { url: string; follows?: boolean } | undefined,
): RemoteRecord | undefined {
  const record = readRemoteRecord(store);
  if (record?.follows === true) {
    // It is made anew, whatever it followed before.
    if (remote?.follows === true) return record;
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot mount the store ${store}: it is a copy of what another machine writes to ${record.url}; mount it with --remote and --follow, or give another directory`,
    );
  }
  if (remote?.follows === true) {
    if (!isEmpty(store)) throw notEmpty(store, remote.url);
    return undefined;
  }
  // Of an attempt that came to nothing.
  if (record?.isBegun !== true) return record?.url === remote?.url ? record : undefined;
  if (remote === undefined) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot mount the store ${store} without its remote ${record.url}, which may have contents that are not here: mount it with --remote ${record.url}`,
    );
  }
  if (remote.url !== record.url) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot mount the store ${store} with the remote ${remote.url}: its own is ${record.url}; mount that, or the other one with an empty directory`,
    );
  }
  return record;
}

/** Whether the directory is missing, or holds nothing but what a daemon begins with. */
function isEmpty(store: string): boolean {
  return (
    !existsSync(store) || countedNames(readdirSync(store)).every((name) => name.startsWith('spinney.log'))
  );
}

function notEmpty(store: string, url: string): SpinneyError {
  return new SpinneyError(
    'ERR_EXISTS',
    `Cannot follow ${url} in ${store}: something is there; give an empty directory, or one that does not exist`,
  );
}
