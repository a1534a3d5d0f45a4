/** What cannot change while a store is mounted: what it is, why it cannot change, and what to do. */
import type { TcpAddress } from '../../control/tcp-address.js';
import type { Force } from './table.js';

const MIB = 1024 * 1024;
const FLAGS = 'the table of mounts has it; change it with mount(8):';

interface Fixed {
  name: string;
  text(force: Force): string;
  why: string;
}

export const FIXED: readonly Fixed[] = [
  {
    name: 'store',
    text: ({ store }) => store,
    why: 'a mount is of one store; mount the other one elsewhere',
  },
  {
    name: 'driver',
    text: ({ driver }) => driver,
    why: 'the driver has the connection to the kernel; unmount, and mount with --driver',
  },
  {
    name: 'cache-size',
    text: ({ cacheBytes }) => String(Math.round(cacheBytes / MIB)),
    why:
      'the cache is one piece of memory, with tables made for its size, which all threads are at work in; ' +
      'spinney upgrade with --cache-size has another daemon go on',
  },
  {
    name: 'read-only',
    text: ({ readOnly }) => String(readOnly),
    why: `${FLAGS} mount -o remount,ro (or remount,rw)`,
  },
  {
    name: 'o',
    text: ({ mountOptions }) => mountOptions.join(',') || 'defaults',
    why: `${FLAGS} mount -o remount,nosuid (or another word)`,
  },
  {
    name: 'allow-other',
    text: ({ allowOther }) => String(allowOther),
    why: 'the kernel is told when it mounts; unmount, and mount with --allow-other or without',
  },
  {
    name: 'snapshot-directory',
    text: ({ snapshotDirectory }) => snapshotDirectory ?? 'none',
    why: 'the kernel knows the directories by it; unmount, and mount with --snapshot-directory',
  },
  {
    name: 'control',
    text: ({ control }) => control,
    why: 'clients know the socket by its path; unmount, and mount with --control',
  },
  {
    name: 'metrics',
    text: ({ metrics }) => addressText(metrics),
    why: 'scrapers know the address; spinney upgrade with --metrics has another daemon go on',
  },
  {
    name: 'remote',
    text: ({ remote }) => remote?.url ?? 'none',
    why: 'a store has one remote, from its beginning or from the mount that first gave it one',
  },
  {
    name: 'follow',
    text: ({ remote }) => String(remote?.follows ?? false),
    why: 'whoever follows has no store of its own to write to; unmount, and mount with --follow or without',
  },
  {
    name: 'remote-endpoint',
    text: ({ remote }) => remote?.endpoint ?? 'none',
    why: 'the connection was made with it; spinney upgrade with --remote-endpoint has another daemon go on',
  },
  {
    name: 'remote-addressing',
    text: ({ remote }) => remote?.addressing ?? 'none',
    why: 'the connection was made with it; spinney upgrade with --remote-addressing has another daemon go on',
  },
  {
    name: 'remote-plain-http',
    text: ({ remote }) => String(remote?.allowPlainHttp ?? false),
    why: 'the connection was made with it; unmount, and mount with --remote-plain-http or without',
  },
  {
    name: 'remote-durability',
    text: ({ remote }) => remote?.durability ?? 'local',
    why: 'the threads of the mount were set up for it; spinney upgrade with --remote-durability has another daemon go on',
  },
  {
    name: 'content-cache',
    text: ({ remote }) => String(remote?.contentCacheBytes ?? 0),
    why: 'the daemon was started with it; spinney upgrade with --content-cache has another go on',
  },
  {
    name: 'log-file',
    text: ({ log }) => log?.file ?? '/dev/stderr',
    why: 'the daemon was started with it; spinney upgrade with --log-file has another go on (SIGHUP opens the same file anew)',
  },
  {
    name: 'log-size',
    text: ({ log }) => mibText(log?.mostBytes),
    why: 'the daemon was started with it; spinney upgrade with --log-size has another go on',
  },
  {
    name: 'no-restart',
    text: ({ successor }) => String(successor === undefined),
    why: 'what the kernel knows is kept from the beginning or not at all; unmount, and mount with --no-restart or without',
  },
];

/** As the option takes it. */
function addressText(address: TcpAddress | undefined): string {
  if (address === undefined) return 'none';
  const { host, port } = address;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** 0: without bound, as the option has it. */
function mibText(bytes = Number.POSITIVE_INFINITY): string {
  return String(Number.isFinite(bytes) ? bytes / MIB : 0);
}
