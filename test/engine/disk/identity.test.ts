/** Whether a filesystem was mounted throughout can be told, whatever device number and inodes it has. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type DirectoryIdentity, identify, isSameMount } from '../../../engine/disk/identity.js';

function sh(script: string): boolean {
  try {
    execFileSync('sh', ['-ec', script], { stdio: 'ignore', timeout: 60_000 });
    return true;
  } catch {
    return false;
  }
}

it('tells a directory from itself only where nothing was lost', () => {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-identity-'));
  try {
    const here = identify(directory);
    expect(here.boot.some((byte) => byte !== 0)).toBe(true);
    expect(isSameMount(here, identify(directory))).toBe(true);
    expect(isSameMount(here, { ...here, boot: here.boot.map((byte) => byte ^ 1) })).toBe(false);
    expect(isSameMount(here, { ...here, device: here.device + 1n })).toBe(false);
    expect(isSameMount(here, { ...here, mount: here.mount + 1n })).toBe(false);
    const unknown = { ...here, boot: new Uint8Array(16) };
    expect(isSameMount(unknown, unknown)).toBe(false);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

const SIZES: Record<string, string> = { ext4: '32M', xfs: '320M', btrfs: '128M' };

it.each(Object.keys(SIZES))('tells an %s that was unmounted and mounted again', (kind) => {
  const directory = mkdtempSync(join(tmpdir(), 'spinney-identity-'));
  const [image, at, other] = ['image', 'mnt', 'other'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(at);
  mkdirSync(other);
  try {
    const isMounted = sh(
      `command -v mkfs.${kind}; truncate -s ${SIZES[kind]} ${image}; mkfs.${kind} ${image}; mount -o loop ${image} ${at}`,
    );
    // Without root, loop devices or the programs there is nothing to see.
    if (!isMounted) return;
    mkdirSync(join(at, 'store'));
    const first = identify(join(at, 'store'));
    expect(first.mount).not.toBe(0n);
    expect(sh(`mount --bind ${at} ${other}`)).toBe(true);
    expect(isSameMount(first, identify(join(other, 'store')))).toBe(true);
    expect(sh(`umount ${other}; umount ${at}; mount -o loop ${image} ${at}`)).toBe(true);
    const second: DirectoryIdentity = identify(join(at, 'store'));
    expect(second.inode).toBe(first.inode);
    expect(isSameMount(first, second)).toBe(false);
  } finally {
    sh(`umount -l ${other} || true; umount -l ${at} || true`);
    rmSync(directory, { recursive: true, force: true });
  }
});
