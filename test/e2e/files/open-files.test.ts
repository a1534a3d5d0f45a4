/** Clients hold many more files open than the daemon may have descriptors. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Running, Site } from '../site.js';

const PLACE = join(import.meta.dirname, 'open-files');
const LIMIT = 1024;
/** As many files as this, or what the machine allows. */
const MOST_FILES = 200_000;
const MOST_CLIENTS = 16;
/** What an open file takes of the kernel's memory, with its backing file. */
const BYTES_PER_FILE = 12 * 1024;
const isRoot = process.getuid?.() === 0;

function figure(file: string, pattern: RegExp): number {
  return Number(pattern.exec(readFileSync(file, 'latin1'))?.[1]);
}

/** Clients that each hold files open; resolves when all are. What is returned lets them go, and throws what they found wrong. */
async function hold(
  site: Site,
  clients: number,
  filesEach: number,
  written = 8,
): Promise<() => Promise<void>> {
  const all = Array.from({ length: clients }, (_, i) => i);
  await site.sh(`mkfifo ${all.map((i) => `go-${i}`).join(' ')}`);
  const start = (i: number): Running =>
    site.start(
      `exec python3 ${PLACE}/hold.py $MNT/held-${i} ${i * filesEach} ${filesEach} ${written} <> go-${i}`,
      390,
    );
  const running = all.map(start);
  const ended = Promise.all(
    running.map(async ({ result }) => {
      const { code, out, err } = await result;
      if (code !== 0 || out !== 'open\nheld\n') throw new Error(`A client ended with ${code}: ${err}${out}`);
    }),
  );
  const opened = running.map(
    ({ child }) => new Promise<void>((resolve) => child.stdout!.once('data', () => resolve())),
  );
  await Promise.race([Promise.all(opened), ended]);
  return async () => {
    await site.sh(`for i in ${all.join(' ')}; do echo > go-$i; done`);
    await ended;
  };
}

/** What else is done meanwhile, by programs and by the operator. */
async function work(site: Site): Promise<void> {
  await site.sh(`mkdir $MNT/work; cd $MNT/work; bash -euo pipefail ${PLACE}/work.sh`);
  await site.must('checkpoint', '--store', site.store);
  expect(JSON.parse(await site.must('health', '--store', site.store, '--json'))).toEqual({
    status: 'ok',
    reasons: [],
  });
}

async function expectFew(site: Site, files: number): Promise<void> {
  const { openFiles, descriptors, descriptorLimit } = (await site.stats()).mount;
  expect(openFiles).toBeGreaterThanOrEqual(files);
  expect(descriptorLimit).toBe(LIMIT);
  // With a reserve for what comes.
  expect(descriptors).toBeLessThan(LIMIT - 128);
  expect(Math.abs(readdirSync(`/proc/${site.daemon()}/fd`).length - descriptors)).toBeLessThan(20);
}

describe('thousands of open files with 1,024 descriptors', () => {
  it.runIf(isRoot)('5,000 that the kernel reads and writes by itself', async () => {
    const site = new Site();
    await site.mountWithin(`-n ${LIMIT}`);
    const letGo = await hold(site, 2, 2_500);
    await expectFew(site, 5_000);
    await work(site);
    await letGo();
    expect(site.logged('warn')).toEqual([]);
  });

  it.runIf(isRoot)('2,000 that go through the daemon', async () => {
    const site = new Site();
    await site.stackStore();
    await site.mountWithin(`-n ${LIMIT}`);
    const letGo = await hold(site, 2, 1_000);
    await expectFew(site, 2_000);
    await work(site);
    await letGo();
    expect((await site.stats()).mount.passthrough).toBe(false);
    expect(site.logged('warn')).toEqual([]);
  });

  it('2,000 that go through fuse-native', async () => {
    const site = new Site();
    await site.mountWithin(`-n ${LIMIT}`, '--driver', 'fuse-native');
    const letGo = await hold(site, 2, 1_000);
    await expectFew(site, 2_000);
    await work(site);
    await letGo();
    expect(site.logged('warn')).toEqual([]);
  });
});

