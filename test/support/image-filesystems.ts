/** Filesystems for a store that tests make in a file, mount through a loop device, and throw away. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

export interface ImageFilesystem {
  name: string;
  /** Size of the image; XFS asks for 300 at least. */
  mebibytes: number;
  make: string;
  /** Whether files of it can share their bytes (FICLONE). */
  hasReflinks: boolean;
}

const ALL: readonly ImageFilesystem[] = [
  { name: 'ext4', mebibytes: 64, make: 'mkfs.ext4 -q -m 0', hasReflinks: false },
  { name: 'xfs', mebibytes: 320, make: 'mkfs.xfs -q', hasReflinks: true },
  { name: 'btrfs', mebibytes: 160, make: 'mkfs.btrfs -q', hasReflinks: true },
];

function succeeds(script: string): boolean {
  return spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin; ${script}`], { stdio: 'ignore' }).status === 0;
}

function whatIsMissing({ name, make }: ImageFilesystem): string | undefined {
  const [program] = make.split(' ');
  if (!succeeds(`command -v ${program}`)) return `the program ${program}`;
  const isKnown = () => new RegExp(`\\b${name}$`, 'm').test(readFileSync('/proc/filesystems', 'utf8'));
  if (!isKnown() && !(succeeds(`modprobe ${name}`) && isKnown())) return `${name} in the kernel`;
  return undefined;
}

/** Those that can be had here. What is missing for the others is told, for whoever reads the tests' output. */
export function imageFilesystems(): readonly ImageFilesystem[] {
  const missing: string[] = [];
  const isRoot = process.geteuid?.() === 0;
  if (!isRoot) missing.push('the rights of root');
  if (isRoot && !succeeds('losetup -f')) missing.push('a free loop device');
  if (!existsSync('/dev/fuse')) missing.push('/dev/fuse');
  const available =
    missing.length > 0
      ? []
      : ALL.filter((filesystem) => {
          const what = whatIsMissing(filesystem);
          if (what !== undefined) missing.push(what);
          return what === undefined;
        });
  if (missing.length > 0)
    console.warn(`Not all is tried on images of disks: ${missing.join(', ')} is missing`);
  return available;
}
