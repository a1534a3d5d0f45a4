/** The daemon as a service: what it tells the manager that started it, the journal, and into files that do not grow for ever. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { HealthReport } from '../../../daemon/control/reports.js';
import { DatagramReceiver, entryOf } from '../../support/datagram-receiver.js';
import { GIVE_UP_COPIES, type Running, Site } from '../site.js';

const SPINNEY = `node ${join(import.meta.dirname, '../../../dist/daemon/cli.js')}`;
/** Three pings come in this time. */
const WATCHDOG_USEC = 300_000;
const PING = 'WATCHDOG=1';

/** Starts a daemon as systemd does, with a socket for its words. */
async function serve(site: Site, options: string): Promise<{ manager: DatagramReceiver; running: Running }> {
  const socket = join(site.directory, 'notify');
  const manager = await DatagramReceiver.bind(socket);
  const running = site.start(`export NOTIFY_SOCKET=${socket} WATCHDOG_USEC=${WATCHDOG_USEC} WATCHDOG_PID=$$
    exec ${SPINNEY} mount $MNT ${options}`);
  return { manager, running };
}

const isPing = ({ text }: { text: string }) => text === PING;

describe('a service manager', () => {
  it('is told when the mount answers, by which process, and when it ends', async () => {
    const site = new Site();
    const { manager, running } = await serve(site, '--store $STORE --foreground');
    const ready = await manager.find(({ text }) => text.includes('READY=1'));
    const pid = site.daemon();
    expect(ready).toMatchObject({
      pid,
      text: `MAINPID=${pid}\nREADY=1\nSTATUS=Serves ${site.store} at ${site.mountpoint}`,
    });
    expect(await site.sh('echo text > $MNT/f; cat $MNT/f')).toBe('text');
    const ping = await manager.find(isPing);
    await manager.find(isPing, manager.received.indexOf(ping) + 1);
    // Nobody speaks for the daemon.
    const [guard] = site.guards();
    const environment = readFileSync(`/proc/${guard}/environ`, 'utf8');
    expect(environment).toContain('PATH=');
    expect(environment).not.toMatch(/NOTIFY_SOCKET|WATCHDOG/);
    await site.umount();
    expect(await running.result).toMatchObject({ code: 0 });
    const { text } = manager.received.find(({ text }) => text.startsWith('STOPPING=1'))!;
    expect(text).toBe('STOPPING=1\nSTATUS=Ending: unmounts, and writes the last checkpoint');
    expect(new Set(manager.received.map((datagram) => datagram.pid))).toEqual(new Set([pid]));
  });

  it('is told of the end by a signal', async () => {
    const site = new Site();
    const { manager, running } = await serve(site, '--store $STORE --foreground');
    await manager.find(({ text }) => text.includes('READY=1'));
    await site.signal('SIGTERM');
    expect(await running.result).toMatchObject({ code: 0 });
    await manager.find(({ text }) => text.startsWith('STOPPING=1'));
  });

  it('is told by the command that it started which process the daemon is', async () => {
    const site = new Site();
    const { manager, running } = await serve(site, '--store $STORE');
    expect(await running.result).toMatchObject({ code: 0 });
    const pid = site.daemon();
    const [word] = manager.received.filter((datagram) => datagram.pid !== pid);
    expect(word!.text).toBe(`MAINPID=${pid}\nREADY=1\nSTATUS=Serves ${site.store} at ${site.mountpoint}`);
    // The pings, too, are the daemon's.
    expect((await manager.find(isPing)).pid).toBe(pid);
  });

  it('gets no ping while the mount hangs, though the daemon is alive, and is told why', async () => {
    const below = new Site();
    await below.mount();
    const site = new Site();
    const store = join(below.mountpoint, 'store');
    const { manager, running } = await serve(
      site,
      `--store ${store} --control $DIR/sock --durability synced --foreground`,
    );
    await manager.find(isPing);
    const disk = below.daemon();
    onTestFinished(async () => {
      process.kill(disk, 'SIGCONT');
      await site.spinney('umount', '--force', site.mountpoint);
    });
    process.kill(disk, 'SIGSTOP');
    const making = site.start('mkdir $MNT/d');
    const health = async () =>
      JSON.parse(
        (await site.spinney('health', '--control', join(site.directory, 'sock'), '--json')).out,
      ) as HealthReport;
    const told = await manager.find(({ text }) => text.includes('degraded: the mount has been busy'));
    const from = manager.received.indexOf(told);
    // The daemon answers here, each time after it had the time for a ping.
    for (let times = 0; times < 3; times++) expect((await health()).status).toBe('degraded');
    expect(manager.received.slice(from).filter(isPing)).toEqual([]);
    process.kill(disk, 'SIGCONT');
    expect(await making.result).toMatchObject({ code: 0, err: '' });
    await manager.find(isPing, from);
    await manager.find(({ text }) => text === `STATUS=Serves ${store} at ${site.mountpoint}`, from);
    await site.umount();
    expect(await running.result).toMatchObject({ code: 0 });
  });
});

