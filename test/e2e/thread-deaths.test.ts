/** Each thread of a daemon dies alone: the mount goes on or ends, nobody hangs, and the store is clean afterwards. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { HealthReport } from '../../daemon/control/reports.js';
import { MemoryObjectStore } from '../../engine/store/object/memory-object-store.js';
import { HttpObjectStore, S3_ENVIRONMENT } from '../support/object/http-object-store.js';
import { Site } from './site.js';

const before = { ...process.env };
beforeAll(() => Object.assign(process.env, S3_ENVIRONMENT));
afterAll(() => {
  for (const name of Object.keys(S3_ENVIRONMENT)) delete process.env[name];
  Object.assign(process.env, before);
});

/** Wants a thread dead, and waits until it is; asks the mount meanwhile, which wakes the session. The stat's answer may be an error. */
const DIE = `die() { : > $DIR/deaths/$1; while test -e $DIR/deaths/$1; do stat -f $MNT > /dev/null 2>&1 || true; sleep 0.02; done; }`;

async function mounted(...options: string[]): Promise<Site> {
  const site = new Site();
  mkdirSync(join(site.directory, 'deaths'));
  await mount(site, ...options);
  return site;
}

function mount(site: Site, ...options: string[]): Promise<string> {
  return site.sh(`export DEATHS=$DIR/deaths NODE_OPTIONS="--require $PROGRAM/test/e2e/thread-deaths/die.cjs"
    exec node $PROGRAM/dist/daemon/cli.js mount $MNT --store $STORE --attr-timeout 0 ${options.join(' ')}`);
}

async function isClean(site: Site): Promise<void> {
  expect(await site.must('check', site.store)).toContain('clean');
}

/** More than a cache of 8 MiB has, so that a compaction reads blobs. */
const FILL = `python3 -c 'if True:
  import os
  for n in range(200):
      open(f"filled{n}", "w").close()
      os.setxattr(f"filled{n}", "user.large", b"x" * 60000)'`;

const codes = async (site: Site): Promise<string[]> => {
  const { out } = await site.spinney('health', site.mountpoint, '--json');
  return (JSON.parse(out) as HealthReport).problems!.map(({ code }) => code);
};

it('the mount goes on without an I/O thread, an admin thread or a session, and refuses changes without the maintenance thread', async () => {
  const site = await mounted();
  const pid = site.daemon();
  await site.sh('echo kept > $MNT/f');

  // The I/O thread: its work is the session's.
  await site.sh(
    `${DIE}; die io-worker; cd $MNT; echo more >> f; sync f; mkdir d; rm f; rmdir d; echo kept > f; sync f`,
  );
  // The admin thread: there is another one for the next work.
  await site.must('checkpoint', site.mountpoint);
  await site.sh(`${DIE}; die admin-worker`);
  await site.must('checkpoint', site.mountpoint);
  expect(site.daemon()).toBe(pid);

  // The session: another daemon goes on.
  await site.sh(
    `${DIE}; exec 9< $MNT/f; die session-worker; cat <&9; test "$(cat $MNT/f)" = kept; mkdir $MNT/on`,
  );
  await site.must('checkpoint', site.mountpoint);
  expect(site.daemon()).not.toBe(pid);

  // The maintenance thread: changes are refused, and what is there can be read.
  await site.sh(`${DIE}; die maintenance-worker; ! mkdir $MNT/off 2> /dev/null; test "$(cat $MNT/f)" = kept`);
  expect(await codes(site)).toContain('JOURNAL_FAILED');
  await site.spinney('umount', site.mountpoint);
  await isClean(site);
});

it('a thread that dies with the lock of the tree leaves it unusable, and nobody waits for it', async () => {
  const site = await mounted('--cache-size', '8');
  await site.sh(`cd $MNT; echo kept > f; ${FILL}; : > $DIR/deaths/admin-worker.reading`);
  expect(await site.refusal('compact', site.mountpoint)).toContain('its thread has ended');
  const { code, err } = await site.attempt('mkdir $MNT/d');
  expect([code, err]).toEqual([1, expect.stringContaining('Input/output error')]);
  expect(await codes(site)).toContain('TREE_UNUSABLE');
  await site.spinney('umount', site.mountpoint);
  expect(site.isMounted()).toBe(false);
  await isClean(site);
  await site.mount();
  await site.must('compact', site.mountpoint);
  expect(await site.sh('cd $MNT; cat f; ls | wc -l')).toBe('kept\n201');
});

it('a mount that is not gone on with ends with its session', async () => {
  const site = await mounted('--no-restart');
  const pid = site.daemon();
  await site.sh(`echo kept > $MNT/f; ${DIE}; die session-worker; tail -f --pid=${pid} /dev/null; ls $MNT`);
  expect(site.isMounted()).toBe(false);
  await isClean(site);
  await site.mount();
  expect(await site.sh('cat $MNT/f')).toBe('kept');
});

it("the mount goes on without the remote's thread, by another daemon", async () => {
  const server = await HttpObjectStore.serve(new MemoryObjectStore(), 'photos');
  onTestFinished(() => server.close());
  const remote = ['--remote', 's3://photos/home', '--remote-endpoint', server.endpoint];
  const site = await mounted(...remote);
  const pid = site.daemon();
  await site.sh(
    `echo kept > $MNT/f; ${DIE}; die remote-worker; tail -f --pid=${pid} /dev/null; cat $MNT/f; mkdir $MNT/on`,
  );
  expect(site.daemon()).not.toBe(pid);
  await site.umount();
  await isClean(site);
});
