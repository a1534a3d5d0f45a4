/** Contents of snapshots on a mount, through each driver, and on filesystems that can share blocks and that cannot. */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { PATIENTLY } from '../../support/until.js';
import { Site } from '../site.js';

const PROGRAM = join(import.meta.dirname, 'snapshot-mount.mjs');
const LOOK_AGAIN_MS = 20;

interface Answer {
  id: number;
  result?: unknown;
  error?: string;
}

/** A mount in a process of its own, which takes and deletes snapshots. */
class SnapshotMount {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<
    number,
    { resolve: (result: unknown) => void; reject: (error: Error) => void }
  >();
  readonly told: string[] = [];
  #next = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', ({ id, result, error }: Answer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    child.on('exit', () => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`the mount ended: ${this.told.join('')}`));
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => this.told.push(text));
  }

  static async start(site: Site, driver = 'kernel'): Promise<SnapshotMount> {
    const child = fork(PROGRAM, [site.store, site.mountpoint, driver], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const mount = new SnapshotMount(child);
    await new Promise((resolve, reject) => mount.#waiting.set(0, { resolve, reject }));
    return mount;
  }

  ask<T = unknown>(command: string, ...args: unknown[]): Promise<T> {
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
      this.#child.send({ id, command, args });
    });
  }

  read(name: string, path: string): Promise<string | undefined> {
    return this.ask('read', name, path);
  }

  /** Until nothing that only deleted snapshots had is left. */
  async purged(): Promise<void> {
    while ((await this.ask('progress')) !== undefined) await sleep(LOOK_AGAIN_MS);
  }

  async end(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    await this.ask('end');
    await gone;
  }

  async kill(site: Site): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
    await site.sh('umount -l $MNT');
  }
}

/** Names of content files, and of copies on their way. */
function contents(site: Site): string[] {
  const directory = join(site.store, 'content');
  return readdirSync(directory)
    .filter((name) => name !== 'spares')
    .flatMap((name) => readdirSync(join(directory, name)))
    .sort();
}

async function check(site: Site): Promise<string> {
  const { code, out } = await site.spinney('check', site.store);
  expect([code, out]).toEqual([0, expect.stringContaining('clean')]);
  return out;
}

/** Holds a file open for writing and mapped, and does what it is told, a line each: `write TEXT`, `map BYTE`, `end`. */
const HOLDER = `exec python3 -uc '
import mmap, os, sys, time
fd = os.open(os.environ["MNT"] + "/held", os.O_RDWR)
m = mmap.mmap(fd, 5)
os.write(1, b"ready\\n")
while True:
    path = os.environ["DIR"] + "/order"
    if not os.path.exists(path): time.sleep(0.01); continue
    order = open(path).read()
    if not order.endswith("\\n"): continue
    os.remove(path)
    if order.startswith("write"): os.pwrite(fd, order[6:-1].encode(), 0)
    if order.startswith("map"): m[4] = ord(order[4])
    if order.startswith("end"): break
    os.write(1, b"done\\n")'`;

