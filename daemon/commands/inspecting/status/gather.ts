/** Finds out about all mounts of this machine, and who holds what of them, within a bounded time. */
import { readlinkSync } from 'node:fs';
import {
  type Client,
  type Clients,
  deviceText,
  mountIdsIn,
  otherProcesses,
} from '../../../../mount/mountpoints/mount-clients.js';
import { allMountTables } from '../../../../mount/mountpoints/mount-users.js';
import { isOf } from '../../../places/daemon-record.js';
import { type KnownMount, knownMounts } from '../../../places/known-mounts.js';
import { Lookout } from '../../../places/look/lookout.js';
import type { StoreLook } from '../../../places/look/looks.js';
import { type Asked, type MountStatus, statusOf } from './mount-status.js';

/** Processes that are looked at in one go. */
const PROCESSES_PER_LOOK = 64;
/** Where so many have hung, more are likely to. */
const MOST_HUNG = 3;
/** The machine's own namespace of processes; others are containers'. */
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

export interface FullStatus extends MountStatus {
  /** `major:minor`. */
  device: string | undefined;
  copies: string[];
  /** A process of the namespace of mounts that alone has it. */
  seenBy?: number;
  clients: Client[];
}

/** What a mount is called by; one that is gone from its place by its store alone. */
export interface Named {
  mountpoint?: string;
  copies: readonly string[];
  store: string;
}

export interface Gathered {
  mounts: FullStatus[];
  /** What could not be found out, a sentence each. */
  notes: string[];
}

/** Of those mounts that are meant: others may hang, and are not looked at. */
export async function gatherStatus(isMeant: (mount: Named) => boolean): Promise<Gathered> {
  const lookout = new Lookout();
  try {
    const known = knownMounts().filter(({ entry: { mountpoint, source }, copies }) =>
      isMeant({ mountpoint, copies, store: source }),
    );
    const pids = otherProcesses();
    const named = await overProcesses(pids, (some) => lookout.ask('namedStores', some));
    const served = [...new Set(named.found.flat())].filter((store) => isMeant({ copies: [], store }));
    const looks: Looks = new Map();
    for (const store of new Set([...known.map(storeSeenAt), ...served]))
      looks.set(store, await lookout.ask('store', store));
    const rows = [...known.map((mount) => rowOf(mount, looks)), ...displacedRows(known, served, looks)];
    const mounts = await Promise.all(rows.map(fullStatus));
    const devices = new Set(mounts.flatMap(({ device }) => device ?? []));
    const mountIds = mountIdsIn(allMountTables(), devices);
    const held = await overProcesses(pids, (some) => lookout.ask('clients', some, mountIds));
    for (const client of held.found.flatMap(({ clients }) => clients)) {
      mounts.find(({ device }) => device === client.device)?.clients.push(client);
    }
    return { mounts, notes: notesOn(held) };
  } finally {
    await lookout.close();
  }
}

/** By where the stores are seen; undefined: no answer in time. */
type Looks = Map<string, StoreLook | undefined>;

interface Row extends Asked {
  mount: KnownMount | undefined;
}

/** Of a mount of another namespace by a process there: paths are of its own. */
function storeSeenAt({ entry, pid }: KnownMount): string {
  return pid === undefined ? entry.source : `/proc/${pid}/root${entry.source}`;
}

function rowOf(mount: KnownMount, looks: Looks): Row {
  const { entry, pid } = mount;
  const look = looks.get(storeSeenAt(mount));
  return {
    mount,
    entry,
    store: entry.source,
    root: pid === undefined ? '' : `/proc/${pid}/root`,
    look,
    daemon: look?.daemons.find((daemon) => isOf(daemon, entry)),
  };
}

/** Daemons of these stores that have no mount: those that start, those that end, and those whose mount others keep. */
function displacedRows(known: readonly KnownMount[], stores: readonly string[], looks: Looks): Row[] {
  return stores.flatMap((store) => {
    const look = looks.get(store);
    return (look?.daemons ?? [])
      .filter((daemon) => !known.some(({ entry }) => isOf(daemon, entry)))
      .map((daemon) => ({ mount: undefined, entry: undefined, store, root: '', look, daemon }));
  });
}

async function fullStatus(row: Row): Promise<FullStatus> {
  const { mount } = row;
  const status = await statusOf(row);
  return {
    ...status,
    device: mount && deviceText(mount.entry),
    copies: mount?.copies ?? [],
    ...(mount?.pid !== undefined && { seenBy: mount.pid }),
    clients: [],
  };
}

interface Looked<T> {
  found: T[];
  /** Processes that could not be looked at in time. */
  missed: number[];
}

/** In parts; where one hangs its processes one by one, so that only those are missed that hang. */
async function overProcesses<T>(
  pids: readonly number[],
  look: (pids: number[]) => Promise<T | undefined>,
): Promise<Looked<T>> {
  const looked: Looked<T> = { found: [], missed: [] };
  const lookAt = async (some: number[]): Promise<boolean> => {
    const found = await look(some);
    if (found !== undefined) looked.found.push(found);
    return found !== undefined;
  };
  for (let from = 0; from < pids.length; from += PROCESSES_PER_LOOK) {
    const part = pids.slice(from, from + PROCESSES_PER_LOOK);
    if (looked.missed.length >= MOST_HUNG) looked.missed.push(...part);
    else if (!(await lookAt(part))) {
      for (const pid of part) {
        if (looked.missed.length >= MOST_HUNG || !(await lookAt([pid]))) looked.missed.push(pid);
      }
    }
  }
  return looked;
}

function notesOn({ found, missed }: Looked<Clients>): string[] {
  const hidden = found.reduce((sum, clients) => sum + clients.hidden, 0);
  const notes: string[] = [];
  if (hidden > 0) {
    const many =
      hidden === 1
        ? 'one process holds is not told: it is'
        : `${hidden} processes hold is not told: they are`;
    notes.push(
      `What ${many} not for this user to look into${process.geteuid?.() === 0 ? '' : ', but for root'}`,
    );
  }
  if (missed.length > 0) {
    const named = missed.slice(0, MOST_HUNG).join(', ');
    const more = missed.length > MOST_HUNG ? ` and ${missed.length - MOST_HUNG} more` : '';
    notes.push(`What processes ${named}${more} hold is not told: looking into them takes too long`);
  }
  if (pidNamespace() !== FIRST_PID_NAMESPACE) {
    notes.push('Processes outside of this namespace of processes (container) are not seen');
  }
  return notes;
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}
