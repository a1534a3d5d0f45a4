/** Reads /proc/self/mountinfo: the one way to learn about a mount that never touches it. */
import { readFileSync } from 'node:fs';

/**
 * Type of what stands at a place that is mounted when somebody looks at it (x-systemd.automount, autofs(5)). Whoever mounts there must
 * not look, not even with stat: he would wait for himself.
 */
export const AUTOMOUNT_TYPE = 'autofs';

export interface MountEntry {
  /** Numbers that tell mounts apart even where they are stacked on one mountpoint; a later mount has a new one. */
  mountId: number;
  parentId: number;
  /** st_dev of files on it. */
  major: number;
  minor: number;
  mountpoint: string;
  /** Options of this mount, as `rw,nosuid,nodev`. */
  options: string;
  /** The filesystem is read-only, whatever the options of this mount say. */
  isReadOnlyFilesystem: boolean;
  /** Filesystem type with its subtype, as `fuse.spinney`. */
  type: string;
  source: string;
}

/** Undoes the kernel's escapes (`\040` for a space, and so on); what they stand for are single bytes of UTF-8. */
function unescapeField(field: string): string {
  if (!field.includes('\\')) return field;
  const bytes = Buffer.from(field);
  const plain: number[] = [];
  for (let i = 0; i < bytes.length; i++) {
    const octal = bytes[i] === 0x5c ? bytes.toString('latin1', i + 1, i + 4) : '';
    if (/^[0-3][0-7]{2}$/.test(octal)) {
      plain.push(Number.parseInt(octal, 8));
      i += 3;
    } else {
      plain.push(bytes[i]!);
    }
  }
  return Buffer.from(plain).toString();
}

/** Parses the text of a mountinfo file, in its order: of mounts stacked on one point the topmost comes last. */
export function parseMountinfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    // id parent major:minor root mountpoint options [optional fields] - type source superOptions
    const [ownPart, filesystemPart] = line.split(' - ', 2);
    if (ownPart === undefined || filesystemPart === undefined) continue;
    const [mountId, parentId, device, , mountpoint, options] = ownPart.split(' ');
    const [type, source, superOptions] = filesystemPart.split(' ');
    if (device === undefined || mountpoint === undefined || options === undefined || type === undefined)
      continue;
    const [major, minor] = device.split(':');
    entries.push({
      mountId: Number(mountId),
      parentId: Number(parentId),
      major: Number(major),
      minor: Number(minor),
      mountpoint: unescapeField(mountpoint),
      options,
      isReadOnlyFilesystem: superOptions?.split(',').includes('ro') === true,
      type: unescapeField(type),
      source: unescapeField(source ?? ''),
    });
  }
  return entries;
}

/** All mounts that this process sees. */
export function readMountinfo(): MountEntry[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** The topmost mount at exactly this path, if any. */
export function findMount(mountpoint: string): MountEntry | undefined {
  return readMountinfo().findLast((entry) => entry.mountpoint === mountpoint);
}
