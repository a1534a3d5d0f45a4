/** A store that was damaged is refused with the place of the damage, or its damaged part is; never believed. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { IMAGE_MAGIC, IMAGE_OFFSET } from '../../../engine/store/image.js';
import { Site } from '../site.js';

const BLOB_SIZE = 524_288;

/** A store with a tree of several blobs, closed. */
async function closedSite(): Promise<Site> {
  const site = new Site();
  await site.mount();
  await site.sh(`cp -r /usr/include/linux $MNT/; cd $MNT/linux
    value=$(printf 'v%.0s' $(seq 2000)); find . -type f | sed -n 1,400p | xargs setfattr -n user.large -v $value`);
  await site.umount();
  return site;
}

async function flip(path: string, offset: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    byte[0]! ^= 0x10;
    await file.write(byte, 0, 1, offset);
  } finally {
    await file.close();
  }
}

/** Ids of the blobs in the data file, whose images hold more than so many leaves. */
function blobsWith(data: string, leaves: number): number[] {
  const bytes = readFileSync(data);
  const ids = new Set<number>();
  for (let at = 0; at + BLOB_SIZE <= bytes.length; at += BLOB_SIZE) {
    const isImage = bytes.readUInt32LE(at + IMAGE_OFFSET.magic) === IMAGE_MAGIC;
    if (isImage && bytes.readUInt32LE(at + IMAGE_OFFSET.leaves) > leaves)
      ids.add(bytes.readUInt32LE(at + IMAGE_OFFSET.id));
  }
  return [...ids].sort((a, b) => a - b);
}

/** Flips a bit in every slot that holds the blob. */
async function flipBlob(data: string, id: number): Promise<void> {
  const bytes = readFileSync(data);
  for (let at = 0; at + BLOB_SIZE <= bytes.length; at += BLOB_SIZE) {
    const isImage = bytes.readUInt32LE(at + IMAGE_OFFSET.magic) === IMAGE_MAGIC;
    if (isImage && bytes.readUInt32LE(at + IMAGE_OFFSET.id) === id) await flip(data, at + 4096);
  }
}

