/** Who may mount, how, and with which options; what mount(8) and a hanging disk make of it. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { HealthReport } from '../../../daemon/control/reports.js';
import { GIVE_UP_COPIES, Site } from '../site.js';

const DIST = join(import.meta.dirname, '../../../dist/daemon');
const NOBODY = 'setpriv --reuid=65534 --regid=65534 --clear-groups';
const SPINNEY = 'node $PROGRAM/dist/daemon/cli.js';

/** A site whose directory is an ordinary user's, who may open /dev/fuse. */
async function usersSite(): Promise<Site> {
  const site = new Site();
  await site.letUsersIn();
  await site.sh('chmod 755 $DIR; chown -R 65534:65534 $DIR');
  return site;
}

/** Options of the mount and of its filesystem, as the table of mounts has them. */
function mountOptions(site: Site): string[] {
  const line = site
    .mountinfo()
    .split('\n')
    .find((text) => text.includes(` ${site.mountpoint} `));
  const fields = line?.split(' ') ?? [];
  return [...(fields[5] ?? '').split(','), ...(fields.at(-1) ?? '').split(',')];
}

describe('an ordinary user', () => {
  it('mounts and unmounts through fusermount3', async () => {
    const site = await usersSite();
    expect(await site.sh(`${NOBODY} ${SPINNEY} mount $MNT --store $STORE --driver kernel`)).toBe(
      `mounted ${site.store} at ${site.mountpoint}`,
    );
    expect(mountOptions(site)).toEqual(
      expect.arrayContaining(['rw', 'nosuid', 'nodev', 'user_id=65534', 'default_permissions']),
    );
    expect(mountOptions(site)).not.toContain('allow_other');
    await site.sh(
      `${NOBODY} bash -c 'cd $MNT; echo text > f; mkdir d; ln f d/g; setfattr -n user.k -v v f; sync f'`,
    );
    // Not even root is let in.
    expect((await site.attempt('ls $MNT')).err).toContain('Permission denied');
    const { child } = site.start(`exec ${NOBODY} bash -c 'cd $MNT; echo there; exec sleep 100'`, 200);
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    const busy = await site.attempt(`${NOBODY} ${SPINNEY} umount $MNT`);
    expect(busy).toMatchObject({ code: 1, err: expect.stringContaining('it is busy') as string });
    await site.sh(`${NOBODY} ${SPINNEY} umount --force $MNT`);
    expect(site.isMounted()).toBe(false);
    await site.sh(`${NOBODY} ${SPINNEY} mount $MNT --store $STORE --driver kernel --read-only`);
    expect(await site.sh(`${NOBODY} bash -c 'cd $MNT; cat d/g; getfattr --only-values -n user.k f'`)).toBe(
      'text\nv',
    );
    expect((await site.attempt(`${NOBODY} touch $MNT/new`)).err).toContain('Read-only file system');
    await site.sh(`${NOBODY} ${SPINNEY} umount $MNT`);
    expect(site.isMounted()).toBe(false);
    expect(site.logged('error')).toEqual([]);
  });

  it('keeps the mount when the daemon is killed, or loses it as told, and replaces one that stayed', async () => {
    const site = await usersSite();
    const mount = `${NOBODY} ${SPINNEY} mount $MNT --store $STORE --driver kernel`;
    await site.sh(mount);
    const user = `${NOBODY} bash -euc 'exec 3>$MNT/f; kill -9 ${site.daemon()}; echo text >&3; cat $MNT/f'`;
    expect(await site.sh(user)).toBe('text');
    const now = await site.sh(`${NOBODY} ${SPINNEY} stats --store $STORE --json`);
    expect(JSON.parse(now)).toMatchObject({ restarts: { count: 1 }, mount: { openFiles: 0 } });
    await site.sh(`${NOBODY} ${SPINNEY} upgrade $MNT --log-level debug; ${NOBODY} cat $MNT/f`);
    await site.sh(`${NOBODY} ${SPINNEY} umount $MNT`);
    await site.sh(`${mount} --no-restart`);
    await site.kill();
    expect(site.isMounted()).toBe(false);
    await site.sh(mount);
    await site.killWithGuard();
    expect(site.isMounted()).toBe(true);
    expect(await site.sh(mount)).toContain('replaced the stale mount');
    await site.sh(`${NOBODY} touch $MNT/f`);
  });

  it('is told what is left to root', async () => {
    const site = await usersSite();
    const attempt = (options: string) =>
      site.attempt(`${NOBODY} ${SPINNEY} mount $MNT --store $STORE ${options}`);
    for (const options of ['--driver kernel -o suid', '-o dev', '-o suid']) {
      const { code, err } = await attempt(options);
      expect([code, err]).toEqual([
        1,
        'spinney: Cannot mount: only root may mount with the options suid and dev\n',
      ]);
    }
    // What the administrator has set.
    const allowed = /^\s*user_allow_other\s*$/m.test(readFileSync('/etc/fuse.conf', 'utf8'));
    for (const driver of ['kernel', 'auto']) {
      const { code, err } = await attempt(`--driver ${driver} --allow-other`);
      if (allowed) {
        expect(code).toBe(0);
        expect(mountOptions(site)).toContain('allow_other');
        await site.sh(`ls $MNT; ${NOBODY} ${SPINNEY} umount $MNT`);
      } else {
        expect([code, err]).toEqual([
          1,
          "spinney: Cannot mount: option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf\n",
        ]);
      }
    }
    expect(site.isMounted()).toBe(false);
  });

  it('is told that another driver serves, where the kernel driver has nobody to mount for it', async () => {
    const site = await usersSite();
    // A machine with the program of FUSE 2 alone.
    await site.sh('mkdir $DIR/bin; ln -s $(command -v fusermount3) $DIR/bin/fusermount');
    const { code, err } = await site.attempt(
      `${NOBODY} env PATH=$DIR/bin ${process.execPath} ${join(DIST, 'cli.js')} mount $MNT --store $STORE`,
    );
    expect([code, err]).toEqual([
      0,
      'spinney: fuse-native serves the mount, with its limits, see README: Cannot mount: fusermount3 is not installed (package fuse3)\n',
    ]);
    expect(await site.sh(`${NOBODY} bash -c 'echo text > $MNT/f; cat $MNT/f'`)).toBe('text');
    await site.sh(`${NOBODY} ${SPINNEY} umount $MNT`);
    expect(site.isMounted()).toBe(false);
  });
});

