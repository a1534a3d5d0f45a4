/** What signals, a log that cannot be written and outputs that cannot be written do to the daemon and the command line. */
import { existsSync, readdirSync, readFileSync, readlinkSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { HealthReport } from '../../../daemon/control/reports.js';
import { Site } from '../site.js';

const SPINNEY = `node ${join(import.meta.dirname, '../../../dist/daemon/cli.js')}`;

/** Local addresses on which the process takes TCP connections. */
function listeningSockets(pid: number): string[] {
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).map((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      } catch {
        return undefined;
      }
    }),
  );
  const lines = ['tcp', 'tcp6'].flatMap((kind) => readFileSync(`/proc/net/${kind}`, 'utf8').split('\n'));
  // Number, local and remote address, state (0A: it listens), ..., inode.
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A' && own.has(fields[9]))
    .map((fields) => fields[1]!);
}

describe('signals', () => {
  it('that mean nothing to the daemon do nothing to it', async () => {
    const site = new Site();
    await site.mount();
    const pid = site.daemon();
    for (const signal of [
      'SIGUSR1',
      'SIGUSR2',
      'SIGALRM',
      'SIGVTALRM',
      'SIGIO',
      'SIGPIPE',
      'SIGXFSZ',
    ] as const) {
      process.kill(pid, signal);
      await site.sh(`touch $MNT/${signal}; ${SPINNEY} health --store $STORE`);
    }
    expect(site.daemon()).toBe(pid);
    // A debugger would have told its address on stderr, which is the log's file.
    expect(readFileSync(join(site.store, 'spinney.log'), 'utf8')).not.toContain('ebugger');
    await site.umount();
    expect(site.logged('warn')).toEqual([]);
  });

  it('leave no port of a debugger open, however early they come', async () => {
    const site = new Site();
    const { child, result } = site.start(`echo $$; exec ${SPINNEY} mount $MNT --store $STORE --foreground`);
    const pid = Number(await new Promise<string>((resolve) => child.stdout!.once('data', resolve)));
    let log = '';
    const up = new Promise<void>((resolve) => {
      child.stderr!.on('data', (text: string) => {
        log += text;
        if (log.includes('"mounted"')) resolve();
      });
    });
    // Before the first line of JavaScript has run it is Node that decides: by then it has its handler for signals.
    while (!/^SigCgt:\s+\S*[2367abef]\S\S$/m.test(readFileSync(`/proc/${pid}/status`, 'latin1')))
      await sleep(1);
    while (!existsSync(join(site.store, 'blobs.dat'))) {
      process.kill(pid, 'SIGUSR1');
      await sleep(1);
    }
    await up;
    // One that Node opened before any program of ours ran is closed again.
    expect(listeningSockets(pid)).toEqual([]);
    await site.umount();
    expect(await result).toMatchObject({ code: 0 });
  });

  it.each(['SIGQUIT', 'SIGXCPU'] as const)('%s ends it as SIGTERM does', async (signal) => {
    const site = new Site();
    await site.mount();
    await site.sh('echo text > $MNT/f');
    await site.signal(signal);
    expect(site.isMounted()).toBe(false);
    expect(JSON.parse(site.logged('info').at(-1)!)).toMatchObject({ msg: 'ended', clean: true });
  });

  it('SIGHUP opens the log anew', async () => {
    const site = new Site();
    await site.mount();
    const file = join(site.store, 'spinney.log');
    renameSync(file, `${file}.1`);
    process.kill(site.daemon(), 'SIGHUP');
    while (!existsSync(file) || readFileSync(file, 'utf8') === '') await sleep(10);
    await site.sh('touch $MNT/f');
    await site.umount();
    expect(site.logged('info').map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual([
      'opened the log anew',
      'unmounted',
      'ended',
    ]);
  });

  it('SIGHUP ends a daemon whose terminal is gone', async () => {
    const site = new Site();
    // script(1) gives it a terminal, and goes.
    const { child, result } = site.start(
      `echo $$; exec script -qfc '${SPINNEY} mount $MNT --store $STORE --foreground' /dev/null`,
    );
    let printed = '';
    await new Promise<void>((resolve) => {
      child.stdout!.on('data', (text: string) => {
        printed += text;
        if (printed.includes('mounted')) resolve();
      });
    });
    const pid = site.daemon();
    process.kill(Number.parseInt(printed, 10), 'SIGKILL');
    await result;
    while (existsSync(`/proc/${pid}`)) await sleep(10);
    expect(site.isMounted()).toBe(false);
    // The store was left as it should be: nothing is played back.
    await site.mount();
    expect(site.logged('info').join()).not.toContain('played the journal back');
  });
});

describe('a log that cannot be written', () => {
  it('is told by health, and keeps nobody from working or ending', async () => {
    const site = new Site();
    site.start(`exec ${SPINNEY} mount $MNT --store $STORE --foreground --log-level debug 2> /dev/full`);
    while ((await site.spinney('stats', '--store', site.store)).code !== 0) await sleep(10);
    await site.sh('echo text > $MNT/f');
    const { code, out } = await site.spinney('health', '--store', site.store, '--json');
    expect(code).toBe(1);
    expect((JSON.parse(out) as HealthReport).reasons).toEqual([
      expect.stringMatching(/^the log cannot be written since .*, lines lost: [1-9]\d*; ENOSPC/),
    ]);
    await site.signal('SIGTERM');
    expect(site.isMounted()).toBe(false);
    await site.mount();
    expect(site.logged('info').join()).not.toContain('played the journal back');
    expect(await site.sh('cat $MNT/f')).toBe('text');
  });

  it('on a standard error whose reader has gone', async () => {
    const site = new Site();
    const { child } = site.start(
      `${SPINNEY} mount $MNT --store $STORE --foreground --log-level debug 2> >(head -c 1) > $DIR/out; echo "ended with $?"`,
    );
    let printed = '';
    child.stdout!.on('data', (text: string) => {
      printed += text;
    });
    while (!existsSync(join(site.store, 'control.sock'))) await sleep(10);
    while ((await site.spinney('stats', '--store', site.store)).code !== 0) await sleep(10);
    await site.sh('touch $MNT/f');
    await site.umount();
    while (!printed.includes('ended with')) await sleep(10);
    expect(printed).toContain('ended with 0');
  });
});

describe('a full disk', () => {
  it('keeps nobody from ending', async () => {
    const site = new Site();
    const store = join(site.directory, 'disk/store');
    const mount = ['mount', site.mountpoint, '--store', store];
    await site.sh('mkdir disk; mount -t tmpfs -o size=80m none disk');
    await site.must(...mount, '--log-level', 'debug');
    await site.sh(`mkdir $MNT/d; touch $MNT/f; cat /dev/zero > $DIR/disk/filling 2> /dev/null || true`);
    // Lines of the log do not fit any more.
    await site.sh(`for i in $(seq 100); do mkdir $MNT/d/$i 2> /dev/null || true; done`);
    const pid = Number(/daemon-(\d+)/.exec(readdirSync(store).join())![1]);
    process.kill(pid, 'SIGTERM');
    while (existsSync(`/proc/${pid}`)) await sleep(10);
    await site.sh('rm $DIR/disk/filling');
    await site.must(...mount);
    expect(await site.sh('ls $MNT')).toBe('d\nf');
    await site.umount();
  });
});

describe('health', () => {
  it('says at once that writes to the journal fail', async () => {
    const site = new Site();
    await site.mount('--log-file', '/dev/null');
    await site.sh('touch $MNT/f');
    // From now on each write to a file fails, as on a disk that gives EIO.
    await site.sh(`prlimit --pid ${site.daemon()} --fsize=0
      n=0; while mkdir $MNT/d$n 2> /dev/null; do n=$((n + 1)); done`);
    const { reasons } = JSON.parse(
      (await site.spinney('health', '--store', site.store, '--json')).out,
    ) as HealthReport;
    expect(reasons.join('\n')).toMatch(/^every change is refused: Cannot use the journal: .*EFBIG/m);
    expect(reasons.join('\n')).toMatch(/^MKDIR is refused with EIO: \d+ since/m);
    const stats = await site.stats();
    expect(stats.mount.errors).toBeGreaterThan(0);
    expect(stats.mount.errorsByName.EIO).toBe(stats.mount.errors);
    expect(await site.sh('ls $MNT')).toContain('f');
    await site.umount();
    await site.mount();
    expect(await site.sh('ls $MNT')).toContain('f');
    expect(await site.spinney('health', '--store', site.store)).toMatchObject({ code: 0 });
  });
});

describe('an output that cannot be written', () => {
  it('fails the command, with a message', async () => {
    const site = new Site();
    await site.mount();
    const { code, err } = await site.attempt(`${SPINNEY} stats --store $STORE > /dev/full`);
    expect([code, err]).toEqual([1, 'spinney: Cannot write to the standard output: the disk is full\n']);
    expect((await site.attempt(`${SPINNEY} --help > /dev/full`)).code).toBe(1);
    expect((await site.attempt(`${SPINNEY} frobnicate 2> /dev/full`)).code).toBe(2);
  });

  it('is no failure where its reader had enough', async () => {
    const site = new Site();
    await site.mount();
    const { code, err } = await site.attempt(
      `${SPINNEY} stats --store $STORE --json > >(exec 0<&-; exit 0); sleep 0`,
    );
    expect([code, err]).toEqual([0, '']);
    expect(await site.sh(`${SPINNEY} stats --store $STORE --json | head -n 1`)).toBe('{');
  });
});
