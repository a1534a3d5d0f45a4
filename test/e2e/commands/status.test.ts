/** `spinney status` over real mounts: well, dead, hung, of the other driver, of another namespace; and who holds what. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { GIVE_UP_COPIES, type Result, Site } from '../site.js';

interface Told {
  mounts: {
    mountpoint: string;
    state: string;
    reasons: string[];
    advice?: string;
    clients: number | { pid: number; program: string; uid: number; holds: string; path: string }[];
    [field: string]: unknown;
  }[];
  notes: string[];
}

async function told(site: Site, ...args: string[]): Promise<{ code: number; status: Told }> {
  const { code, out, err } = await site.spinney('status', '--json', ...args);
  expect(err).toBe('');
  return { code, status: JSON.parse(out) as Told };
}

/** What is told of the site's own mount, whatever others the machine has. */
function of(site: Site, { status }: { status: Told }): Told['mounts'][number] | undefined {
  return status.mounts.find(({ mountpoint }) => mountpoint === site.mountpoint);
}

/** Starts a script that says "ready" and goes on; returns its pid then. */
async function ready(site: Site, script: string): Promise<number> {
  const { child } = site.start(`${script}\necho ready $$; exec sleep 300`);
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', (piece) => {
      text += piece;
      const [, pid] = /^ready (\d+)\n/m.exec(text) ?? [];
      if (pid !== undefined) resolve(Number(pid));
    });
    child.once('close', () => reject(new Error(`A script ended early: ${script}`)));
  });
}

/** A stopped process cannot be unmounted by anybody. */
function letGoOn(pid: number): void {
  try {
    process.kill(pid, 'SIGCONT');
  } catch {
    // It has ended.
  }
}