describe('a user namespace', () => {
  it.each([
    ['root', ''],
    ['an ordinary user', NOBODY],
  ])('made by %s mounts by itself', async (_who, prefix) => {
    const site = prefix === '' ? new Site() : await usersSite();
    if (prefix === '') await site.letUsersIn();
    writeFileSync(
      join(site.directory, 'script'),
      `set -euo pipefail
      ${SPINNEY} mount $MNT --store $STORE --driver kernel
      grep -q " $MNT .* fuse.spinney " /proc/self/mountinfo
      cd $MNT; echo text > f; mkdir d; ln f d/g
      kill -9 $(ls $STORE | sed -n 's/daemon-\\([0-9]*\\).json/\\1/p')
      stat -c '%u %g %h' f
      cd /; ${SPINNEY} umount $MNT
      ${SPINNEY} mount $MNT --store $STORE --driver kernel --no-restart
      kill -9 $(ls $STORE | sed -n 's/daemon-\\([0-9]*\\).json/\\1/p')
      while grep -q " $MNT " /proc/self/mountinfo; do sleep 0.01; done
      ls -A $MNT`,
    );
    expect(await site.sh(`${prefix} unshare -Urm bash $DIR/script`)).toBe(
      `mounted ${site.store} at ${site.mountpoint}\n0 0 2\nmounted ${site.store} at ${site.mountpoint}`,
    );
    expect(site.isMounted()).toBe(false);
  });
});

