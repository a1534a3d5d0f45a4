/**
 * Mounts for real, with the driver on this process's main loop: everything that touches the mount is a child
 * process, awaited asynchronously and with a time-out, or both would wait for each other for ever.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { mountFuseNative } from '../../../mount/fuse-native/driver.js';
import { findMount } from '../../../mount/mountpoints/mountinfo.js';
import type { Mounted } from '../../../mount/types.js';
import { ModelTree } from '../../support/model-tree.js';

const run = promisify(execFile);
const CHILD_TIMEOUT_MS = 100_000;

let directory: string;
let mountpoint: string;
let mounted: Mounted;
let tree: ModelTree;

/** Runs a shell script in the mount; gives its output. */
async function sh(script: string): Promise<string> {
  const { stdout } = await run('bash', ['-ec', `cd ${mountpoint}; ${script}`], {
    timeout: CHILD_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  return stdout.trimEnd();
}

async function mount(): Promise<void> {
  mounted = await mountFuseNative(
    tree,
    {
      mountpoint,
      driver: 'fuse-native',
      readOnly: false,
      allowOther: false,
      entryTimeout: 1,
      attributeTimeout: 1,
      negativeTimeout: 0,
      options: [],
      snapshotDirectory: '.snap',
      contentDirectory: join(directory, 'content'),
      source: join(directory, 'a store'),
    },
    () => {},
  );
}

describe.runIf(existsSync('/dev/fuse'))('fuse-native', () => {
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'spinney-fuse-native-'));
    mountpoint = join(directory, 'mnt');
    mkdirSync(mountpoint);
    tree = new ModelTree();
    await mount();
  });

  afterEach(async () => {
    if (findMount(mountpoint) !== undefined) {
      await run('umount', ['-l', mountpoint], { timeout: CHILD_TIMEOUT_MS }).catch(() => {});
    }
    await mounted.ended;
    rmSync(directory, { recursive: true, force: true });
  });

  it('shows in the mount table with its type and its store', () => {
    expect(findMount(mountpoint)).toMatchObject({ type: 'fuse.spinney', source: join(directory, 'a store') });
    expect(findMount(mountpoint)?.options).toContain('nosuid');
  });

  it('keeps files, directories, links and attributes', async () => {
    await sh(`mkdir -p a/b; echo hello > a/b/file; ln -s b/file a/link; ln a/b/file a/hard; mkfifo a/pipe`);
    expect(await sh('cat a/link a/hard; ls a; readlink a/link')).toBe(
      'hello\nhello\nb\nhard\nlink\npipe\nb/file',
    );
    await sh('chmod 640 a/hard; chown 12:34 a/hard; mv a/b a/c; rm a/link; truncate -s 3 a/hard');
    expect(await sh('stat -c "%a %u %g %h %s %F" a/c/file; cat a/c/file; ls a')).toBe(
      '640 12 34 2 3 regular file\nhelc\nhard\npipe',
    );
    await expect(sh('rmdir a')).rejects.toThrow('not empty');
    await sh('rm -r a');
    expect(await sh('ls -A')).toBe('');
  });

  it('keeps times to the millisecond, and large sizes', async () => {
    await sh('touch -d 2001-02-03T04:05:06.789Z f; truncate -s 5G g');
    expect(await sh('TZ=UTC stat -c %y f; stat -c %s g; cat g | head -c 4 | od -An -tx1')).toBe(
      '2001-02-03 04:05:06.789000000 +0000\n5368709120\n 00 00 00 00',
    );
  });

  it('keeps extended attributes, empty ones too', async () => {
    await sh('echo x > f; setfattr -n user.a -v one f; setfattr -n user.empty f');
    expect(await sh('getfattr -d f')).toBe('# file: f\nuser.a="one"\nuser.empty=""');
    await sh('setfattr -x user.a f');
    expect(await sh('getfattr -d f')).toBe('# file: f\nuser.empty=""');
    await expect(sh('getfattr -n user.a f')).rejects.toThrow('No such attribute');
  });

  it('refuses names, targets and names of attributes that are not UTF-8', async () => {
    await sh('echo x > f');
    for (const script of [
      `echo x > $'caf\\xe9'`,
      `mkdir $'caf\\xe9'`,
      `mv f $'caf\\xe9'`,
      `ln -s $'caf\\xe9' l`,
      `python3 -c 'import os; os.setxattr("f", b"user.\\xe9", b"v")'`,
    ]) {
      await expect(sh(script)).rejects.toThrow('Invalid or incomplete multibyte');
    }
    expect(await sh('ls -A; getfattr -d f')).toBe('f');
  });

  it('says of a name that it is too long, and takes the longest', async () => {
    await sh('touch $(printf %255s | tr " " n)');
    await expect(sh('cat $(printf %256s | tr " " n)')).rejects.toThrow('File name too long');
  });

  it('syncs directories', async () => {
    await sh('mkdir d; sync d');
    expect(mounted.stats().operations.fsyncdir).toBe(1);
  });

  it('reads and writes an open file that was removed', async () => {
    expect(await sh('exec 3<>f; echo one >&3; rm f; echo two >&3; cat /proc/self/fd/3; ls')).toBe('one\ntwo');
    expect(await sh('ls -A')).toBe('');
  });

  it('lists a large directory', async () => {
    await sh('seq 2000 | xargs touch');
    expect(await sh('ls | wc -l; ls -f | sort | uniq -d')).toBe('2000');
  });

  it('copies a tree exactly', async () => {
    await sh(
      'mkdir in; for i in 1 2 3; do head -c 300000 /dev/urandom > in/$i; done; rsync -a in/ out/; diff -r in out',
    );
  });

  it('refuses a plain unmount while busy, ends by umount(8), and finds everything again', async () => {
    await sh('echo kept > f');
    const busy = execFile('bash', ['-c', `cd ${mountpoint}; echo in; read`], { timeout: CHILD_TIMEOUT_MS });
    const left = new Promise((resolve) => busy.once('exit', resolve));
    await new Promise((resolve) => busy.stdout!.once('data', resolve));
    expect(await mounted.unmount('plain')).toBe(false);
    busy.stdin!.end();
    await left;
    await run('umount', [mountpoint], { timeout: CHILD_TIMEOUT_MS });
    expect(await mounted.ended).toEqual({ reason: 'unmounted' });
    await mount();
    expect(await sh('cat f')).toBe('kept');
    expect(await mounted.unmount('plain')).toBe(true);
  });

  it('ends when aborted under a user', async () => {
    const busy = execFile('bash', ['-c', `cd ${mountpoint}; echo in; read`], { timeout: CHILD_TIMEOUT_MS });
    const left = new Promise((resolve) => busy.once('exit', resolve));
    await new Promise((resolve) => busy.stdout!.once('data', resolve));
    await mounted.unmount('abort');
    expect(await mounted.ended).toEqual({ reason: 'unmounted' });
    expect(findMount(mountpoint)).toBeUndefined();
    busy.stdin!.end();
    await left;
  });

  it('counts what it did', async () => {
    await sh('echo x > f; ls nowhere || true');
    const stats = mounted.stats();
    expect(stats.driver).toBe('fuse-native');
    expect(stats.operations.create).toBe(1);
    expect(stats.errors).toBe(0);
    expect(stats.errorsByName.ENOENT).toBeGreaterThan(0);
    expect(stats.openFiles).toBe(0);
  });

  it('removes the contents of deleted files', async () => {
    await sh('echo x > f; rm f');
    await mounted.unmount('plain');
    await mounted.ended;
    const files = readdirSync(join(directory, 'content'), { recursive: true, withFileTypes: true });
    expect(files.filter((file) => file.isFile())).toEqual([]);
  });
});