describe.each([
  ['the kernel driver', 'kernel', false],
  ['the kernel driver, contents through the daemon', 'kernel', true],
  ['fuse-native', 'fuse-native', false],
] as const)('with %s', (_name, driver, isStacked) => {
  it('snapshots have what was there, whatever is done to files afterwards', async () => {
    const site = new Site();
    if (isStacked) await site.stackStore();
    let mount = await SnapshotMount.start(site, driver);
    await site.sh(`cd $MNT; for f in over append cut emptied removed replaced untouched; do echo "$f as it was" > $f; done
      echo linked > one; ln one two; echo new > other
      sync *`); // a content has its name at the latest when it is synced
    if (driver === 'kernel') expect(await mount.ask('passthrough')).toBe(!isStacked);
    const before = contents(site);
    const taken = await mount.ask<{ id: number }>('take', 'x');
    expect(taken.id).toBe(1);
    expect(contents(site)).toEqual(before);
    await site.sh(`cd $MNT; echo OVER | dd of=over conv=notrunc status=none; echo more >> append; truncate -s 3 cut
      : > emptied; rm removed; mv other replaced; echo LINKED > two
      test "$(cat over append cut emptied replaced one)" = "$(printf 'OVER\\nas it was\\nappend as it was\\nmore\\ncutnew\\nLINKED')"
      cat untouched`);
    const files = ['over', 'append', 'cut', 'emptied', 'removed', 'replaced', 'untouched'];
    for (const file of files) expect(await mount.read('x', `/${file}`)).toBe(`${file} as it was\n`);
    expect(await mount.read('x', '/two')).toBe('linked\n');
    await mount.ask('take', 'y');
    await site.sh('cd $MNT; echo again >> append');
    expect(await mount.read('y', '/append')).toBe('append as it was\nmore\n');
    await mount.end();
    await check(site);
    mount = await SnapshotMount.start(site, driver);
    for (const file of files) expect(await mount.read('x', `/${file}`)).toBe(`${file} as it was\n`);
    await mount.ask('delete', 'x');
    await mount.ask('delete', 'y');
    await mount.purged();
    expect(await site.sh('cd $MNT; cat append untouched')).toBe(
      'append as it was\nmore\nagain\nuntouched as it was',
    );
    await mount.end();
    expect(await check(site)).not.toContain('note:');
    // Of eight files with something in them; an emptied one may have one, too.
    expect(contents(site).length).toBeGreaterThanOrEqual(6);
    expect(contents(site).length).toBeLessThanOrEqual(7);
    expect(mount.told).toEqual([]);
  });

  it('files that are open for writing, and mapped, go on, and a snapshot has what they were', async () => {
    const site = new Site();
    if (isStacked) await site.stackStore();
    const mount = await SnapshotMount.start(site, driver);
    await site.sh('cd $MNT; echo first > held');
    const holder = site.start(HOLDER);
    const said = () =>
      new Promise((resolve, reject) => {
        holder.child.stdout!.once('data', resolve);
        holder.child.once('exit', () => reject(new Error('the writer ended')));
      });
    await said();
    const order = async (text: string) => {
      const done = said();
      await site.sh(`echo '${text}' > new; mv new order`);
      await done;
    };
    await order('write SECOND');
    await mount.ask('take', 'x');
    // Its copy is made right after the moment.
    await expect.poll(async () => contents(site).length, PATIENTLY).toBe(2);
    await expect
      .poll(async () => {
        const [one, other] = contents(site).map((name) => statSync(join(site.store, 'content/0', name)).ino);
        return one === other;
      }, PATIENTLY)
      .toBe(false);
    await order('write third!');
    if (driver === 'kernel' && !isStacked) await order('map M');
    const now = driver === 'kernel' && !isStacked ? 'thirM!' : 'third!';
    expect(await site.sh('cat $MNT/held')).toBe(now);
    expect(await mount.read('x', '/held')).toBe('SECOND');
    await site.sh('echo end > new; mv new order');
    expect((await holder.result).code).toBe(0);
    await site.sh('echo more >> $MNT/held');
    expect([await mount.read('x', '/held'), await site.sh('cat $MNT/held')]).toEqual([
      'SECOND',
      `${now}more`,
    ]);
    await mount.end();
    await check(site);
  });
});

it('a killed daemon leaves snapshots whole, and goes on with what it was copying', async () => {
  const site = new Site();
  let mount = await SnapshotMount.start(site);
  await site.sh(
    'cd $MNT; head -c 100M /dev/urandom > big; echo small > small; sync -f $STORE; cp big $DIR/big',
  );
  await mount.ask('take', 'x');
  const writer = site.start('exec dd if=/dev/zero of=$MNT/big bs=1 count=1 conv=notrunc status=none');
  await expect.poll(() => existsSync(join(site.store, 'content/copies')), PATIENTLY).toBe(true);
  await mount.kill(site);
  await writer.result;
  mount = await SnapshotMount.start(site);
  expect(contents(site).filter((name) => name.split('.').length === 3)).toEqual([]);
  const file = await mount.ask<string>('fileOf', 'x', '/big');
  await site.sh(`cmp ${file} $DIR/big; echo X | dd of=$MNT/big conv=notrunc status=none; cmp ${file} $DIR/big
    test "$(head -c 1 $MNT/big)" = X; cmp <(tail -c +3 $MNT/big) <(tail -c +3 $DIR/big)`);
  await mount.end();
  await check(site);
});

