/**
 * How much memory this process may use: what the machine has, or less where a control group says so, be it the process's own
 * or one around it (v1 and v2; cgroups(7)). A limit that cannot be read is taken for none: it only decides a default.
 */
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import { LEAST_DEFAULT_CACHE_BYTES, MAX_CACHE_BYTES } from '../limits.js';

const MIB = 1024 * 1024;

/** Reads a text file; undefined where that cannot be done. */
export type ReadText = (path: string) => string | undefined;

/** Bytes of the cache that a tree has unless told otherwise: a quarter of the memory that the process may use, in whole MiB. */
export function defaultCacheBytes(): number {
  return defaultCacheOf(availableMemory(readText, totalmem()));
}

export function defaultCacheOf(memoryBytes: number): number {
  const bytes = Math.min(Math.max(memoryBytes / 4, LEAST_DEFAULT_CACHE_BYTES), MAX_CACHE_BYTES);
  return Math.floor(bytes / MIB) * MIB;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** The files in which a group of each version tells its limits. `memory.high` only slows down, but that it does. */
const LIMIT_FILES = { cgroup: ['memory.limit_in_bytes'], cgroup2: ['memory.max', 'memory.high'] };

/** Bytes; `physical` are those of the machine. */
export function availableMemory(read: ReadText, physical: number): number {
  let least = physical;
  const groups = groupsOf(read('/proc/self/cgroup') ?? '');
  for (const mount of mountsOf(read('/proc/self/mountinfo') ?? '')) {
    const group = groups[mount.type];
    if (group === undefined) continue;
    for (const directory of directoriesTo(group, mount)) {
      for (const file of LIMIT_FILES[mount.type]) {
        const text = read(join(directory, file))?.trim() ?? '';
        // "max", and a number beyond any memory in v1, are no limit.
        if (/^\d+$/.test(text)) least = Math.min(least, Number(text));
      }
    }
  }
  return least;
}

interface GroupMount {
  type: 'cgroup' | 'cgroup2';
  /** The group that is mounted, and where. */
  root: string;
  directory: string;
}

/** The process's group in each hierarchy that may limit memory: lines are ID:CONTROLLERS:PATH, those of v2 0::PATH. */
function groupsOf(text: string): Partial<Record<GroupMount['type'], string>> {
  const groups: Partial<Record<GroupMount['type'], string>> = {};
  for (const line of text.split('\n')) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.+)$/.exec(line) ?? [];
    if (path === undefined) continue;
    if (id === '0' && controllers === '') groups.cgroup2 = path;
    else if (controllers?.split(',').includes('memory')) groups.cgroup = path;
  }
  return groups;
}

/** From lines of mountinfo: ID PARENT DEVICE ROOT DIRECTORY OPTIONS ... - TYPE SOURCE SUPER-OPTIONS. */
function mountsOf(text: string): GroupMount[] {
  const mounts: GroupMount[] = [];
  for (const line of text.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root, directory] = before.split(' ');
    const [type, , options] = after.split(' ');
    if (root === undefined || directory === undefined) continue;
    if (type === 'cgroup2' || (type === 'cgroup' && options?.split(',').includes('memory') === true)) {
      mounts.push({ type, root: unescaped(root), directory: unescaped(directory) });
    }
  }
  return mounts;
}

/** Mountinfo has blanks and the like as \040. */
function unescaped(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}

/** The directory of the group and those of the groups around it, as far as the mount shows them. */
function directoriesTo(group: string, { root, directory }: GroupMount): string[] {
  // In a container the path may be the host's, and the mount begin at the group itself.
  const isBelow = root === '/' || group === root || group.startsWith(`${root}/`);
  const names = isBelow ? group.slice(root === '/' ? 0 : root.length).split('/') : [];
  const directories = [directory];
  for (const name of names) {
    if (name === '..') return [directory];
    if (name !== '') directories.push(join(directories.at(-1) ?? directory, name));
  }
  return directories;
}
