/**
 * What a daemon has from the one before it, which has died or made room for it: the connection of a mount that is in use. It comes
 * from the guard (mounting/guard/script.ts), or from the service manager's store of descriptors (sd_listen_fds(3)).
 */
import { fstatSync } from 'node:fs';
import { SpinneyError } from '../../engine/errors.js';
import { closeOnExec, hasReader } from '../../mount/process-calls.js';
import { uptimeSeconds } from './uptime.js';

export interface Inheritance {
  from: 'guard' | 'service manager';
  /** Descriptor of the connection. */
  connection: number;
  /** Descriptor of the pipe to the guard; undefined: the guard is gone. */
  guard: number | undefined;
  /** When the last daemon ceased to answer, in seconds since the machine's start. */
  since: number;
  cause: string;
}

/** Names in the service manager's store. */
export const STORED_CONNECTION = 'spinney-connection';
export const STORED_GUARD = 'spinney-guard';

/** `connection guard since cause`, as the fields below. */
export const GUARD_VARIABLE = 'SPINNEY_GUARD';
const SERVICE_VARIABLES = ['LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PID'] as const;
/** SD_LISTEN_FDS_START */
const FIRST_STORED = 3;
/** A device number of /dev/fuse: major 10, minor 229. */
const FUSE_DEVICE = 0x0ae5;

/**
 * Undefined where there is nothing to go on with. Takes the variables out of the environment, and sees to it that what this process
 * starts does not have the descriptors. Throws ERR_MOUNT where they are not what they should be.
 */
export function takeInheritance(environment: NodeJS.ProcessEnv = process.env): Inheritance | undefined {
  const found = fromGuard(environment) ?? fromServiceManager(environment);
  if (found === undefined) return undefined;
  if (!isConnection(found.connection)) {
    throw new SpinneyError(
      'ERR_MOUNT',
      `Cannot go on with a mount: descriptor ${found.connection} is not one of /dev/fuse`,
    );
  }
  closeOnExec(found.connection);
  if (found.guard !== undefined) closeOnExec(found.guard);
  return found;
}

function fromGuard(environment: NodeJS.ProcessEnv): Inheritance | undefined {
  const told = environment[GUARD_VARIABLE];
  delete environment[GUARD_VARIABLE];
  const [, connection, guard, since, cause] = /^(\d+) (\d+) (\d+(?:\.\d+)?) (.*)$/s.exec(told ?? '') ?? [];
  if (connection === undefined) return undefined;
  return {
    from: 'guard',
    connection: Number(connection),
    guard: Number(guard),
    since: Number(since),
    cause: cause ?? '',
  };
}

function fromServiceManager(environment: NodeJS.ProcessEnv): Inheritance | undefined {
  const [count, names, pid] = SERVICE_VARIABLES.map((name) => environment[name]);
  for (const name of SERVICE_VARIABLES) delete environment[name];
  if (pid !== String(process.pid) || !(Number(count) > 0)) return undefined;
  const stored = (names ?? '').split(':');
  const descriptorOf = (name: string): number | undefined => {
    const at = stored.indexOf(name);
    return at < 0 ? undefined : FIRST_STORED + at;
  };
  const connection = descriptorOf(STORED_CONNECTION);
  // One that is over the manager is about to drop: the mount is gone, and is made anew.
  if (connection === undefined || !hasReader(connection)) return undefined;
  // Nobody has noted the time of the death: the manager starts the next one at once.
  const since = uptimeSeconds() - process.uptime();
  return {
    from: 'service manager',
    connection,
    guard: descriptorOf(STORED_GUARD),
    since,
    cause: 'started again by the service manager',
  };
}

function isConnection(fd: number): boolean {
  try {
    const status = fstatSync(fd);
    return status.isCharacterDevice() && status.rdev === FUSE_DEVICE;
  } catch {
    return false;
  }
}