describe('a damaged store', () => {
  it.each(['manifest', 'manifest.log'])('is refused when its %s is damaged', async (name) => {
    const site = await closedSite();
    const file = join(site.store, name);
    await flip(file, 10);
    const before = readFileSync(file);
    const line = await site.refusal('mount', site.mountpoint, '--store', site.store);
    expect(line).toMatch(new RegExp(`^spinney: Cannot open ${file}: at offset \\d+: `));
    expect(readFileSync(file)).toEqual(before);
    expect(site.isMounted()).toBe(false);
    // Nothing was changed: mended, it opens.
    await flip(file, 10);
    await site.mount();
    expect(await site.sh('diff -r /usr/include/linux $MNT/linux')).toBe('');
  });

  it('gives errors for what a damaged blob holds, and says which blob it is', async () => {
    const site = await closedSite();
    const data = join(site.store, 'blobs.dat');
    const slots = statSync(data).size / BLOB_SIZE;
    for (let slot = 1; slot < slots; slot++) await flip(data, slot * BLOB_SIZE + 4096);
    await site.mount();
    const { code, err } = await site.attempt('ls -lR $MNT; getfattr -R -d $MNT');
    expect(code).not.toBe(0);
    expect(err).toContain('Input/output error');
    expect(site.logged('error').join('\n')).toMatch(/Cannot read blob \d+ in slot \d+ of [^ ]*blobs\.dat: /);
    // The daemon lives on, and so does what is not damaged.
    expect(await site.sh('ls $MNT')).toBe('linux');
    await site.umount();
  });

  it('is refused when its data are cut off', async () => {
    const site = await closedSite();
    await site.sh('truncate -s 4096 $STORE/blobs.dat');
    const line = await site.refusal('mount', site.mountpoint, '--store', site.store);
    expect(line).toMatch(/Cannot (open|read|mount).*blobs\.dat/);
    expect(site.isMounted()).toBe(false);
  });

  it('is refused when its journal is damaged where it was durable', async () => {
    const site = new Site();
    await site.mount();
    // The second fsync's records say that the first ones are durable.
    await site.sh(`cd $MNT; for i in 1 2 3; do mkdir d$i; touch d$i/f
      perl -e 'use IO::Handle; open(F, ">", "f") or die; print F "x"; F->sync or die $!'; done`);
    await site.kill();
    const [name] = readdirSync(site.store).filter((file) => file.endsWith('.wal'));
    await flip(join(site.store, name!), 200);
    const line = await site.refusal('mount', site.mountpoint, '--store', site.store);
    expect(line).toMatch(new RegExp(`Cannot .*${name}.*offset \\d+`));
    await flip(join(site.store, name!), 200);
    await site.mount();
    expect(await site.sh('ls $MNT')).toBe('d1\nd2\nd3\nf');
  });

  it('is refused when anything of its journal is missing after a kill', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('cd $MNT; for i in $(seq 500); do mkdir d$i; done');
    await site.kill();
    await site.sh('cp -a $STORE $DIR/saved');
    const losses = [
      ['rm $STORE/journal-*.wal', /journal-[0-9a-f]{16}\.wal at offset 0: record \d+ is damaged or missing/],
      ['truncate -s 4096 $(ls $STORE/journal-*.wal | tail -1)', /journal-[0-9a-f]{16}\.wal at offset \d+: /],
      ['rm $STORE/journal.ring', /journal\.ring at offset 0: the file is missing/],
      ['rm $STORE/journal-*.wal $STORE/journal.ring', /journal\.ring at offset 0: the file is missing/],
      ['rm $STORE/journal*', /journal\.run at offset 0: the file is missing/],
    ] as const;
    for (const [loss, message] of losses) {
      await site.sh(`rm -r $STORE; cp -a $DIR/saved $STORE; ${loss}; cp -a $STORE $DIR/lossy`);
      const checked = await site.spinney('check', site.store);
      expect(checked).toMatchObject({ code: 1, err: '' });
      expect(checked.out).toMatch(message);
      const log = join(site.directory, 'log');
      const line = await site.refusal('mount', site.mountpoint, '--store', site.store, '--log-file', log);
      expect(line).toMatch(message);
      expect(await site.sh('diff -r -x lock -x control.sock $STORE $DIR/lossy; rm -r $DIR/lossy')).toBe('');
    }
    await site.sh('rm -r $STORE; cp -a $DIR/saved $STORE');
    expect(await site.spinney('check', site.store)).toMatchObject({ code: 0 });
    await site.mount();
    expect(await site.sh('ls $MNT | wc -l')).toBe('500');
  });

  it('lists all that lies beside a damaged blob, and says that it is not all', async () => {
    const site = new Site();
    const names = 6000;
    await site.mount();
    // Links of 2,000 bytes fill a blob with 240 names.
    await site.sh(`cd $MNT; mkdir sub; perl -e 'for (1..${names}) { symlink("t" x 2000, sprintf("name%06d", $_)) or die $! }
      for (1..300) { symlink("t" x 2000, sprintf("sub/deep%06d", $_)) or die $! }'`);
    await site.umount();
    const data = join(site.store, 'blobs.dat');
    const full = blobsWith(data, 100);
    expect(full.length).toBeGreaterThan(20);
    const victim = full[full.length >> 1]!;
    await flipBlob(data, victim);
    const checked = await site.spinney('check', site.store);
    expect(checked.code).toBe(1);
    expect(checked.out).toMatch(
      new RegExp(`Cannot read blob ${victim} in slot .*; its keys begin with "d/name00`),
    );

    await site.mount();
    expect(JSON.parse(await site.must('health', '--store', site.store, '--json'))).toMatchObject({
      status: 'ok',
    });
    for (const list of ['ls -U', 'ls -lU', 'find . -mindepth 1 -maxdepth 1 -printf "%f\n"']) {
      const { code, out, err } = await site.attempt(`cd $MNT; ${list}`, 60);
      expect(code).not.toBe(0);
      expect(err).toContain('Input/output error');
      const found = new Set(out.match(/(?<=^|[ /])(name\d{6}|sub)(?= ->|$)/gm));
      expect(found.size).toBeGreaterThan(names - 500);
      expect(found.size).toBeLessThan(names + 1);
      expect([found.has('name000001'), found.has(`name00${names}`), found.has('sub')]).toEqual([
        true,
        true,
        true,
      ]);
    }
    // What was found can be reached, and nothing else is told to be absent.
    const reached = await site.sh(`cd $MNT; (ls -U || true) 2>/dev/null > $DIR/found
      perl -ne 'chomp; die "$_: $!" unless lstat $_' $DIR/found; ls sub | wc -l
      perl -e 'use POSIX; open(F, "$ENV{DIR}/found"); my %found = map { chomp; $_ => 1 } <F>;
        for (1..${names}) { my $n = sprintf("name%06d", $_); next if $found{$n};
          die "$n is there" if lstat $n; die "$n: $!" if $! != POSIX::EIO; $lost++ } print "$lost\n"'`);
    const [deep, lost] = reached.split('\n').map(Number);
    expect(deep).toBe(300);
    expect(lost).toBeGreaterThan(50);

    const health = await site.spinney('health', '--store', site.store);
    expect(health.code).not.toBe(0);
    expect(health.out + health.err).toMatch(
      new RegExp(`blob ${victim} cannot be read \\(tried \\d+ times\\); its keys begin with "d/name00`),
    );
    const told = site.logged('error').filter((line) => line.includes(`Cannot read blob ${victim} `));
    expect(told).toHaveLength(1);
    expect(told[0]!.length).toBeLessThan(600);

    // Changes elsewhere go on, and removing all that is there ends.
    await site.sh('cd $MNT; mkdir new; touch new/file sub/more; mv sub moved; rm name000001');
    await site.must('checkpoint', '--store', site.store);
    await site.must('compact', '--store', site.store);
    const removal = await site.attempt('rm -r $MNT/*; rm -r $MNT', 100);
    expect(removal.code).not.toBe(0);
    expect(removal.code).not.toBe(124);
    await site.umount();
    // Mended, it has what the damaged blob held.
    await flipBlob(data, victim);
    await site.mount();
    expect(Number(await site.sh('ls -U $MNT | wc -l'))).toBeGreaterThanOrEqual(lost!);
    await site.umount();
    expect(await site.spinney('check', site.store)).toMatchObject({ code: 0 });
  });
});
