/**
 * Who keeps a mounted filesystem alive besides the place it was mounted at. It lives until its last mount is gone: copies
 * of it lie in other namespaces of mounts (containers, `unshare -m`), bind mounts in this one. All is read from /proc, so
 * no mount is touched. Processes that this one may not look into (other users', for an ordinary user) are not seen.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type MountEntry, parseMountinfo, readMountinfo } from './mountinfo.js';

/** st_dev of the files on it, which no other filesystem has at the same time. */
export type Device = Pick<MountEntry, 'major' | 'minor'>;

export interface MountUsers {
  /** Where it is mounted for this process. */
  mountpoints: string[];
  /** Processes in other namespaces that have it among their mounts. */
  processes: { pid: number; name: string }[];
}

const CONNECTIONS = '/sys/fs/fuse/connections';
/** As many are named; a container may have hundreds of processes. */
const MOST_NAMED = 5;

export function mountUsers(device: Device): MountUsers {
  const processes = foreignProcesses()
    .filter((pid) => mountinfoOf(pid).some((line) => isOf(line, device)))
    .map((pid) => ({ pid, name: readOrNothing(`/proc/${pid}/comm`).trim() }));
  return { mountpoints: ownMounts(device).map(({ mountpoint }) => mountpoint), processes };
}

/** A mount of another namespace of mounts, and a process that has it. */
export interface ForeignMount extends MountEntry {
  pid: number;
}

/** Mounts that only processes in other namespaces of mounts have, of one type; a mount that several have comes up once. */
export function foreignMounts(type: string): ForeignMount[] {
  const found = new Map<string, ForeignMount>();
  for (const pid of foreignNamespaces()) {
    const lines = mountinfoOf(pid).filter((line) => line.includes(` - ${type} `));
    for (const entry of parseMountinfo(lines.join('\n'))) {
      found.set(`${entry.major}:${entry.minor} ${entry.mountpoint}`, { ...entry, pid });
    }
  }
  return [...found.values()];
}

/** The tables of mounts of all namespaces that this process may look into, its own first. */
export function allMountTables(): string[] {
  return ['self' as const, ...foreignNamespaces()].map((pid) => mountinfoOf(pid).join('\n'));
}

/** One clause, as `it is mounted at /x, and process 12 (sh) has it in another mount namespace`. */
export function describeUsers({ mountpoints, processes }: MountUsers): string {
  const places = mountpoints.length === 0 ? '' : `it is mounted at ${mountpoints.join(', ')}`;
  if (processes.length === 0) {
    return places || 'open files or working directories keep it, or processes that cannot be seen from here';
  }
  const named = processes.slice(0, MOST_NAMED).map(({ pid, name }) => `${pid} (${name})`);
  const more = processes.length > MOST_NAMED ? ` and ${processes.length - MOST_NAMED} more` : '';
  const some =
    processes.length === 1
      ? `process ${named[0]} has it in another mount namespace`
      : `processes ${named.join(', ')}${more} have it in other mount namespaces`;
  return places === '' ? some : `${places}, and ${some}`;
}

/** Whether the filesystem is alive, mounted here or not; undefined where the kernel does not tell. */
export function isConnected({ minor }: Device): boolean | undefined {
  if (existsSync(`${CONNECTIONS}/${minor}`)) return true;
  return readMountinfo().some(({ mountpoint }) => mountpoint === CONNECTIONS) ? false : undefined;
}

/** Whether it, not another one, is at this place, covered or not. */
export function isMountedAt(mountpoint: string, device: Device): boolean {
  return ownMounts(device).some((entry) => entry.mountpoint === mountpoint);
}

function ownMounts(device: Device): MountEntry[] {
  return readMountinfo().filter(({ major, minor }) => major === device.major && minor === device.minor);
}

/** Whether a process has the filesystem among its mounts; of one that cannot be looked into: whether this one has. */
export function isMountedFor(pid: number, device: Device): boolean {
  const lines = mountinfoOf(pid);
  return (lines.length > 0 ? lines : mountinfoOf('self')).some((line) => isOf(line, device));
}

function isOf(line: string, { major, minor }: Device): boolean {
  return line.split(' ', 3)[2] === `${major}:${minor}`;
}

/** Whether a process has the filesystem mounted in another namespace of mounts than this one's. */
export function isMountedElsewhere(pid: number, device: Device): boolean {
  const namespace = namespaceOf(pid);
  return namespace !== undefined && namespace !== namespaceOf('self') && isMountedFor(pid, device);
}

/** Processes whose namespace of mounts is another one than this process's. */
function foreignProcesses(): number[] {
  return [...processesByNamespace()].flatMap(([, pids]) => pids);
}

/** One process of each of the other namespaces of mounts. */
function foreignNamespaces(): number[] {
  return [...processesByNamespace()].map(([, [pid]]) => pid!);
}

/** Those of other namespaces of mounts than this process's. */
function processesByNamespace(): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const pid of readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)) {
    const namespace = namespaceOf(pid);
    if (namespace === undefined) continue;
    found.set(namespace, [...(found.get(namespace) ?? []), pid]);
  }
  found.delete(namespaceOf('self') ?? '');
  return found;
}

function namespaceOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    // It has ended, or is another user's.
    return undefined;
  }
}

function mountinfoOf(pid: number | 'self'): string[] {
  return readOrNothing(`/proc/${pid}/mountinfo`).split('\n').filter(Boolean);
}

function readOrNothing(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
