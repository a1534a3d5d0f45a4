/** Debug bundles of real daemons: what is in them, what is not, and that they come of daemons that do not answer. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import type { ThreadReport } from '../../../daemon/control/reports.js';
import { Site } from '../site.js';

/** Words that no text of the program has. */
const SECRETS = ['zebrafalcon', 'quokka', 'wombat', 'narwhal', 'axolotl', 'pangolin', 'okapi'];

/** Files of a bundle by their names. */
async function unpacked(site: Site, bundle: string): Promise<Map<string, string>> {
  const list = await site.sh(
    `mkdir -p unpacked; rm -rf unpacked/*; tar xzf ${bundle} -C unpacked; cd unpacked; find . -type f`,
  );
  return new Map(
    list.split('\n').map((name) => {
      const short = name.replace('./spinney-debug/', '');
      return [short, readFileSync(join(site.directory, 'unpacked', name), 'utf8')];
    }),
  );
}

/** A mount below a secret directory of a store with a secret name, about which the daemon has a lot to complain. */
async function secretive(): Promise<{ site: Site; mountpoint: string; store: string }> {
  const site = new Site();
  const mountpoint = join(site.directory, 'zebrafalcon-mnt');
  const store = join(site.directory, 'wombat store');
  await site.sh(`mkdir "${mountpoint}"`);
  await site.must('mount', mountpoint, '--store', store);
  await site.sh(`cd "${mountpoint}"; mkdir quokka; cd quokka
    echo twenty bytes of text > 'narwhal 2026.txt'; echo x > $'okapi\\xff'; mkdir limited-axolotl
    setfattr -n spinney.quota.files -v 2 limited-axolotl; touch limited-axolotl/one limited-axolotl/two
    touch limited-axolotl/three 2>/dev/null && exit 1
    ino=$(stat -c %i 'narwhal 2026.txt')
    cd "${store}"; for f in $(find content -type f); do test "$(stat -c %s $f)" = 21 && truncate -s 3 $f; done
    cat "${mountpoint}/quokka/narwhal 2026.txt" 2> /dev/null && exit 1; true`);
  await site.must('snapshot', 'create', 'pangolin', mountpoint);
  await site.spinney('snapshot', 'delete', 'pangolin-that-is-not', mountpoint);
  return { site, mountpoint, store };
}

it('has what is known of a mount, and no name of it', async () => {
  const { site, mountpoint } = await secretive();
  const { err, out, code } = await site.spinney('debug', mountpoint, '--out', 'bundle.tar.gz');
  expect({ out, code }).toEqual({ out: '', code: 0 });
  expect(err).toMatch(/^bundle\.tar\.gz has:\n {2}README\.txt|^bundle\.tar\.gz has:\n/);
  expect(err).toContain('No names are in it');
  const bundle = join(site.directory, 'bundle.tar.gz');
  expect(statSync(bundle).mode & 0o777).toBe(0o600);

  const raw = gunzipSync(readFileSync(bundle)).toString('latin1').toLowerCase();
  for (const secret of SECRETS) expect(raw).not.toContain(secret);
  expect(raw).not.toContain(site.directory.toLowerCase());
  expect(raw).not.toContain('2026.txt');

  const files = await unpacked(site, bundle);
  for (const name of [
    'README.txt',
    'system.json',
    'process.txt',
    'threads.txt',
    'mountinfo.txt',
    'store.json',
  ])
    expect(files.has(name), name).toBe(true);
  expect(JSON.parse(files.get('stats.json')!)).toMatchObject({
    store: { path: '<store>' },
    mount: { mountpoint: '<mountpoint>', driver: 'kernel' },
  });
  expect(files.get('mountinfo.txt')).toMatch(/ <mountpoint> .* - fuse\.spinney <store> /);
  expect(files.get('metrics.txt')).toMatch(/^spinney_health\{code="CONTENT_DAMAGED"\} 1$/m);
  const health = JSON.parse(files.get('health.json')!) as { problems: { code: string; reason: string }[] };
  expect(health.problems.map(({ code }) => code)).toContain('CONTENT_DAMAGED');
  // The same file is the same one in health and in the log.
  const hashes = (text: string) => new Set(text.match(/~[\da-f]{8}/g));
  const shared = [...hashes(files.get('health.json')!)].filter((hash) =>
    hashes(files.get('log.jsonl')!).has(hash),
  );
  expect(shared.length).toBeGreaterThan(0);
  expect(files.get('log.jsonl')).toContain('"msg":"mounted"');
  for (const thread of ['main', 'session-worker', 'io-worker', 'maintenance-worker'])
    expect(files.get('stacks.txt')).toMatch(new RegExp(`^== ${thread}.*\n\\d+ % of \\d+ looks`, 'm'));
  expect(files.get('threads.txt')).toMatch(/^wchan: \w+/m);

  // What was searched for is there where it may be: so the search finds it.
  await site.must('debug', mountpoint, '--out', 'named.tar.gz', '--with-names');
  const named = gunzipSync(readFileSync(join(site.directory, 'named.tar.gz'))).toString('latin1');
  for (const secret of ['zebrafalcon', 'wombat', 'narwhal']) expect(named).toContain(secret);
  await site.must('umount', mountpoint, '--force');
});