describe('options', () => {
  it('suid and dev are honoured when root asks for them, and not otherwise', async () => {
    const site = new Site();
    const identify = `${NOBODY} $MNT/id -u`;
    await site.mount('--allow-other', '-o', 'suid,dev');
    expect(mountOptions(site)).not.toEqual(expect.arrayContaining(['nosuid']));
    await site.sh(
      'chmod 755 $DIR; chmod 755 $MNT; cp /usr/bin/id $MNT/id; chmod 4755 $MNT/id; mknod -m 666 $MNT/null c 1 3',
    );
    expect(await site.sh(identify)).toBe('0');
    await site.sh(`${NOBODY} bash -c 'echo x > $MNT/null'`);
    await site.umount();
    await site.mount('--allow-other', '-o', 'noexec');
    expect(mountOptions(site)).toEqual(expect.arrayContaining(['nosuid', 'nodev', 'noexec']));
    expect((await site.attempt(identify)).err).toContain('Permission denied');
    await site.umount();
    await site.mount('--allow-other');
    expect(await site.sh(identify)).toBe('65534');
    expect((await site.attempt(`${NOBODY} bash -c 'echo x > $MNT/null'`)).err).toContain('Permission denied');
  });
});

describe('mount(8)', () => {
  it('mounts by type, and from a table', async () => {
    const site = new Site();
    const sbin = join(site.directory, 'sbin');
    mkdirSync(sbin);
    symlinkSync(join(DIST, '../../scripts/mount.fuse.spinney'), join(sbin, 'mount.fuse.spinney'));
    writeFileSync(
      join(site.directory, 'fstab'),
      `${site.store} ${site.mountpoint} fuse.spinney ro,noauto,_netdev,cache-size=64,durability=synced 0 0\n`,
    );
    // The helper has to be in /sbin: in a namespace of its own, it is all there is.
    writeFileSync(
      join(site.directory, 'script'),
      `set -euo pipefail
      ${GIVE_UP_COPIES}
      mount --bind $DIR/sbin $(readlink -f /sbin)
      mount -t fuse.spinney $STORE $MNT -o allow_other,cache-size=32
      grep " $MNT " /proc/self/mountinfo | grep -q allow_other
      touch $MNT/f
      options() { grep " $MNT " /proc/self/mountinfo | cut -d' ' -f6; }
      options
      exec 5>>$MNT/f
      mount -o remount,ro $MNT || echo "ended with $?"
      exec 5>&-
      mount -o remount,ro,nosuid $MNT
      options
      touch $MNT/f 2> $DIR/refused && false
      grep -q 'Read-only file system' $DIR/refused
      ls $MNT
      mount -o remount,rw $MNT
      options
      touch $MNT/g; rm $MNT/g
      umount $MNT
      while ls $STORE/daemon-*.json > $DIR/waiting 2>&1; do sleep 0.02; done
      mount -T $DIR/fstab $MNT
      grep " $MNT " /proc/self/mountinfo | grep -q ' ro,'
      ls $MNT
      mount -T $DIR/fstab -o remount,rw $MNT || echo "ended with $?"
      ${SPINNEY} umount $MNT
      mount -t fuse.spinney $STORE $MNT -o frobnicate || echo "ended with $?"
      mount -t fuse.spinney $DIR/absent $MNT -o ro || echo "ended with $?"`,
    );
    const { out, err } = await site.attempt('unshare -m bash $DIR/script');
    expect([out, err]).toEqual([
      [
        'rw,relatime',
        'ended with 32',
        'ro,nosuid,relatime',
        'f',
        'rw,nosuid,relatime',
        'f',
        'ended with 32',
        'ended with 1',
        'ended with 32',
        '',
      ].join('\n'),
      `mount.fuse.spinney: Cannot remount ${site.mountpoint} read-only: a process has a file there open for writing\n` +
        `mount.fuse.spinney: Cannot remount ${site.mountpoint} for writing: its daemon opened the store read-only; unmount it, ` +
        'and mount it without ro\n' +
        'mount.fuse.spinney: Cannot read the arguments: unknown option "frobnicate" in -o; see mount.fuse.spinney --help\n' +
        `spinney: Cannot mount the store ${site.directory}/absent read-only: no such store\n`,
    ]);
  });
});

/**
 * A mounted site whose store is on the mount of another one; when that one's daemon is stopped, the disk does not
 * answer.
 */
