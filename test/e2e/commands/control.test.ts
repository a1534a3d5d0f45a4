/** The control socket of a daemon that serves a mount, with curl and with the command line. */
import { describe, expect, it } from 'vitest';
import { Site } from '../site.js';

const CURL = 'curl -sS --max-time 30 --unix-socket $STORE/control.sock';

describe('the control socket', () => {
  it('gives stats as JSON and as Prometheus text, and health', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('cd $MNT; mkdir d; touch d/f; setfattr -n user.k -v v d/f; ls -l d > /dev/null');
    // The kernel tells that a file was closed some time after the call has returned.
    while ((await site.stats()).mount.openFiles > 0);
    const stats = JSON.parse(await site.sh(`${CURL} http://localhost/v1/stats`));
    expect(stats).toMatchObject({
      store: { path: site.store },
      mount: { mountpoint: site.mountpoint, driver: 'kernel', errors: 0, openFiles: 0 },
      process: { pid: site.daemon() },
    });
    expect(stats.tree.journal.appends).toBeGreaterThan(3);
    expect(stats.mount.operations.mkdir).toBe(1);
    expect(stats.mount.nodes).toBe(3);

    const metrics = await site.sh(`${CURL} http://localhost/metrics`);
    for (const line of metrics.split('\n')) {
      expect(line).toMatch(
        /^(# (HELP|TYPE) (spinney|process)_\w+ .+|(spinney|process)_\w+(\{[^}]*\})? -?[0-9.e+-]+|)$/,
      );
    }
    expect(metrics).toMatch(/^spinney_healthy 1$/m);
    expect(metrics).toMatch(/^spinney_nodes 3$/m);

    expect(await site.sh(`${CURL} http://localhost/v1/health`)).toBe('{"status":"ok","reasons":[]}');
    expect(await site.must('health', '--store', site.store)).toMatch(/^status +ok$/m);
    expect(await site.must('stats', '--store', site.store)).toContain(site.mountpoint);
    expect(await site.sh(`stat -c '%a' $STORE $STORE/control.sock`)).toBe('700\n600');
    await site.umount();
    expect(await site.refusal('stats', '--store', site.store)).toContain('is the store mounted?');
  });

  it('writes a checkpoint when told to', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('mkdir $MNT/d');
    const before = await site.stats();
    expect(before.tree.bmDirtyCount).toBeGreaterThan(0);
    const report = JSON.parse(await site.sh(`${CURL} -X POST http://localhost/v1/checkpoint`));
    expect(report.checkpoint).toMatchObject({ failures: 0, lastLsn: before.tree.lastLsn });
    expect((await site.stats()).tree).toMatchObject({ bmDirtyCount: 0, bmPendingDeleteCount: 0 });
    expect(await site.must('checkpoint', '--store', site.store)).toMatch(/lastLsn/);
  });

  it('compacts: a tree that was mostly deleted takes less space', async () => {
    const site = new Site();
    await site.mount();
    await site.sh(`cd $MNT; perl -e '
      for my $d (1 .. 20) {
        mkdir "d$d"; for my $f (1 .. 500) { open(F, ">", "d$d/file-with-a-long-name-$f") or die $! }
      }
      for my $d (1 .. 20) { for my $f (1 .. 500) {
        printf "# file: d%d/file-with-a-long-name-%d\\nuser.value=\\"%s\\"\\n\\n", $d, $f, "v" x 500
      } }' | setfattr --restore=-`);
    await site.must('checkpoint', '--store', site.store);
    const used = `stat -c %b $STORE/blobs.dat`;
    const full = { tree: (await site.stats()).tree, disk: Number(await site.sh(used)) };
    expect(full.tree.blobCount).toBeGreaterThan(15);
    await site.sh(`cd $MNT; find . -type f -name '*[1-9]' -delete; rm -r d1?`);
    // What is left of a removed file goes once its removal is durable: then there are two keys for each of 500.
    while ((await site.stats()).tree.keyCount > 1_100);
    await site.must('compact', '--store', site.store);
    await site.must('checkpoint', '--store', site.store);
    const small = { tree: (await site.stats()).tree, disk: Number(await site.sh(used)) };
    expect(small.tree.blobCount).toBeLessThan(full.tree.blobCount / 4);
    expect(small.disk).toBeLessThan(full.disk / 2);
    expect(
      await site.sh(
        'find $MNT -type f | wc -l; find $MNT -type f | xargs getfattr -d --absolute-names | grep -c ^user',
      ),
    ).toBe('500\n500');
    await site.kill();
    await site.mount();
    expect(await site.sh('find $MNT -type f | wc -l')).toBe('500');
    expect(site.logged('error')).toEqual([]);
  });
});
