/** A daemon that dies, and one that makes room for another: what users of the mount see, and who is there afterwards. */
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { askDaemon } from '../../../daemon/control/client.js';
import { ended, Site } from '../site.js';

const LOOK_AGAIN_MS = 5;

/** Kills the daemon, and waits for the next one. */
async function killed(site: Site): Promise<void> {
  const pid = site.daemon();
  process.kill(pid, 'SIGKILL');
  // Waits for whoever serves.
  await site.sh('ls $MNT/');
  await other(site, pid);
}

/** Waits until the daemon's record is another one's. */
async function other(site: Site, pid: number): Promise<void> {
  for (;;) {
    await ended(pid);
    const { code, out } = await site.spinney('stats', '--store', site.store, '--json');
    if (code === 0 && (JSON.parse(out) as { process: { pid: number } }).process.pid !== pid) return;
    await sleep(LOOK_AGAIN_MS);
  }
}

const lines = (file: string) => readFileSync(file, 'utf8');

describe('a daemon that is killed', () => {
  it('is followed by one that goes on, as it was mounted', async () => {
    const site = new Site();
    await site.sh(`umask 027; ulimit -c 0; export FLAVOUR=plain
      exec node $PROGRAM/dist/daemon/cli.js mount $MNT --store $STORE --cache-size 64 --durability synced --scrub 3 --attr-timeout 0`);
    const facts = (pid: number) => ({
      words: lines(`/proc/${pid}/cmdline`),
      directory: readlinkSync(`/proc/${pid}/cwd`),
      limits: lines(`/proc/${pid}/limits`),
      flavour: /FLAVOUR=\w+/.exec(lines(`/proc/${pid}/environ`))?.[0],
      rights: lines(`/proc/${pid}/status`).match(/^(Umask|Uid|Gid|Groups|Cap\w+|NoNewPrivs):.*$/gm),
    });
    const before = facts(site.daemon());
    await site.sh('echo text > $MNT/f');
    await site.must('set', site.mountpoint, 'durability=buffered', 'attr-timeout=7');
    const settings = await site.must('set', site.mountpoint, '--json');
    expect(settings).toContain('buffered');
    await killed(site);
    expect(await site.must('set', site.mountpoint, '--json')).toBe(settings);
    expect(facts(site.daemon())).toEqual(before);
    const { restarts } = await site.stats();
    expect(restarts).toMatchObject({ count: 1, last: { cause: 'it was killed or crashed' } });
    await killed(site);
    expect((await site.stats()).restarts).toMatchObject({ count: 2, last: { cause: 'signal 9' } });
    const health = JSON.parse(await site.must('health', '--store', site.store, '--json')) as {
      restarts: unknown;
    };
    expect(health.restarts).toMatchObject({ count: 2, last: { pauseSeconds: expect.any(Number) } });
    expect(await site.sh('curl -s --unix-socket $STORE/control.sock http://localhost/metrics')).toMatch(
      /^spinney_restarts_total 2$[\s\S]*^spinney_restart_pause_seconds [\d.]+$/m,
    );
    expect(site.logged('info').filter((line) => line.includes('went on with the mount'))).toHaveLength(2);
    expect(await site.sh('cat $MNT/f')).toBe('text');
    expect(site.guards()).toHaveLength(1);
    await site.umount();
    for (const guard of site.guards()) await ended(guard);
    expect(site.isMounted()).toBe(false);
    expect(site.logged('warn')).toEqual([]);
  });

  it('has another guard where that was killed, and goes on all the same', async () => {
    const site = new Site();
    await site.mount();
    for (const round of ['the first', 'after a restart']) {
      const [guard] = site.guards();
      process.kill(guard!, 'SIGKILL');
      await ended(guard!);
      while (site.guards().length === 0) await sleep(LOOK_AGAIN_MS);
      await site.sh(`echo '${round}' > $MNT/f`);
      await killed(site);
      expect(await site.sh('cat $MNT/f')).toBe(round);
    }
    // Signals that are meant for the daemon do not end the guard.
    for (const guard of site.guards()) process.kill(guard, 'SIGTERM');
    await site.signal('SIGTERM');
    for (const guard of site.guards()) await ended(guard);
    expect(site.isMounted()).toBe(false);
  });

  it('is given up at the fifth death within a minute, and the log says why', async () => {
    const site = new Site();
    await site.mount();
    const guards = site.guards();
    // As soon as each is there: on a busy machine a minute is little.
    let deaths = 0;
    while (guards.some((guard) => site.guards().includes(guard))) {
      const [pid] = site.daemons();
      if (pid === undefined) await sleep(LOOK_AGAIN_MS);
      else {
        process.kill(pid, 'SIGKILL');
        await ended(pid);
        deaths++;
      }
    }
    expect(deaths).toBeGreaterThanOrEqual(5);
    // It has become the program that unmounts.
    for (const guard of guards) await ended(guard);
    expect(site.isMounted()).toBe(false);
    const [told] = site.logged('error');
    // Where one dies before it serves it did not come up.
    expect(told).toMatch(
      /the daemon (died 5 times within 60 s|did not come up 5 times in a row); last: signal 9. The mount is taken away/,
    );
    await site.mount();
    await site.umount();
  });

  it('is given up where the next cannot open the store', async () => {
    const site = new Site();
    await site.mount();
    const guards = site.guards();
    await site.sh('echo x > $MNT/f; sync $MNT/f');
    writeFileSync(join(site.store, 'manifest'), 'damaged');
    process.kill(site.daemon(), 'SIGKILL');
    for (const guard of guards) await ended(guard);
    expect(site.isMounted()).toBe(false);
    expect(readFileSync(join(site.store, 'spinney.log'), 'utf8')).toMatch(
      /Cannot open [\s\S]*the daemon (did not come up|died) 5 times/,
    );
  });

  it('leaves a dead mount where its guard goes with it, which the next mount replaces', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('echo text > $MNT/f');
    await killed(site);
    await site.killWithGuard();
    expect(site.isMounted()).toBe(true);
    expect(await site.mount()).toMatch(/^replaced the stale mount/);
    expect(await site.sh('cat $MNT/f')).toBe('text');
  });

  it('is waited for by umount and mount, which find nobody for a moment', async () => {
    const site = new Site();
    await site.mount();
    process.kill(site.daemon(), 'SIGKILL');
    expect(await site.refusal('mount', site.mountpoint, '--store', site.store)).toContain(
      'is mounted there already',
    );
    process.kill(site.daemon(), 'SIGKILL');
    await site.umount();
    expect(site.isMounted()).toBe(false);
    await site.mount();
    process.kill(site.daemon(), 'SIGKILL');
    await site.umount('--force');
    expect(site.isMounted()).toBe(false);
    expect(site.guards()).toEqual([]);
  });
});