describe('spinney status', () => {
  it('lists all mounts: of both drivers, a dead one and a hung one, and never waits for them', async () => {
    const [well, foreign, dead, hung] = [new Site(), new Site(), new Site(), new Site()];
    await well.mount();
    await foreign.mount('--driver', 'fuse-native', '--cache-size', '16');
    await dead.mount('--cache-size', '16');
    await hung.mount('--cache-size', '16');
    const holder = await ready(hung, 'cd $MNT');
    const [deadPid, hungPid] = [dead.daemon(), hung.daemon()];
    await dead.killWithGuard();
    process.kill(hungPid, 'SIGSTOP');
    onTestFinished(() => letGoOn(hungPid));
    const list = await told(well);
    expect(list.code).toBe(1);
    expect(of(well, list)).toMatchObject({
      store: well.store,
      state: 'ok',
      reasons: [],
      driver: 'kernel',
      version: expect.stringMatching(/^\d+\.\d+/),
      pid: well.daemon(),
      clients: 0,
    });
    expect(Date.parse(of(well, list)!.since as string)).toBeLessThanOrEqual(Date.now());
    expect(of(foreign, list)).toMatchObject({ state: 'ok', driver: 'fuse-native', store: foreign.store });
    expect(of(dead, list)).toMatchObject({
      state: 'dead',
      store: dead.store,
      reasons: ['its daemon has died'],
    });
    expect(of(dead, list)?.advice).toContain(`spinney umount ${dead.mountpoint} takes it away`);
    expect(of(dead, list)?.pid).not.toBe(deadPid);
    expect(of(hung, list)).toMatchObject({
      state: 'hung',
      driver: 'kernel',
      pid: hungPid,
      clients: 1,
      reasons: [`its daemon (pid ${hungPid}) is stopped`],
      advice: `kill -CONT ${hungPid} lets it go on`,
    });

    const lines = (await well.spinney('status')).out.split('\n');
    expect(lines[0]).toMatch(/^MOUNTPOINT +STORE +VERSION +DRIVER +SINCE +HEALTH +CLIENTS$/);
    expect(lines.find((line) => line.startsWith(dead.mountpoint))).toMatch(/ +- +- +- +dead +0$/);
    expect(lines).toContainEqual(
      expect.stringMatching(`^${dead.mountpoint}: its daemon has died; spinney umount`),
    );

    // One that is well, alone: others do not make it ill.
    const alone = await told(well, well.mountpoint);
    expect([alone.code, alone.status.mounts.map(({ mountpoint }) => mountpoint)]).toEqual([
      0,
      [well.mountpoint],
    ]);

    // One of them, in full; it need not answer for that.
    const one = await told(hung, hung.mountpoint);
    expect(one.status.mounts).toHaveLength(1);
    expect(of(hung, one)?.clients).toEqual([
      { pid: holder, program: 'sleep', uid: process.geteuid!(), holds: 'cwd', path: hung.mountpoint },
    ]);
    process.kill(hungPid, 'SIGCONT');
    expect((await told(hung, `${hung.mountpoint}/anything/in/it`)).code).toBe(0);
    expect(await dead.spinney('status', dead.mountpoint)).toMatchObject({ code: 1, err: '' });
    await dead.umount();
    expect(await dead.refusal('status', dead.mountpoint)).toContain('it is not mounted');
    // What it advises for the dead one, in place of umount.
    await hung.killWithGuard();
    await hung.mount();
    expect(of(hung, await told(hung, hung.store))).toMatchObject({ state: 'ok' });
  });

  it('does not wait for a store whose disk hangs', async () => {
    const [disk, site] = [new Site(), new Site()];
    await disk.mount('--cache-size', '16');
    const pid = disk.daemon();
    const store = join(disk.mountpoint, 'store');
    await site.must('mount', site.mountpoint, '--store', store, '--cache-size', '16');
    onTestFinished(async () => {
      letGoOn(pid);
      await site.umount('--force');
    });
    process.kill(pid, 'SIGSTOP');
    const list = await told(disk);
    expect(list.code).toBe(1);
    expect(of(disk, list)).toMatchObject({ state: 'hung' });
    expect(of(site, list)).toMatchObject({
      state: 'unknown',
      reasons: [`its store ${store} is on a disk that does not answer`],
    });
    letGoOn(pid);
    expect(of(site, await told(site, site.mountpoint))).toMatchObject({ state: 'ok', store });
  });

  it('tells settings and clients of one: files, directories and mappings, whatever their names', async () => {
    const site = new Site();
    await site.mount(
      '--durability',
      'synced',
      '--snapshots',
      'daily:3',
      '--cache-size',
      '32',
      '-o',
      'noexec,suid',
    );
    const name = 'a file\n(deleted)';
    const opener = await ready(
      site,
      `mkdir $MNT/dir; exec 7> $MNT/$'a file\\n(deleted)' 8> $MNT/gone; rm $MNT/gone`,
    );
    const sitting = await ready(site, 'cd $MNT/dir');
    const mapper = await ready(
      site,
      `perl -e 'open F, "+>", "$ENV{MNT}/mapped"; truncate F, 4096' 
       python3 -c '
import mmap, os, sys
f = open(os.environ["MNT"] + "/mapped", "r+b"); m = mmap.mmap(f.fileno(), 4096); f.close()
print("ready", os.getpid(), flush=True)
import time; time.sleep(300)' & wait`,
    );
    const { status } = await told(site, site.mountpoint);
    const [mount] = status.mounts;
    expect(mount?.settings).toMatchObject({
      durability: 'synced',
      snapshots: 'daily:3',
      'cache-size': '32',
      o: 'noexec,suid',
      'log-level': 'info',
      'read-only': 'false',
      control: `${site.store}/control.sock`,
      'log-file': `${site.store}/spinney.log`,
    });
    const uid = process.geteuid!();
    const clients = mount?.clients as { pid: number; holds: string; path: string; uid: number }[];
    const held = clients
      .filter(({ pid }) => [opener, sitting, mapper].includes(pid))
      .map(({ pid, holds, path }) => ({ pid, holds, path }));
    expect(held).toContainEqual({ pid: opener, holds: 'open', path: `${site.mountpoint}/${name}` });
    expect(held).toContainEqual({ pid: opener, holds: 'open', path: `${site.mountpoint}/gone (deleted)` });
    expect(held).toContainEqual({ pid: sitting, holds: 'cwd', path: `${site.mountpoint}/dir` });
    expect(held).toContainEqual({ pid: mapper, holds: 'mapped', path: `${site.mountpoint}/mapped` });
    // Python keeps a descriptor beside the mapping.
    expect(held).toContainEqual({ pid: mapper, holds: 'open', path: `${site.mountpoint}/mapped` });
    expect(held).toHaveLength(5);
    expect(clients).toEqual(held.map((one) => expect.objectContaining({ ...one, uid })));
    expect(of(site, await told(site))?.clients).toBe(3);
    const { out } = await site.spinney('status', site.mountpoint);
    expect(out).toMatch(/^PID +PROGRAM +UID +HOLDS +PATH$/m);
    expect(out).toContain('a file\\n(deleted)');
    expect(out).toContain('The kernel does not tell of what it keeps open itself');
  });

  it.runIf(process.geteuid?.() === 0)('sees mounts of other namespaces, and says so', async () => {
    const site = new Site();
    writeFileSync(
      join(site.directory, 'inside'),
      `${GIVE_UP_COPIES}
      mkdir $DIR/hidden; mount -t tmpfs tmpfs $DIR/hidden
      node $PROGRAM/dist/daemon/cli.js mount $MNT --store $DIR/hidden/store --cache-size 16 > /dev/null
      cd $MNT; echo ready $$; exec sleep 300`,
    );
    const inside = await ready(site, 'unshare --mount bash -eu $DIR/inside & wait');
    const mount = of(site, await told(site));
    const pid = mount?.pid as number;
    onTestFinished(() => void (pid && process.kill(pid, 'SIGKILL')));
    // Its store, too, is only there.
    const store = join(site.directory, 'hidden/store');
    expect(mount).toMatchObject({ state: 'ok', driver: 'kernel', store, clients: 1 });
    expect(mount?.seenBy).toEqual(expect.any(Number));
    const { out } = await site.spinney('status', site.mountpoint);
    expect(out).toMatch(new RegExp(`^${inside} +sleep +0 +cwd`, 'm'));
    expect(out).toMatch(/^seen by process +\d+$/m);
  });

  it.runIf(process.geteuid?.() === 0)('says what an ordinary user is not told', async () => {
    const site = new Site();
    await site.letUsersIn();
    await site.mount('--allow-other', '--cache-size', '16');
    await site.sh('chmod 755 $DIR');
    await ready(site, 'cd $MNT');
    const asUser = (...args: string[]): Promise<Result> =>
      site.attempt(
        `setpriv --reuid 65534 --regid 65534 --clear-groups node $PROGRAM/dist/daemon/cli.js status ${args.join(' ')}`,
      );
    const { code, out } = await asUser('--json', site.mountpoint);
    const [mount] = (JSON.parse(out) as Told).mounts;
    expect(code).toBe(0);
    expect(mount).toMatchObject({
      state: 'unknown',
      reasons: ['only root and the owner of its store may ask'],
      clients: [],
    });
    expect((await asUser()).out).toMatch(
      / hold is not told: they are not for this user to look into, but for root$/m,
    );
  });
});