it.runIf(isRoot)('200,000 open files under a soft limit of 1,024', async () => {
  const site = new Site();
  // In memory, since the disk would take most of the time.
  await site.sh('mkdir $STORE; mount -t tmpfs -o size=75%,mode=700 tmpfs $STORE');
  const hard = figure('/proc/self/limits', /^Max open files\s+\d+\s+(\d+)/m);
  const memory = 1024 * figure('/proc/meminfo', /^MemAvailable:\s+(\d+)/m);
  const table = figure('/proc/sys/fs/file-max', /(\d+)/) - figure('/proc/sys/fs/file-nr', /(\d+)/);
  const files = Math.min(MOST_FILES, MOST_CLIENTS * (hard - 100), memory / 2 / BYTES_PER_FILE, table / 3);
  const clients = Math.ceil(files / (hard - 100));
  const each = Math.floor(files / clients);
  console.log(`${clients} clients hold ${each} files each; a process may have ${hard}`);
  await site.mountWithin(`-Sn ${Math.min(LIMIT, hard)}`);
  // Raised as far as it may be.
  expect((await site.stats()).mount.descriptorLimit).toBe(hard);
  const letGo = await hold(site, clients, each, 128);
  const { openFiles, descriptors } = (await site.stats()).mount;
  expect(openFiles).toBeGreaterThanOrEqual(clients * each);
  expect(descriptors).toBeLessThan(4_096 + 128);
  await work(site);
  await letGo();
  expect(site.logged('warn')).toEqual([]);
});

/** The lowest number that no descriptor of the process has. */
function lowestFree(pid: number): number {
  const taken = new Set(readdirSync(`/proc/${pid}/fd`));
  let number = 0;
  while (taken.has(String(number))) number++;
  return number;
}

describe.runIf(isRoot)('a daemon that can have no descriptor more', () => {
  it.each(['past', 'through'])(
    'goes on with what is open, %s the daemon; openers get ENFILE',
    async (way) => {
      const site = new Site();
      if (way === 'through') await site.stackStore();
      await site.mountWithin(`-n ${LIMIT}`);
      await site.sh('cd $MNT; echo closed > closed; touch held; mkfifo $DIR/lines');
      const holder = site.start(`exec python3 ${PLACE}/append.py $MNT/held <> $DIR/lines`);
      const told = async (line: string): Promise<string> => {
        const answer = new Promise<string>((resolve) => holder.child.stdout!.once('data', resolve));
        await site.sh(`echo ${line} > lines`);
        const ended = holder.result.then(({ err }) => `ended: ${err}`);
        return (await Promise.race([answer, ended])).trim();
      };
      expect(await told('one')).toBe('one');
      const pid = site.daemon();
      // Below what it has: of new numbers none is allowed.
      await site.sh(`prlimit --pid ${pid} --nofile=3:${LIMIT}`);
      expect(await site.sh('LC_ALL=C cat $MNT/closed 2>&1 || true')).toContain(
        'Too many open files in system',
      );
      expect(await site.sh('LC_ALL=C; (echo x > $MNT/new) 2>&1 || rm -f $MNT/new')).toContain(
        'Too many open files in system',
      );
      expect(await told('two')).toBe('one two');
      expect(await site.sh('cd $MNT; mkdir directory; mv directory moved; stat -c %s held closed')).toBe(
        '8\n7',
      );
      // Just what it has: the one that is kept for it takes a connection, to end it.
      await site.sh(`prlimit --pid ${pid} --nofile=${lowestFree(pid)}:${LIMIT}`);
      const refusal = await site.refusal('health', '--store', site.store);
      expect(refusal).toMatch(/it has \d+ of \d+ file descriptors in use, and none for another connection/);
      await site.sh(`prlimit --pid ${pid} --nofile=${LIMIT}:${LIMIT}`);
      const health = JSON.parse((await site.spinney('health', '--store', site.store, '--json')).out);
      expect(health.status).toBe('degraded');
      expect(health.reasons).toEqual([
        expect.stringMatching(/^\d+ of 1024 descriptors in use; opening files fails/),
      ]);
      expect(await site.sh('cat $MNT/closed; ls $MNT')).toBe('closed\nclosed\nheld\nmoved');
      await work(site);
      expect(await told('three')).toBe('one two three');
      await site.sh('echo end > lines');
      expect((await holder.result).code).toBe(0);
      const errors = site.logged('error').map((line) => (JSON.parse(line) as { code?: string }).code);
      expect(new Set(errors)).toEqual(new Set(['DESCRIPTORS_EXHAUSTED']));
    },
  );
});

it('a limit that is too low for a daemon is told, and a low one is enough', async () => {
  const site = new Site();
  await expect(site.mountWithin('-n 100')).rejects.toThrow(
    /Cannot start the daemon: it may have only 100 file descriptors and needs 256; raise the limit/,
  );
  expect(site.isMounted()).toBe(false);
  await site.sh(`rm $STORE/spinney.log`);
  await site.mountWithin('-n 256');
  await work(site);
  expect(site.logged('warn')).toEqual([]);
});
