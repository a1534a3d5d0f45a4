/**
 * Whether a directory is still where it was, with all that was written below it since: the system keeps that for as long
 * as it runs and the filesystem stays mounted, whatever happens to the process that wrote it.
 */
import * as fs from 'node:fs';
import { basename } from 'node:path';
import { libc } from './libc.js';

export const BOOT_ID_BYTES = 16;

export interface DirectoryIdentity {
  /** The system's, drawn anew whenever it starts; zeros where it is not known. */
  boot: Uint8Array;
  /** The filesystem's device number, and the directory's inode. */
  device: bigint;
  inode: bigint;
  /**
   * Tells two mounts of one device apart, which no device number does; 0 where the filesystem does not tell. A
   * filesystem that went away without being written back is as after a power cut, though the system went on.
   */
  mount: bigint;
}

/** Whether both are of one filesystem that was mounted throughout, in one run of the system. */
export function isSameMount(a: DirectoryIdentity, b: DirectoryIdentity): boolean {
  const isKnown = a.boot.some((byte) => byte !== 0);
  return isKnown && Buffer.compare(a.boot, b.boot) === 0 && a.device === b.device && a.mount === b.mount;
}

export function identify(directory: string): DirectoryIdentity {
  const { dev, ino } = fs.statSync(directory, { bigint: true });
  return { boot: bootId(), device: dev, inode: ino, mount: mountOf(directory, dev) };
}

function bootId(): Uint8Array {
  const id = new Uint8Array(BOOT_ID_BYTES);
  try {
    const text = fs.readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replace(/[^0-9a-f]/g, '');
    id.set(Buffer.from(text, 'hex').subarray(0, BOOT_ID_BYTES));
  } catch {
    // Not known: every end is then taken for a power cut.
  }
  return id;
}

/** ext4, XFS, btrfs and others make a directory in sysfs for each mount, and its inode number is given only once. */
function mountOf(directory: string, device: bigint): bigint {
  try {
    const name = btrfsName(directory) ?? blockDeviceName(device);
    if (name === undefined) return 0n;
    for (const kind of fs.readdirSync('/sys/fs')) {
      const found = fs.statSync(`/sys/fs/${kind}/${name}`, { bigint: true, throwIfNoEntry: false });
      if (found !== undefined) return found.ino;
    }
  } catch {
    // No sysfs here.
  }
  return 0n;
}

function blockDeviceName(device: bigint): string | undefined {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  // Filesystems that lie on no block device of their own have numbers of major 0.
  return major === 0n ? undefined : basename(fs.readlinkSync(`/sys/dev/block/${major}:${minor}`));
}

/** _IOR(0x94, 31, struct btrfs_ioctl_fs_info_args), whose UUID is at offset 16. */
const BTRFS_IOC_FS_INFO = 0x8400_941f;
const FS_INFO_BYTES = 1024;

/** btrfs has a device number for each subvolume, so its sysfs directory has the filesystem's UUID for a name. */
function btrfsName(directory: string): string | undefined {
  const fd = fs.openSync(directory, 'r');
  try {
    const info = new Uint8Array(FS_INFO_BYTES);
    if (libc().ioctl(fd, BTRFS_IOC_FS_INFO, info) !== 0) return undefined;
    const hex = Buffer.from(info.subarray(16, 32)).toString('hex');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  } finally {
    fs.closeSync(fd);
  }
}