async function siteOnDisk(durability = 'written'): Promise<{ site: Site; health: string[]; disk: number }> {
  const below = new Site();
  await below.mount();
  const site = new Site();
  const store = join(below.mountpoint, 'store');
  await site.sh(
    `${SPINNEY} mount $MNT --store ${store} --control $DIR/sock --log-file $DIR/log --durability ${durability}`,
  );
  const disk = below.daemon();
  onTestFinished(async () => {
    process.kill(disk, 'SIGCONT');
    await site.spinney('umount', '--force', site.mountpoint);
  });
  return { site, health: ['health', '--control', join(site.directory, 'sock'), '--json'], disk };
}

describe('a request that cannot be served', () => {
  it('is EIO and told in the log, and the mount lives on', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('echo sound > $MNT/sound');
    await site.umount();
    // A record of a kind that does not exist.
    const engine = join(DIST, '../engine/index.js');
    await site.sh(`node --input-type=module -e '
      const { Tree } = await import("${engine}");
      const tree = Tree.open({ dir: process.env.STORE });
      tree.put("d/broken", new Uint8Array(5)); tree.close()'`);
    await site.mount();
    const { err } = await site.attempt('stat $MNT/broken || ls $MNT/broken');
    expect(err.match(/Input\/output error/g)).toHaveLength(2);
    expect(await site.sh('cat $MNT/sound; echo more > $MNT/new; cat $MNT/new')).toBe('sound\nmore');
    const [first] = site.logged('error').map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(first).toMatchObject({
      opcode: 1,
      node: 1,
      msg: expect.stringContaining('Cannot serve LOOKUP: ') as string,
    });
  });
});

describe('a mount that hangs', () => {
  it('is told by health, until it goes on', async () => {
    // Below `synced` a change is in memory that survives the daemon, and waits for no disk.
    const { site, health, disk } = await siteOnDisk('synced');
    /** Reasons, once the status is as wanted. */
    const becomes = async (wanted: HealthReport['status']): Promise<string[]> => {
      for (;;) {
        const { status, reasons } = JSON.parse((await site.spinney(...health)).out) as HealthReport;
        if (status === wanted) return reasons;
        await sleep(200);
      }
    };
    process.kill(disk, 'SIGSTOP');
    const making = site.start('mkdir $MNT/d');
    const [reason] = await becomes('degraded');
    expect(reason).toMatch(
      /^the mount has been busy with one request \(MKDIR\) for \d+ s; [1-9]\d* wait in the kernel$/,
    );
    process.kill(disk, 'SIGCONT');
    expect(await making.result).toMatchObject({ code: 0, err: '' });
    await becomes('ok');
  });

  it('lets a dying process go that waits for the disk', async () => {
    const { site, health, disk } = await siteOnDisk();
    await site.sh('mkfifo $DIR/go');
    const { child, result } = site.start(`exec perl -MIO::Handle -e '
      $| = 1; $SIG{USR1} = sub { print "signal\n" };
      open(F, ">", "$ENV{MNT}/f") or die $!; syswrite(F, "content"); F->sync or die $!; syswrite(F, "more"); print "$$\n";
      open(G, "<", "$ENV{DIR}/go") or die $!;
      print F->sync ? "synced\n" : "$!\n"'`);
    const client = Number(await new Promise((resolve) => child.stdout!.once('data', resolve)));
    process.kill(disk, 'SIGSTOP');
    await site.sh('echo > $DIR/go');
    const waits = () => readFileSync(`/proc/${client}/wchan`, 'latin1').includes('request_wait_answer');
    while (!waits()) await sleep(10);
    // A signal that it can handle must not cut the sync short.
    process.kill(client, 'SIGUSR1');
    expect(JSON.parse((await site.spinney(...health)).out)).toMatchObject({ status: 'ok' });
    expect(waits()).toBe(true);
    process.kill(client, 'SIGTERM');
    expect((await result).out).toBe(`${client}\n`);
    expect(readFileSync(`/proc/${disk}/stat`, 'latin1')).toMatch(/\) T /);
  });
});