const FILESYSTEMS = [
  { name: 'ext4', make: 'mkfs.ext4 -q', megabytes: 400, shares: false },
  { name: 'xfs', make: 'mkfs.xfs -q', megabytes: 400, shares: true },
  { name: 'btrfs', make: 'mkfs.btrfs -q', megabytes: 400, shares: true },
];

describe.each(FILESYSTEMS)('on $name', ({ name, make, megabytes, shares }) => {
  const tools = spawnSync('sh', [
    '-c',
    `command -v ${make.split(' ')[0]} filefrag && grep -qw ${name} /proc/filesystems && losetup -f`,
  ]);
  const isThere = tools.status === 0;
  if (!isThere)
    console.warn(
      `Without ${make.split(' ')[0]}, loop devices or ${name} in the kernel nothing is tried on it`,
    );

  it.skipIf(!isThere)(`a first write ${shares ? 'shares blocks' : 'copies, and keeps holes'}`, async () => {
    const site = new Site();
    await site.sh(`truncate -s ${megabytes}M disk; ${make} disk; mkdir $STORE; mount -o loop disk $STORE
      chmod 700 $STORE; rmdir $STORE/lost+found 2> $DIR/none || true`);
    const mount = await SnapshotMount.start(site);
    await site.sh(`cd $MNT; head -c 20M /dev/urandom > full; cp full $DIR/full
      truncate -s 1G holes; echo middle | dd of=holes bs=1M seek=512 conv=notrunc status=none; sync -f $STORE`);
    await mount.ask('take', 'x');
    const free = async () => Number(await site.sh('sync -f $STORE; df -k --output=avail $STORE | tail -1'));
    const before = await free();
    await site.sh(`cd $MNT; echo X | dd of=full conv=notrunc status=none; echo END >> holes
      test $(stat -c %s holes) = 1073741828; cmp <(tail -c +3 full) <(tail -c +3 $DIR/full)`);
    const used = before - (await free());
    const kept = await mount.ask<string>('fileOf', 'x', '/full');
    const holes = await mount.ask<string>('fileOf', 'x', '/holes');
    await site.sh(`cmp ${kept} $DIR/full; test $(stat -c %s ${holes}) = 1073741824
      test "$(dd if=${holes} bs=1M skip=512 count=1 status=none | head -c 6)" = middle`);
    expect(await site.sh(`filefrag -v ${kept} | grep -c shared || true`)).toEqual(
      shares ? expect.stringMatching(/^[1-9]/) : '0',
    );
    // Holes take no space; in KiB.
    expect(Number(await site.sh(`stat -c %b $MNT/holes`))).toBeLessThan(4096);
    if (shares) expect(used).toBeLessThan(4096);
    else expect(used).toBeGreaterThan(20_000);
    await mount.ask('delete', 'x');
    await mount.purged();
    await site.sh(`cd $MNT; test "$(head -c 1 full)" = X; cmp <(tail -c +3 full) <(tail -c +3 $DIR/full)`);
    expect(contents(site).length).toBe(2);
    await mount.end();
    await check(site);
  });

  it.skipIf(!isThere || shares)(
    'who writes gets ENOSPC where a copy finds no room, and nothing changes',
    async () => {
      const site = new Site();
      await site.sh(`truncate -s 160M disk; ${make} disk; mkdir $STORE; mount -o loop disk $STORE
      chmod 700 $STORE; rmdir $STORE/lost+found 2> $DIR/none || true`);
      const mount = await SnapshotMount.start(site);
      await site.sh('cd $MNT; head -c 80M /dev/urandom > full; cp full $DIR/full');
      await mount.ask('take', 'x');
      const { code, err } = await site.attempt('echo X | dd of=$MNT/full conv=notrunc status=none');
      expect([code, err]).toEqual([1, expect.stringContaining('No space left on device')]);
      await site.sh('cmp $MNT/full $DIR/full');
      expect(contents(site).length).toBe(1);
      await mount.ask('delete', 'x');
      await site.sh('echo X | dd of=$MNT/full conv=notrunc status=none; test "$(head -c 1 $MNT/full)" = X');
      await mount.end();
      await check(site);
    },
  );
});
