/** What people read of the status of mounts. */
import { formatBytes } from '../../../process/text/bytes-text.js';
import { formatColumns, formatTable, onOneLine } from '../../output/output.js';
import type { FullStatus } from './gather.js';

const NOTHING = '-';
const NOT_LISTED =
  'The kernel does not tell of what it keeps open itself: loop devices, swap files and exports by NFS';

const HEADINGS = ['MOUNTPOINT', 'STORE', 'VERSION', 'DRIVER', 'SINCE', 'HEALTH', 'CLIENTS'];
const CLIENT_HEADINGS = ['PID', 'PROGRAM', 'UID', 'HOLDS', 'PATH'];

/** A line for each mount, then a paragraph for each that is not well, then what is not known. */
export function listText(mounts: readonly FullStatus[], notes: readonly string[]): string {
  if (mounts.length === 0) return 'no mounts\n';
  const rows = mounts.map((mount) => [
    onOneLine(mount.mountpoint),
    onOneLine(mount.store),
    mount.version ?? NOTHING,
    mount.driver ?? NOTHING,
    timeText(mount.since),
    mount.state,
    String(new Set(mount.clients.map(({ pid }) => pid)).size),
  ]);
  const remarks = mounts.flatMap(remarkOn);
  return paragraphs(formatColumns(HEADINGS, rows), remarks.join('\n'), notes.join('\n'));
}

/** All that is known of one. */
export function oneText(mount: FullStatus, notes: readonly string[]): string {
  const { mountpoint, store, state, reasons, advice, copies, clients, settings } = mount;
  const table = formatTable({
    mountpoint: onOneLine(mountpoint),
    store: onOneLine(store),
    version: mount.version,
    driver: mount.driver,
    since: mount.since && timeText(mount.since),
    pid: mount.pid,
    health: state,
    ...(reasons.length > 0 && { reasons }),
    ...(advice !== undefined && { 'what to do': inItsNamespace(mount, advice) }),
    ...(mount.remote !== undefined && { remote: remoteRows(mount.remote) }),
    ...(copies.length > 0 && { 'also mounted at': copies.map(onOneLine) }),
    ...(mount.seenBy !== undefined && { 'seen by process': mount.seenBy }),
    ...(settings !== undefined && { settings }),
  });
  const rows = clients.map(({ pid, program, uid, holds, path }) => [
    String(pid),
    onOneLine(program),
    String(uid),
    holds,
    onOneLine(path),
  ]);
  const held = rows.length === 0 ? 'No process holds files there' : formatColumns(CLIENT_HEADINGS, rows);
  return paragraphs(table, held, [...notes, NOT_LISTED].join('\n'));
}

function remoteRows({
  url,
  state,
  epoch,
  durability,
  lagSeconds,
  lagBytes,
  contentBytesWaiting,
  following,
}: NonNullable<FullStatus['remote']>): Record<string, string | number> {
  if (following !== undefined) {
    const { writer, writerSeenSeconds } = following;
    const seen = writer === 'active' ? '' : `, last heard of ${Math.round(writerSeenSeconds)} s ago`;
    return { url, follows: state, behind: `${Math.round(lagSeconds)} s`, writer: `${writer}${seen}`, epoch };
  }
  const behind = `${Math.round(lagSeconds)} s, ${formatBytes(lagBytes + contentBytesWaiting)}`;
  return { url, state, behind, 'fsync waits for': durability, epoch };
}

function paragraphs(...texts: string[]): string {
  return `${texts.filter((text) => text !== '').join('\n\n')}\n`;
}

function remarkOn(mount: FullStatus): string[] {
  const { mountpoint, reasons, advice, seenBy } = mount;
  const where =
    seenBy === undefined ? [] : [`only processes in another namespace of mounts have it, as ${seenBy}`];
  const remarks = [...where, ...reasons, ...(advice === undefined ? [] : [inItsNamespace(mount, advice)])];
  return remarks.length === 0 ? [] : [`${onOneLine(mountpoint)}: ${remarks.join('; ')}`];
}

/** Commands are for where the mount is. */
function inItsNamespace({ seenBy }: FullStatus, advice: string): string {
  return seenBy === undefined ? advice : `${advice} (there: nsenter --mount --target ${seenBy})`;
}

/** To the second. */
function timeText(since: string | undefined): string {
  return since?.replace(/\.\d+Z$/, 'Z') ?? NOTHING;
}
