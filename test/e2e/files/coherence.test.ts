/** What one process changes every other sees at once, whatever the kernel keeps. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Running, Site } from '../site.js';

const COHERENCE = join(import.meta.dirname, 'coherence');
/** The clock of the store's filesystem goes by ticks, and on a busy machine the daemon may be late to look at its own. */
const CLOCKS_DIFFER_NANOS = 30e9;

it.each(['names', 'attributes', 'contents'])(
  'changes of %s are seen at once by another process',
  async (subject) => {
    const site = new Site();
    await site.mount('--allow-other');
    await site.sh('chmod 755 $DIR $MNT');
    expect(await site.sh(`python3 ${COHERENCE}/${subject}.py $MNT`)).toMatch(/^\d+ held$/);
    await site.umount();
    expect(site.logged('warn')).toEqual([]);
  },
);

it('after random changes the kernel has kept nothing but what is there', async () => {
  const site = new Site();
  await site.mount('--allow-other');
  await site.sh('chmod 755 $DIR $MNT');
  const script = (command: string) => `python3 ${COHERENCE}/random_changes.py ${command}`;
  const seeds = [1, 2, 3, 4, 5];
  const kept: string[] = [];
  for (const seed of seeds) kept.push(await site.sh(script(`change $MNT/${seed} ${seed} 200`)));
  await site.umount();
  await site.mount('--allow-other');
  for (const [i, seed] of seeds.entries()) {
    expect(await site.sh(script(`look $MNT/${seed}`)), `seed ${seed}`).toBe(kept[i]);
  }
  expect(site.logged('warn')).toEqual([]);
});

describe('a file that is being written', () => {
  it('is listed with the size and times that it has', async () => {
    const site = new Site();
    await site.mount();
    // Each listing is a new one, with attributes, since the directory changes.
    await site.sh(`cd $MNT; python3 -c '
import os
fd = os.open("f", os.O_CREAT | os.O_WRONLY, 0o644)
before = 0
for i in range(1, 50):
    os.write(fd, b"x" * i)
    os.mknod(f"new {i}")
    if os.fork() == 0:
        status = next(e for e in os.scandir(".") if e.name == "f").stat()
        os._exit(0 if status.st_size == i * (i + 1) // 2 and status.st_mtime_ns > before else 1)
    assert os.wait()[1] == 0, i
    before = os.stat("f").st_mtime_ns'`);
    const { operations } = (await site.stats()).mount;
    expect(operations.readdirplus).toBeGreaterThan(10);
  });

  it('has its size, times and content after the daemon was killed', async () => {
    const site = new Site();
    await site.mount();
    const writer = site.start(
      `mkfifo $DIR/end; cd $MNT; exec 3<> $DIR/end; python3 ${COHERENCE}/live.py write <&3`,
    );
    const before = JSON.parse(await firstLine(writer));
    await site.kill();
    writer.child.kill('SIGKILL');
    await site.mount();
    const after = JSON.parse(await site.sh(`cd $MNT; python3 ${COHERENCE}/live.py look`));
    for (const [name, seen] of Object.entries<Status>(before)) {
      const { mtime, ctime, ...same } = after[name] as Status;
      expect({ name, ...same, mtime: seen.mtime, ctime: seen.ctime }).toEqual({ name, ...seen });
      expect(Math.abs(mtime - seen.mtime)).toBeLessThan(CLOCKS_DIFFER_NANOS);
      expect(Math.abs(ctime - seen.ctime)).toBeLessThan(CLOCKS_DIFFER_NANOS);
    }
    expect(JSON.parse(await site.sh(`cd $MNT; python3 ${COHERENCE}/live.py look`))).toEqual(after);
    await site.umount();
    await site.mount();
    expect(JSON.parse(await site.sh(`cd $MNT; python3 ${COHERENCE}/live.py look`))).toEqual(after);
    expect(site.logged('error')).toEqual([]);
  });
});

interface Status {
  mtime: number;
  ctime: number;
}

function firstLine({ child, result }: Running): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', (data) => {
      text += data;
      if (text.includes('\n')) resolve(text.split('\n')[0]!);
    });
    result.then(({ err }) => reject(new Error(`The writer ended: ${err}`)), reject);
  });
}
