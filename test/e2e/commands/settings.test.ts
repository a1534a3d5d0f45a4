/** Settings that change while a store is mounted, by what they do; and those that cannot. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { SettingsChange } from '../../../daemon/control/reports.js';
import { Site } from '../site.js';

const CURL = 'curl -sS --max-time 30 --unix-socket $STORE/control.sock';

async function set(site: Site, ...settings: string[]): Promise<SettingsChange> {
  return JSON.parse(await site.must('set', site.mountpoint, ...settings, '--json')) as SettingsChange;
}

async function settings(site: Site): Promise<Record<string, string>> {
  const { mounts } = JSON.parse(await site.must('status', site.mountpoint, '--json'));
  return mounts[0].settings;
}

/** The daemon's record in the store. */
function record(site: Site): { settings?: Record<string, string> } {
  const name = readdirSync(site.store).find((entry) => /^daemon-\d+\.json$/.test(entry))!;
  return JSON.parse(readFileSync(join(site.store, name), 'utf8'));
}

describe('spinney set', () => {
  it('has each change survive a power cut from then on at durability=synced, and what was there before', async () => {
    const site = new Site();
    await site.mount('--cache-size', '16');
    const journal = async () => (await site.stats()).tree.journal;
    const made = async (name: string) => {
      const before = await journal();
      // By one process, so that they take less time than the journal leaves between its own syncs.
      await site.sh(`mkdir $MNT/${name}{1..10}`);
      const after = await journal();
      return { records: after.appends - before.appends, syncs: after.syncs - before.syncs };
    };
    const lazily = await made('a');
    expect(lazily.syncs).toBeLessThan(10);
    expect(await set(site, 'durability=synced')).toMatchObject({
      changed: { durability: { from: 'written', to: 'synced' } },
    });
    const { records, syncs } = await made('b');
    expect(syncs).toBeGreaterThanOrEqual(10);
    expect(records).toBeGreaterThanOrEqual(10);
    expect(await settings(site)).toMatchObject({ durability: 'synced' });
    await set(site, 'durability=buffered');
    expect((await made('c')).syncs).toBeLessThan(10);
  });

  it('has the kernel ask again by the new time-outs, for names that it learns of from then on', async () => {
    const site = new Site();
    await site.mount('--cache-size', '16');
    await site.sh('mkdir $MNT/d; touch $MNT/d/kept $MNT/d/asked');
    const lookups = async (script: string) => {
      const before = (await site.stats()).mount.operations.lookup ?? 0;
      await site.sh(script);
      return ((await site.stats()).mount.operations.lookup ?? 0) - before;
    };
    const often = (name: string) =>
      `for i in 1 2 3 4 5 6 7 8 9 10; do stat $MNT/d/${name} > /dev/null 2>&1 || :; done`;
    expect(await lookups(often('kept'))).toBeLessThan(3);
    const { notes } = await set(site, 'entry-timeout=0', 'attr-timeout=0', 'negative-timeout=0');
    expect(notes).toHaveLength(3);
    await site.sh('echo 2 > /proc/sys/vm/drop_caches');
    expect(await lookups(often('asked'))).toBeGreaterThanOrEqual(10);
    expect(await lookups(often('absent'))).toBeGreaterThanOrEqual(10);
    await set(site, 'entry-timeout=3600', 'negative-timeout=3600');
    expect(await lookups(often('asked'))).toBeLessThan(5);
    expect(await lookups(often('absent'))).toBeLessThan(5);
    expect(await settings(site)).toMatchObject({ 'entry-timeout': '3600', 'attr-timeout': '0' });
  });

  it('changes the log level and the schedule of snapshots', async () => {
    const site = new Site();
    await site.mount('--cache-size', '16');
    await site.stats();
    expect(site.logged('trace').some((line) => line.includes('/v1/stats'))).toBe(false);
    await set(site, 'log-level=debug', 'snapshots=hourly:2');
    await site.stats();
    expect(site.logged('trace').some((line) => line.includes('/v1/stats'))).toBe(true);
    while (!(await site.must('snapshot', 'list', site.mountpoint)).startsWith('hourly-'));
    await set(site, 'log-level=error', 'snapshots=none');
    const lines = site.logged('trace').length;
    await site.stats();
    expect(site.logged('trace')).toHaveLength(lines);
    expect(site.logged('trace').filter((line) => line.includes('settings changed'))).toHaveLength(2);
  });

  it('changes all or nothing, says why something cannot change, and keeps what was changed', async () => {
    const site = new Site();
    await site.mount('--cache-size', '16');
    const before = await settings(site);
    const { code, err } = await site.spinney(
      'set',
      site.mountpoint,
      'scrub=7',
      'cache-size=32',
      'log-level=debug',
    );
    expect([code, err]).toEqual([
      2,
      expect.stringContaining('cache-size is 16, and cannot change while mounted'),
    ]);
    expect(await settings(site)).toEqual(before);
    expect(record(site).settings).toEqual({});
    const refused = `${CURL} -X PATCH -d '{"scrub": 7, "entry-timeout": "soon"}' -w ' %{http_code}' http://localhost/v1/settings`;
    expect(await site.sh(refused)).toMatch(
      /entry-timeout is \\"soon\\", but takes a number.*ERR_INVALID|ERR_INVALID.*400$/,
    );
    expect(await settings(site)).toEqual(before);
    const done = JSON.parse(await site.sh(`${CURL} -X PATCH -d '{"scrub": 7}' http://localhost/v1/settings`));
    expect(done.changed).toEqual({ scrub: { from: '0', to: '7' } });
    expect(JSON.parse(await site.sh(`${CURL} http://localhost/v1/settings`))).toEqual({
      settings: { ...before, scrub: '7' },
      changeable: expect.arrayContaining(['scrub', 'durability', 'log-level']),
    });
    expect(record(site).settings).toEqual({ scrub: '7' });
    expect(await site.must('set', site.mountpoint)).toMatch(/^scrub +7$/m);
    // They are the mount's: another one is as it is asked for.
    await site.umount();
    await site.mount('--cache-size', '16');
    expect(await settings(site)).toEqual(before);
  });

  it('works with fuse-native, whose time-outs are libfuse’s', async () => {
    const site = new Site();
    await site.mount('--driver', 'fuse-native', '--cache-size', '16');
    const { code, err } = await site.spinney('set', site.mountpoint, 'scrub=7', 'entry-timeout=1');
    expect([code, err]).toEqual([2, expect.stringContaining('tells libfuse once, when it mounts')]);
    await set(site, 'durability=synced', 'scrub=3');
    const before = (await site.stats()).tree.journal.syncs;
    await site.sh('for i in 1 2 3 4 5; do mkdir $MNT/d$i; done');
    expect((await site.stats()).tree.journal.syncs - before).toBeGreaterThanOrEqual(5);
    expect(await settings(site)).toMatchObject({ driver: 'fuse-native', durability: 'synced', scrub: '3' });
  });
});