describe('the journal', () => {
  it('gets entries with fields where systemd has connected stderr to it, and stderr gets nothing', async () => {
    const site = new Site();
    await site.sh('mkdir journal');
    const journal = await DatagramReceiver.bind(join(site.directory, 'journal/socket'));
    writeFileSync(
      join(site.directory, 'script'),
      `set -euo pipefail
      ${GIVE_UP_COPIES}
      mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/journal; mount --bind $DIR/journal /run/systemd/journal
      JOURNAL_STREAM=$(stat -c %d:%i $DIR/stderr) ${SPINNEY} mount $MNT --store $STORE --foreground 2>>$DIR/stderr &
      while ! grep -q " $MNT " /proc/self/mountinfo; do sleep 0.02; done
      touch $MNT/f
      ${SPINNEY} umount $MNT
      wait`,
    );
    await site.sh('touch stderr; unshare -m bash $DIR/script');
    const entries = journal.received.map(entryOf);
    const about = { SPINNEY_MOUNTPOINT: site.mountpoint, SPINNEY_STORE: site.store };
    const mounted = entries.find(({ MESSAGE }) => MESSAGE!.startsWith('mounted'));
    expect(mounted).toMatchObject({ ...about, PRIORITY: '6', SPINNEY_DRIVER: 'kernel' });
    expect(entries.at(-1)).toMatchObject({ ...about, MESSAGE: 'ended clean=true', SPINNEY_CLEAN: 'true' });
    expect(await site.sh('cat stderr')).toBe('');
  });

  it('is not taken for stderr when that is something else', async () => {
    const site = new Site();
    const { child, result } = site.start(
      `export JOURNAL_STREAM=1:2; exec ${SPINNEY} mount $MNT --store $STORE --foreground`,
    );
    await new Promise((resolve) => child.stderr!.once('data', resolve));
    await site.sh('while ! grep -q " $MNT " /proc/self/mountinfo; do sleep 0.02; done');
    await site.umount();
    expect((await result).err).toContain('"msg":"mounted"');
  });
});

describe('a log file', () => {
  it('is rotated when it has its size, and the store is as good as before', async () => {
    const site = new Site();
    await site.sh('mkdir -m 700 $STORE');
    const log = join(site.store, 'spinney.log');
    writeFileSync(log, `${'x'.repeat(1024 * 1024 - 1)}\n`, { mode: 0o600 });
    await site.mount('--log-size', '1');
    expect(statSync(`${log}.1`).size).toBe(1024 * 1024);
    expect(readFileSync(log, 'utf8')).toContain('"msg":"mounted"');
    // What the runtime would say of a crash goes to the new file, too.
    expect(await site.sh(`readlink /proc/${site.daemon()}/fd/2`)).toBe(log);
    await site.umount();
    await site.must('check', site.store);
    await site.mount();
    await site.umount();
    expect(site.logged('warn')).toEqual([]);
  });

  it('says so in health where it cannot be rotated', async () => {
    const site = new Site();
    await site.sh('mkdir -m 700 $DIR/log $DIR/log/file.1');
    const log = join(site.directory, 'log/file');
    writeFileSync(log, `${'x'.repeat(1024 * 1024)}\n`, { mode: 0o600 });
    await site.mount('--log-size', '1', '--log-file', log);
    const { code, out } = await site.spinney('health', '--store', site.store);
    expect([code, out]).toEqual([1, expect.stringContaining(`Cannot rotate the log: ${log}.1`) as string]);
    await site.sh('rmdir $DIR/log/file.1');
    await site.umount();
  });
});

describe('/etc/fstab', () => {
  it('does not wait for itself where an automount waits for somebody to look', async () => {
    const site = new Site();
    // A trap of autofs(5), which holds up all but the group of processes that made it: as when somebody mounts there by hand.
    writeFileSync(
      join(site.directory, 'automount.py'),
      `import ctypes, os, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
place, *command = sys.argv[1:]
reader, writer = os.pipe()
options = f"fd={writer},pgrp={os.getpgrp()},minproto=5,maxproto=5,direct".encode()
if libc.mount(b"systemd-1", place.encode(), b"autofs", 0, options) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
sys.exit(subprocess.run(command, start_new_session=True).returncode)
`,
    );
    const helper = join(import.meta.dirname, '../../../scripts/mount.fuse.spinney');
    writeFileSync(
      join(site.directory, 'script'),
      `set -euo pipefail
      ${GIVE_UP_COPIES}
      python3 $DIR/automount.py $MNT timeout -k 2 60 ${helper} $STORE $MNT -o rw,nofail,_netdev,x-systemd.automount,scrub=7
      echo text > $MNT/f; cat $MNT/f
      ${SPINNEY} umount $MNT`,
    );
    expect(await site.sh('unshare -m bash $DIR/script')).toBe('text');
  });
});