describe('an upgrade', () => {
  it('goes on with other options, and nobody notices', async () => {
    const site = new Site();
    await site.mount('--cache-size', '64');
    const { child, result } = site.start(
      'exec 3<> $MNT/open; flock 3; cd $MNT; echo ready; while [ ! -e stop ]; do echo line >&3; [ -e open ]; done; echo done',
    );
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    const before = site.daemon();
    const [guard] = site.guards();
    expect(
      await site.must('upgrade', site.mountpoint, '--cache-size', '96', '--durability', 'synced'),
    ).toMatch(/^upgraded \S+ with \S+; its users waited for \d+\.\d\d s\n$/);
    expect(site.daemon()).not.toBe(before);
    expect(site.guards()).toEqual([guard]);
    expect(await site.stats()).toMatchObject({
      tree: { cacheBytes: 96 * 1024 * 1024 },
      restarts: { count: 1, last: { cause: 'upgrade' } },
    });
    // The options that were not given are as they were, also after a kill.
    await killed(site);
    expect(lines(`/proc/${site.daemon()}/cmdline`).split('\0')).toEqual(
      expect.arrayContaining(['--cache-size', '96', '--durability', 'synced']),
    );
    expect((await site.attempt('flock -n $MNT/open true')).code).toBe(1);
    await site.sh('touch $MNT/stop');
    expect(await result).toMatchObject({ code: 0, out: 'ready\ndone\n' });
    await site.umount();
    expect(site.logged('warn')).toEqual([]);
  });

  it('that could not serve is refused, and the daemon goes on', async () => {
    const site = new Site();
    await site.mount();
    const before = site.daemon();
    const refused = async (...options: string[]) => {
      const { code, err } = await site.spinney('upgrade', site.mountpoint, ...options);
      expect(code).toBeGreaterThan(0);
      return err;
    };
    expect(await refused('--cache-size', '1')).toContain(
      '--cache-size is "1", but takes a whole number from 8',
    );
    expect(await refused('--durability', 'never')).toContain('--durability is "never"');
    expect(await refused('--log-file', '/nowhere/log')).toContain('its directory /nowhere does not exist');
    expect(await refused('--driver', 'kernel')).toContain('upgrade has no option --driver');
    const session = join(site.store, 'session.state');
    const state = readFileSync(session);
    // The version of the format, as another release would have it.
    const other = Buffer.from(state);
    other.writeUInt32LE(99, 4);
    writeFileSync(session, other);
    expect(await refused()).toMatch(/version/);
    writeFileSync(session, state);
    expect(site.daemon()).toBe(before);
    await site.sh('echo text > $MNT/f');
  });

  it('that does not come up is followed by the program before', async () => {
    const site = new Site();
    await site.mount();
    const before = site.daemon();
    await site.sh('echo text > $MNT/f');
    const socket = join(site.store, 'control.sock');
    await askDaemon(socket, 'POST', '/v1/upgrade', { body: JSON.stringify({ command: ['/bin/false'] }) });
    expect(await site.sh('cat $MNT/f')).toBe('text');
    await other(site, before);
    expect((await site.stats()).restarts).toMatchObject({ last: { cause: 'failed upgrade: exit code 1' } });
    expect(site.logged('error').join()).toContain(
      'the upgrade failed: the new daemon did not come up (exit code 1)',
    );
    await expect(
      askDaemon(socket, 'POST', '/v1/upgrade', { body: JSON.stringify({ command: ['false'] }) }),
    ).rejects.toThrow('there is no program false');
  });

  it('is refused where no other daemon is to go on', async () => {
    const site = new Site();
    await site.mount('--no-restart');
    expect(await site.refusal('upgrade', site.mountpoint)).toContain('the mount was made with --no-restart');
    await site.umount();
    expect(await site.refusal('upgrade', site.mountpoint)).toContain('it is not mounted');
    await site.mount('--read-only');
    expect(await site.refusal('upgrade', site.mountpoint)).toContain('a mount that is only read');
    await site.umount();
    await site.mount('--driver', 'fuse-native');
    expect(await site.refusal('upgrade', site.mountpoint)).toContain(
      'the driver fuse-native cannot give a mount away',
    );
  });
});