it('finds out what each thread does while they serve', async () => {
  const site = new Site();
  await site.mount();
  const load = site.start('cd $MNT; while ! test -e $DIR/stop; do mkdir d; rmdir d; done');
  const url = 'http://localhost/v1/debug/threads?ms=700';
  const text = await site.sh(
    `curl -sS --max-time 30 --unix-socket $STORE/control.sock '${url}'; touch $DIR/stop`,
  );
  expect(await load.result).toMatchObject({ code: 0, err: '' });
  const threads = JSON.parse(text) as ThreadReport[];
  expect(threads.map(({ name, missing }) => [name.replace(/ \d+$/, ''), missing])).toEqual(
    expect.arrayContaining([
      ['main', undefined],
      ['session-worker', undefined],
      ['io-worker', undefined],
      ['maintenance-worker', undefined],
    ]),
  );
  const { profile } = threads.find(({ name }) => name.startsWith('session-worker'))!;
  expect(profile!.endTime - profile!.startTime).toBeGreaterThan(300_000);
  const urls = profile!.nodes.map(({ callFrame }) => callFrame.url);
  expect(urls.some((of) => of.includes('/dist/'))).toBe(true);
  // Nobody is profiled any more: the next look finds them all again.
  const again = JSON.parse(
    await site.sh(`curl -sS --max-time 30 --unix-socket $STORE/control.sock '${url.replace('700', '50')}'`),
  ) as ThreadReport[];
  expect(again.filter(({ missing }) => missing !== undefined)).toEqual([]);
  await site.umount();
});

it('replaces nothing unless told to, and writes to the standard output', async () => {
  const site = new Site();
  await site.mount();
  await site.sh('echo mine > there');
  const refused = await site.refusal('debug', site.mountpoint, '--out', 'there');
  expect(refused).toMatch(/^spinney: Cannot write .*there: it is there already; --force replaces it$/);
  expect(await site.sh('cat there')).toBe('mine');
  await site.must('debug', site.mountpoint, '--out', 'there', '--force');
  expect(await site.sh('stat -c %a there; tar tzf there | sed -n 1p')).toBe('600\nspinney-debug/README.txt');
  await site.sh('node $PROGRAM/dist/daemon/cli.js debug $MNT --out - 2> summary | tar tz > list');
  expect(await site.sh('sed -n 1p summary; wc -l < list')).toMatch(/^the bundle has:\n1\d$/);
  const within = await site.spinney('debug', site.mountpoint, '--out', join(site.mountpoint, 'x.tar.gz'));
  expect(within).toMatchObject({ code: 2 });
  expect(within.err).toContain('lies in the mount');
  const nowhere = await site.spinney('debug', site.mountpoint);
  expect(nowhere).toMatchObject({ code: 2 });
  expect(nowhere.err).toContain('--out');
  await site.umount();
});

it('comes of a daemon that hangs, and of one that is dead', async () => {
  const { site, mountpoint, store } = await secretive();
  const [, pid] = /daemon-(\d+)\.json/.exec(await site.sh(`ls "${store}"`))!;
  process.kill(Number(pid), 'SIGSTOP');
  const hung = await site.spinney('debug', mountpoint, '--out', 'hung.tar.gz');
  process.kill(Number(pid), 'SIGCONT');
  expect(hung).toMatchObject({ code: 0 });
  expect(hung.err).toMatch(/What is missing:\n(.*\n)* {2}health\.json +Cannot/);
  const files = await unpacked(site, 'hung.tar.gz');
  expect(files.get('threads.txt')).toMatch(/State: T \(stopped\)/);
  expect(files.get('log.jsonl')).toContain('"msg":"mounted"');
  // Else that one would start it again.
  for (const guard of site.guards()) process.kill(guard, 'SIGKILL');
  process.kill(Number(pid), 'SIGKILL');
  while (
    existsSync(`/proc/${pid}/task`) &&
    !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  );
  const dead = await site.spinney('debug', store, '--out', 'dead.tar.gz');
  expect(dead).toMatchObject({ code: 0 });
  expect(dead.err).toContain('no daemon is running');
  expect((await unpacked(site, 'dead.tar.gz')).get('log.jsonl')).toContain('"msg":"mounted"');
  for (const bundle of ['hung.tar.gz', 'dead.tar.gz']) {
    const raw = gunzipSync(readFileSync(join(site.directory, bundle)))
      .toString('latin1')
      .toLowerCase();
    for (const secret of SECRETS) expect(raw).not.toContain(secret);
  }
});
