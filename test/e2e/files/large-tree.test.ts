/** A tree several times larger than the cache. scripts/soak-million does the same with a million files. */
import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { PATIENTLY } from '../../support/until.js';
import { Site } from '../site.js';

const MIB = 1024 * 1024;
const CACHE_MIB = 8;
/** What the runtime, its threads and their heaps take beside the cache and the table of nodes. */
const CONSTANT_BYTES = 300 * MIB;

function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line![1]) * 1024;
}

it('a tree larger than the cache is served from bounded memory', async () => {
  const site = new Site();
  await site.mount('--cache-size', String(CACHE_MIB));
  await site.sh(
    `cd $MNT; perl -e '
      for my $i (0 .. 39_999) {
        my $d = sprintf "d%02d", $i / 1000;
        mkdir $d if $i % 1000 == 0;
        open(F, ">", "$d/file-$i") or die $!;
      }
      for my $i (0 .. 39_999) {
        printf "# file: d%02d/file-%d\\nuser.value=\\"%s\\"\\n\\n", $i / 1000, $i, $i x 100
      }' | setfattr --restore=-`,
    100,
  );
  const check = async () => {
    expect(await site.sh('find $MNT -type f | wc -l')).toBe('40000');
    expect(
      await site.sh(`cd $MNT; getfattr --absolute-names -R -n user.value d07 d39 2> /dev/null | perl -ne '
        $i = $1 if m{file-(\\d+)$}; $n++ if /^user.value="(.*)"$/ && $1 eq $i x 100; END { print $n }' || true`),
    ).toBe('2000');
    const { tree, mount, process } = await site.stats();
    expect(tree.totalSpaceUsed).toBeGreaterThan(3 * CACHE_MIB * MIB);
    expect(tree.cacheBytes).toBe(CACHE_MIB * MIB);
    expect(tree.averageFill).toBeGreaterThan(0.5);
    expect(residentBytes(process.pid)).toBeLessThan(tree.cacheBytes + mount.nodeTableBytes + CONSTANT_BYTES);
  };
  await check();
  await site.sh('mv $MNT/d07 $MNT/moved; mv $MNT/moved $MNT/d07');
  await site.kill();
  await site.mount('--cache-size', String(CACHE_MIB));
  await check();
  await site.sh('rm -r $MNT/*');
  // What the removed files left is reclaimed once their removal is durable: the root and three facts of the store stay.
  await vi.waitFor(async () => expect((await site.stats()).tree.keyCount).toBe(4), PATIENTLY);
  await site.must('compact', '--store', site.store);
  const { blobCount, keyCount } = (await site.stats()).tree;
  expect({ blobCount, keyCount }).toEqual({ blobCount: 1, keyCount: 4 });
  await site.umount();
  expect(site.logged('error')).toEqual([]);
});
