/** Contents that were lost, changed from outside, or not on the disk yet; and the space of those that are removed. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Running, Site } from '../site.js';

/** Files that are open and written, and have no names yet. */
const WRITER = `exec python3 -c '
import os, sys, time
held = []
for i in range(30):
    f = open(os.environ["MNT"] + "/f%d" % i, "w")
    f.write("content of %d" % i); f.flush()
    held.append(f)
print("ready", flush=True)
time.sleep(100)'`;

async function ready(running: Running): Promise<void> {
  await new Promise((resolve) => running.child.stdout!.once('data', resolve));
}

/** Those that have names. */
function contentFiles(site: Site): string[] {
  const directory = join(site.store, 'content/0');
  return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}

describe('a content that is not what its record says', () => {
  it.each([
    ['removed', 'rm $FILE', 'its 21 bytes are missing'],
    ['cut', 'truncate -s 5 $FILE', 'of its 21 bytes 5 are there'],
    ['grown', 'echo more >> $FILE', 'its content has 26 bytes, it should have 21'],
  ])('is refused when it was %s, told in log and health, and found by check', async (_how, harm, what) => {
    const site = new Site();
    await site.mount();
    await site.sh('echo twenty bytes of text > $MNT/file; echo whole > $MNT/other; mkdir $MNT/d');
    await site.umount();
    const file = contentFiles(site).find((path) => readFileSync(path, 'latin1').startsWith('twenty'))!;
    await site.sh(harm.replace('$FILE', file));
    const damage = new RegExp(`^damage: /file: ${what} \\(inode \\d+\\)$`, 'm');
    const found = await site.spinney('check', site.store);
    expect([found.code, found.out]).toEqual([1, expect.stringMatching(damage)]);
    await site.mount();
    expect(await site.sh('stat -c %s $MNT/file; cat $MNT/other')).toBe('21\nwhole');
    for (const use of ['cat $MNT/file', 'echo x >> $MNT/file', 'truncate -s 3 $MNT/file']) {
      const { code, err } = await site.attempt(use);
      expect([code, err]).toEqual([1, expect.stringMatching(/Input\/output error/)]);
    }
    const health = await site.spinney('health', '--store', site.store);
    expect([health.code, health.out]).toEqual([1, expect.stringMatching(/degraded/)]);
    expect(health.out).toContain('the content of 1 file is damaged; spinney check names all');
    expect(health.out).toMatch(new RegExp(`/file \\(inode \\d+\\): ${what}`));
    // Once by who found it, and once as what health tells.
    expect(site.logged('error')).toEqual([
      expect.stringMatching(/Cannot open \/file: the content of inode/),
      expect.stringMatching(/"code":"CONTENT_DAMAGED"/),
    ]);
    await site.umount();
    expect((await site.spinney('check', site.store)).code).toBe(1);
    await site.mount();
    await site.sh('rm $MNT/file; ls $MNT');
    expect((await site.spinney('health', '--store', site.store)).code).toBe(0);
    await site.umount();
    expect(await site.spinney('check', site.store)).toMatchObject({ code: 0 });
  });
});

