/**
 * Which processes hold what of a mount: files and directories that they have open, their working and root directories, and what
 * they have mapped into memory. All is told by /proc, by numbers of mounts and devices; no path of a mount is ever looked at, so it
 * may be dead or hang. Only reading what a process has mapped can take long: where one of its threads waits for a hanging disk.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type MountEntry, parseMountinfo } from './mountinfo.js';

/** `open`: a descriptor; `cwd`, `root`: the directory of that name; `mapped`: in its memory, be it as its program. */
export type Holding = 'open' | 'cwd' | 'root' | 'mapped';

/** One thing that a process holds. */
export interface Client {
  pid: number;
  /** Name of its program. */
  program: string;
  /** The user that it acts as. */
  uid: number;
  holds: Holding;
  /** As the kernel names it for whoever asks; "(deleted)" behind it where it has no name any more. */
  path: string;
  /** Of the filesystem: `major:minor`. */
  device: string;
}

export interface Clients {
  clients: Client[];
  /** How many of the processes could not be looked into: those of other users. */
  hidden: number;
}

/** Mounts by their numbers, which no two have at the same time: `[mount id, device]`. */
export type MountIds = readonly (readonly [id: number, device: string])[];

/** Not in Node's constants: names a file without opening it, so nobody who serves it is asked. */
const O_PATH = 0o10000000;

/** `major:minor`, as in the table of mounts. */
export function deviceText({ major, minor }: Pick<MountEntry, 'major' | 'minor'>): string {
  return `${major}:${minor}`;
}

/** All processes but this one. */
export function otherProcesses(): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => pid !== process.pid);
}

/** What these processes hold of the mounts. One that ends meanwhile holds nothing. */
export function clientsOf(pids: readonly number[], mountIds: MountIds): Clients {
  const devices = new Map(mountIds);
  const mappedAs = new Map([...devices.values()].map((device) => [deviceInMaps(device), device] as const));
  const found: Clients = { clients: [], hidden: 0 };
  for (const pid of pids) {
    const held: Held[] = [];
    let isHidden = false;
    const looks = [openFiles(pid, devices), directories(pid, devices), mappings(pid, mappedAs)];
    for (const look of looks) isHidden = !took(held, look) || isHidden;
    if (isHidden && hasMemory(pid)) found.hidden++;
    const described = held.length === 0 ? undefined : describeProcess(pid);
    if (described !== undefined) found.clients.push(...held.map((one) => ({ pid, ...described, ...one })));
  }
  return found;
}

/** Adds what is found, until the process has ended. False: it may not be looked into. */
function took(held: Held[], look: Iterable<Held>): boolean {
  try {
    for (const one of look) held.push(one);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code !== 'EACCES' && code !== 'EPERM';
  }
}

type Held = Pick<Client, 'holds' | 'path' | 'device'>;

function* openFiles(pid: number, devices: ReadonlyMap<number, string>): Generator<Held> {
  const directory = `/proc/${pid}/fd`;
  for (const fd of readdirSync(directory)) {
    const path = linkOf(`${directory}/${fd}`);
    // Sockets, pipes and their like have no path.
    if (path?.startsWith('/') !== true) continue;
    const device = devices.get(mountIdOf(`/proc/${pid}/fdinfo/${fd}`));
    if (device !== undefined) yield { holds: 'open', path, device };
  }
}

function* directories(pid: number, devices: ReadonlyMap<number, string>): Generator<Held> {
  for (const holds of ['cwd', 'root'] as const) {
    const link = `/proc/${pid}/${holds}`;
    // A thread of the kernel has none.
    const path = linkOf(link);
    if (path === undefined) continue;
    const fd = openSync(link, O_PATH);
    try {
      const device = devices.get(mountIdOf(`/proc/self/fdinfo/${fd}`));
      if (device !== undefined) yield { holds, path, device };
    } finally {
      closeSync(fd);
    }
  }
}

function* mappings(pid: number, mappedAs: ReadonlyMap<string, string>): Generator<Held> {
  const seen = new Set<string>();
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    // addresses permissions offset device inode path
    const [, deviceInLine = '', path = ''] = /^\S+ \S+ \S+ (\S+) \d+ +(.*)$/.exec(line) ?? [];
    const device = mappedAs.get(deviceInLine);
    if (device === undefined || seen.has(path)) continue;
    seen.add(path);
    yield { holds: 'mapped', path: path.replaceAll('\\012', '\n'), device };
  }
}

function linkOf(link: string): string | undefined {
  try {
    return readlinkSync(link);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** -1 where it is closed by now. */
function mountIdOf(fdinfo: string): number {
  try {
    return Number(/^mnt_id:\s+(\d+)$/m.exec(readFileSync(fdinfo, 'latin1'))?.[1] ?? -1);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return -1;
    throw error;
  }
}

/** /proc/PID/maps has both numbers in hexadecimal, of two digits at least. */
function deviceInMaps(device: string): string {
  const digits = (number: string) => Number(number).toString(16).padStart(2, '0');
  const [major = '', minor = ''] = device.split(':');
  return `${digits(major)}:${digits(minor)}`;
}

/** Undefined where it has ended. */
function describeProcess(pid: number): { program: string; uid: number } | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return undefined;
  }
  const [, name = ''] = /^Name:\t(.*)$/m.exec(status) ?? [];
  // Real, effective, saved, and that on files.
  const [, uids = ''] = /^Uid:\t(.*)$/m.exec(status) ?? [];
  return { program: name, uid: Number(uids.split('\t')[3]) };
}

/** What has none is a thread of the kernel, or has ended, and holds nothing. */
function hasMemory(pid: number): boolean {
  try {
    return /^VmSize:/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Numbers of all mounts of these filesystems in the tables of mounts that the texts are. */
export function mountIdsIn(tables: readonly string[], devices: ReadonlySet<string>): MountIds {
  return tables
    .flatMap(parseMountinfo)
    .map((entry) => [entry.mountId, deviceText(entry)] as const)
    .filter(([, device]) => devices.has(device));
}
