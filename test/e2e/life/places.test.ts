/** Where a daemon has its log, its socket and its record, and how those who ask for it find them. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Site } from '../site.js';

const SPINNEY = 'node $PROGRAM/dist/daemon/cli.js';

/** A site with a store that has a file, on a filesystem that is read-only from now on. */
async function readOnlySite(): Promise<Site> {
  const site = new Site();
  await site.mount();
  await site.sh('echo text > $MNT/f');
  await site.umount();
  await site.sh('rm $STORE/spinney.log; mount --bind $STORE $STORE; mount -o remount,bind,ro $STORE');
  onTestFinished(async () => {
    await site.spinney('umount', site.mountpoint, '--force');
    // Where a daemon of root has its files; nothing else takes them away before the machine ends.
    const name = createHash('sha256').update(site.store).digest('hex').slice(0, 16);
    rmSync(join('/run/spinney', name), { recursive: true, force: true });
  });
  return site;
}

describe('a store on a read-only filesystem', () => {
  it('is served read-only, and its daemon found, with no more options', async () => {
    const site = await readOnlySite();
    const line = await site.refusal('mount', site.mountpoint, '--store', site.store);
    expect(line).toBe(
      `spinney: Cannot use the store ${site.store}: its filesystem is read-only; mount it with --read-only`,
    );
    const before = readdirSync(site.store);
    const told = await site.mount('--read-only');
    expect(told).toMatch(
      new RegExp(
        `^mounted ${site.store} at ${site.mountpoint}\nits log and control socket are in (/\\S+)\n$`,
      ),
    );
    const directory = /are in (\S+)/.exec(told)![1]!;
    expect(readdirSync(directory)).toEqual(
      expect.arrayContaining(['control.sock', 'spinney.log', expect.stringMatching(/^daemon-\d+\.json$/)]),
    );
    expect(await site.sh(`stat -c %a ${directory}; cat $MNT/f`)).toBe('700\ntext');
    for (const place of [['--store', site.store], [site.store], [site.mountpoint]]) {
      expect(await site.must('health', ...place)).toMatch(/^status +ok$/m);
    }
    // There is one daemon for each mount, and this one is awaited.
    await site.umount();
    expect(readdirSync(directory)).toEqual(['spinney.log']);
    expect(readdirSync(site.store)).toEqual(before);
    await site.mount('--read-only');
    await site.must('umount', site.store);
    await site.sh(`rm -r ${directory}`);
  });

  it('is found by an ordinary user, too', async () => {
    const site = new Site();
    await site.letUsersIn();
    writeFileSync(
      join(site.directory, 'script'),
      `set -euo pipefail
      ${SPINNEY} mount $MNT --store $STORE --driver kernel; ${SPINNEY} umount $STORE
      mount --bind $STORE $STORE; mount -o remount,bind,ro $STORE
      ${SPINNEY} mount $MNT --store $STORE --driver kernel --read-only | tail -1
      ${SPINNEY} health $STORE --json; ${SPINNEY} umount $STORE; rm -r $DIR/run/spinney`,
    );
    const run = join(site.directory, 'run');
    const printed = await site.sh(
      `mkdir -m 700 run; chmod 755 $DIR; chown -R 65534:65534 $DIR
       XDG_RUNTIME_DIR=$DIR/run setpriv --reuid=65534 --regid=65534 --clear-groups unshare -Urm bash $DIR/script`,
    );
    expect(printed).toMatch(
      new RegExp(`^mounted .*\nits log and control socket are in ${run}/spinney/[0-9a-f]{16}\n\\{\n.*"ok"`),
    );
  });

  it('takes log and socket where it is told to', async () => {
    const site = await readOnlySite();
    const [log, control] = [join(site.directory, 'log'), join(site.directory, 'sock')];
    expect(await site.mount('--read-only', '--log-file', log, '--control', control)).toBe(
      `mounted ${site.store} at ${site.mountpoint}\n`,
    );
    expect(existsSync(log)).toBe(true);
    expect(await site.must('health', site.store)).toMatch(/^status +ok$/m);
    await site.umount();
    expect(existsSync(control)).toBe(false);
  });
});

describe('a control socket elsewhere', () => {
  it('is found by store and by mountpoint, and taken over from a daemon that was killed', async () => {
    const site = new Site();
    const control = join(site.directory, 'c.sock');
    await site.mount('--control', control);
    expect(existsSync(join(site.store, 'control.sock'))).toBe(false);
    const places = [
      ['--store', site.store],
      ['--store', site.mountpoint],
      ['--control', control],
      [site.store],
      [`${site.mountpoint}/`],
      ['mnt'],
      ['./store'],
    ];
    const verbs = ['stats', 'health', 'checkpoint', 'compact'];
    for (const [index, place] of places.entries()) {
      const { code, err } = await site.spinney(verbs[index % verbs.length]!, ...place);
      expect([code, err], place.join(' ')).toEqual([0, '']);
    }
    await site.kill();
    expect(existsSync(control)).toBe(true);
    const { code, err } = await site.spinney('stats', '--store', site.store);
    expect([code, err]).toEqual([
      1,
      expect.stringContaining('no daemon has made this socket; is the store mounted?') as string,
    ]);
    await site.mount('--control', control);
    expect(await site.must('health', site.store)).toMatch(/^status +ok$/m);
    const second = join(site.directory, 'second');
    await site.sh(`mkdir ${second}`);
    const line = await site.refusal('mount', second, '--store', `${site.store}2`, '--control', control);
    expect(line).toContain(`${control}: another daemon does; give another path with --control`);
    expect(existsSync(`${site.store}2`)).toBe(false);
  });

  it('is looked for without touching a mount that is dead', async () => {
    const site = new Site();
    await site.mount();
    await site.killWithGuard();
    const line = await site.refusal('stats', site.mountpoint);
    expect(line).toContain(
      `${site.store}/control.sock: nobody listens; the daemon has ended without removing it`,
    );
    await site.umount();
  });
});

describe('a mountpoint', () => {
  it('stands for its store where one is checked, and not where one is mounted', async () => {
    const site = new Site();
    await site.mount();
    const { code, err } = await site.spinney('check', site.mountpoint);
    expect([code, err]).toEqual([
      2,
      `spinney: Cannot open the store ${site.store}: it is in use by process ${site.daemon()}\n`,
    ]);
    await site.sh('mkdir other; chmod 755 $MNT');
    for (const place of [site.mountpoint, join(site.directory, 'link')]) {
      await site.sh('ln -sfT mnt link');
      const line = await site.refusal('mount', join(site.directory, 'other'), '--store', place);
      expect(line).toBe(
        `spinney: Cannot use ${site.mountpoint} as a store: it is where the store ${site.store} is mounted`,
      );
    }
    expect(await site.sh('stat -c %a $MNT; ls -A $MNT')).toBe('755');
  });
});

describe('umount', () => {
  it('takes the store for the mountpoint, where it is mounted once', async () => {
    const site = new Site();
    await site.mount();
    const copy = join(site.directory, 'copy');
    await site.sh(`mkdir ${copy}; mount --bind $MNT ${copy}`);
    expect(await site.refusal('umount', site.store)).toBe(
      `spinney: Cannot unmount the store ${site.store}: it is mounted at ${site.mountpoint}, ${copy}; give one of these`,
    );
    await site.sh(`umount ${copy}`);
    await site.must('umount', site.store);
    expect(site.isMounted()).toBe(false);
    expect(await site.refusal('umount', site.store)).toBe(
      `spinney: Cannot unmount ${site.store}: it is not mounted`,
    );
  });
});