describe('a table of owners that was damaged after a kill', () => {
  async function killedSite(): Promise<Site> {
    const site = new Site();
    await site.mount();
    const writer = site.start(WRITER, 200);
    await ready(writer);
    await site.kill();
    writer.child.kill('SIGTERM');
    await writer.result;
    return site;
  }

  /** Files that cannot be opened; the others have their contents. */
  async function refused(site: Site): Promise<string[]> {
    const { out } = await site.attempt(
      'cd $MNT; for f in f*; do echo "$f=$(cat $f 2>/dev/null || echo EIO)"; done',
    );
    const lines = out.trimEnd().split('\n');
    expect(lines.length).toBe(30);
    const wrong = lines.filter((line) => !/^f(\d+)=content of \1$/.test(line));
    for (const line of wrong) expect(line).toMatch(/^f\d+=EIO$/);
    return wrong.map((line) => line.slice(0, line.indexOf('=')));
  }

  it('loses nothing to a flipped bit', async () => {
    const site = await killedSite();
    const path = join(site.store, 'content/spares/owners');
    const table = readFileSync(path);
    for (let at = 5; at < table.length; at += 32) table[at]! ^= 1;
    writeFileSync(path, table);
    await site.mount();
    expect(await refused(site)).toEqual([]);
    await site.umount();
    expect(await site.spinney('check', site.store)).toMatchObject({ code: 0 });
  });

  it('leaves nobody an empty file when it is lost', async () => {
    const site = await killedSite();
    rmSync(join(site.store, 'content/spares/owners'));
    // Those that were open for a second have their names.
    const lost = 30 - contentFiles(site).length;
    const found = await site.spinney('check', site.store);
    const missing = found.out.match(/^damage: \/f\d+: its content is missing/gm) ?? [];
    expect([found.code, missing.length]).toEqual([1, lost]);
    await site.mount();
    const health = await site.spinney('health', '--store', site.store);
    expect(health.out).toContain(`the contents of ${lost} files are damaged`);
    expect((await refused(site)).length).toBe(lost);
    expect(readdirSync(join(site.store, 'content/unclaimed')).length).toBe(lost);
    await site.umount();
  });
});

/** Why there is no disk of our own to be had; undefined where there is. */
const noDisk = spawnSync('sh', ['-c', 'mkfs.ext4 -V && losetup -f'], { stdio: 'ignore' }).status !== 0;
if (noDisk)
  console.warn('Without mkfs.ext4 and loop devices there is no power cut and no full disk to be tried');

describe.skipIf(noDisk)('on a disk of its own', () => {
  async function diskSite(megabytes: number): Promise<Site> {
    const site = new Site();
    await site.sh(`truncate -s ${megabytes}M disk; mkfs.ext4 -q disk; mkdir $STORE; mount -o loop disk $STORE
      rmdir $STORE/lost+found`);
    return site;
  }

  it('a file that was not on the disk at a power cut has what is there, and a new time', async () => {
    const site = await diskSite(80);
    await site.mount();
    await site.sh(`cd $MNT; echo 'safe and sound' > synced; sync synced
      for i in 1 2 3; do echo 'twenty bytes of text' > lost$i; touch -d 2001-01-01 lost$i; done
      # What the names say is durable, what is in the files is not.
      sync -d . && cp --sparse=always $DIR/disk $DIR/copy`);
    await site.umount();
    // The last of the daemon may still be on its way out.
    await site.sh('umount -l $STORE; mount -o loop copy $STORE');
    const before = await site.spinney('check', site.store);
    expect([before.code, before.out.match(/^note: \/lost\d: .*a power cut left it so/gm)?.length]).toEqual([
      0, 3,
    ]);
    await site.mount();
    expect(
      await site.sh('cd $MNT; stat -c "%n %s" *; cat *; find -newermt 2020-01-01 -name "lost*" | wc -l'),
    ).toBe('lost1 0\nlost2 0\nlost3 0\nsynced 15\nsafe and sound\n3');
    expect(site.logged('warn').join('\n')).toMatch(
      /lost1: 21 bytes, now 0.*3 files have what is there, and the present time/,
    );
    await site.umount();
    expect(await site.spinney('check', site.store)).toMatchObject({ code: 0 });
  });

  it.each([
    // There is room for two: the kernel writes without asking, and may tell that it has forgotten a removed file only after
    // it has asked for space for the next. By the time of the third the first one's must be back.
    ['allocated', 'fallocate -l 45M $MNT/large'],
    ['written', 'head -c 45M /dev/zero > $MNT/large'],
  ])('can be filled again and again with files that are %s, closed and removed', async (_how, fill) => {
    const site = await diskSite(128);
    await site.mount();
    const free = await site.sh("stat -f -c '%a %S' $STORE | awk '{ print $1 * $2 / 1048576 }'");
    expect(Number(free)).toBeLessThan(120);
    await site.sh(`for i in $(seq 12); do ${fill}; rm $MNT/large; done`);
    await site.umount();
  });
});
