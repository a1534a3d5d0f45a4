/** A store that was damaged is refused with the place of the damage, or its damaged part is; never believed. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Site } from './site.js';

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
    expect(site.logged(50).join('\n')).toMatch(/Cannot read blob \d+ in slot \d+ of [^ ]*blobs\.dat: /);
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
});
