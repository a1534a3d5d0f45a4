/** The log of requests of a real mount, against what its clients see. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { askDaemon } from '../../../daemon/control/client.js';
import type { MissReport, RequestReport, StatsReport } from '../../../daemon/control/reports.js';
import { PATIENTLY } from '../../support/until.js';
import { type Running, Site } from '../site.js';

const CLIENT = join(import.meta.dirname, 'log-client.py');
/** Every call asks the daemon. */
const NO_CACHES = ['--entry-timeout', '0', '--attr-timeout', '0', '--negative-timeout', '0'];
const CALLS = 400;
/** Only a hang takes longer. */
const HAS_STRACE = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;

interface Call {
  /** As the log has it. */
  operation: string;
  /** From the mount's root on, as latin1; the last one is the new path. */
  paths: string[];
  result: string;
}

/** The client's calls by the names of its functions, by the log's. */
const OPERATIONS: Readonly<Record<string, string>> = {
  mkdir: 'mkdir',
  rmdir: 'rmdir',
  create: 'create',
  unlink: 'unlink',
  rename: 'rename',
  link: 'link',
  symlink: 'symlink',
  chmod: 'setattr',
  truncate: 'setattr',
  setxattr: 'setxattr',
  removexattr: 'removexattr',
  fsync: 'fsync',
};
/** What the kernel finds out by looking names up, and so answers by itself. */
const BY_LOOKUP: ReadonlySet<string> = new Set(['ENOENT', 'EEXIST', 'ENOTDIR', 'EISDIR']);

/** What the client has recorded of itself. */
function recorded(file: string): Call[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  return lines.map((line) => {
    const [name, paths, result] = JSON.parse(line) as [string, string[], string];
    const told = paths.map((path) => `/${Buffer.from(path, 'hex').toString('latin1')}`);
    return { operation: OPERATIONS[name]!, paths: told, result };
  });
}

/** A line of `strace -f -ttt`: its name, arguments, value and error. */
const SYSTEM_CALL = /^\d+ +[\d.]+ (\w+)\((.*)\) += (-?\d+)(?: (E\w+) .*)?$/;

/** The same calls in what strace has seen of it. */
function traced(file: string): Call[] {
  const calls: Call[] = [];
  const paths = new Map<string, string>();
  for (const line of readFileSync(file, 'latin1').split('\n')) {
    const [, name, args, value, errno] = SYSTEM_CALL.exec(line) ?? [];
    if (name === undefined || args === undefined) continue;
    const told = [...args.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => `/${unescaped(text!)}`);
    // Those that are the program's own come by their whole paths.
    if (told[0]?.startsWith('//') === true) continue;
    const kind = name.replace(/^(newfst|rename|link|symlink|unlink|mkdir|fchmod|open)at2?$/, '$1');
    const result = errno ?? 'ok';
    const put = (operation: string, of: string[]): void => void calls.push({ operation, paths: of, result });
    if (kind === 'open') {
      if (args.includes('O_CREAT')) put('create', told.slice(0, 1));
      else if (errno !== undefined) put('fsync', told.slice(0, 1));
      else paths.set(value!, told[0]!);
    } else if (kind === 'fsync') put('fsync', [paths.get(args)!]);
    else if (kind === 'unlink' && args.includes('AT_REMOVEDIR')) put('rmdir', told);
    else if (kind === 'chmod' || kind === 'fchmod' || kind === 'truncate') put('setattr', told);
    else if (kind === 'symlink') put('symlink', told.slice(1));
    else if (kind === 'setxattr' || kind === 'removexattr') put(kind, told.slice(0, 1));
    else if (OPERATIONS[kind] !== undefined) put(kind, told);
  }
  return calls;
}

/** A string of C as strace writes them. */
function unescaped(text: string): string {
  const LETTERS: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', v: '\v', f: '\f' };
  return text.replace(/\\([0-7]{1,3}|.)/g, (_, code: string) =>
    /^[0-7]/.test(code) ? String.fromCharCode(Number.parseInt(code, 8)) : (LETTERS[code] ?? code),
  );
}

function pathsOf({ path, pathBytes, to, toBytes }: RequestReport): string[] {
  const latin1 = (text: string, bytes?: string): string =>
    (bytes === undefined ? Buffer.from(text) : Buffer.from(bytes, 'base64')).toString('latin1');
  return [
    ...(path === undefined ? [] : [latin1(path, pathBytes)]),
    ...(to === undefined ? [] : [latin1(to, toBytes)]),
  ];
}

async function mountStats(site: Site): Promise<StatsReport['mount']> {
  const { body } = await askDaemon(join(site.store, 'control.sock'), 'GET', '/v1/stats');
  return (body as StatsReport).mount;
}

async function figures(site: Site): Promise<StatsReport['mount']['requestLog']> {
  return (await mountStats(site)).requestLog;
}

/** Follows the mount's requests; resolves when it listens. */
async function follow(site: Site, ...options: string[]) {
  const before = (await figures(site)).listeners;
  const running = site.startSpinney('log', site.mountpoint, '--follow', '--json', ...options);
  let text = '';
  running.child.stdout!.on('data', (chunk: string) => {
    text += chunk;
  });
  await vi.waitUntil(async () => (await figures(site)).listeners > before, PATIENTLY);
  return { running, text: () => text, lines: () => linesOf(text) };
}

function linesOf(text: string): (RequestReport & Partial<MissReport>)[] {
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  return lines.filter(Boolean).map((line) => JSON.parse(line) as RequestReport & Partial<MissReport>);
}

/** What two listeners are told alike, also where the machine's clock is set between. */
function untimed(entries: readonly RequestReport[]): RequestReport[] {
  return entries.map((entry) => ({ ...entry, time: '' }));
}

/** What it printed until it ended by itself, as the mount did. */
async function printed({ running }: { running: Running }): Promise<RequestReport[]> {
  const { code, out, err } = await running.result;
  expect([code, err]).toEqual([0, '']);
  return linesOf(out);
}

describe('spinney log --follow', () => {
  it('tells what the client did, in its order, with its results, and only what is asked for', async () => {
    const site = new Site();
    await site.mount('--allow-other', ...NO_CACHES);
    await site.sh('chmod 711 $DIR; chmod 777 $MNT');
    const all = await follow(site);
    const ofUser = await follow(site, '--uid', '1000');
    const some = await follow(site, '--op', 'rename,unlink', '--path', '/d1/');
    const trace = HAS_STRACE ? 'strace -f -ttt -s 4096 -o $DIR/trace' : '';
    await site.sh(
      `${trace} $(python3 -c 'import sys; print(sys.executable)') ${CLIENT} $MNT $DIR/record 1000 1 ${CALLS}`,
    );
    const pid = HAS_STRACE ? Number(await site.sh('cut -d " " -f 1 $DIR/trace | sort -u')) : undefined;
    await site.umount();
    const entries = await printed(all);

    const calls = recorded(join(site.directory, 'record'));
    expect(calls.length).toBeGreaterThan(CALLS * 0.9);
    if (HAS_STRACE) expect(traced(join(site.directory, 'trace'))).toEqual(calls);
    const mine = entries.filter(({ uid }) => uid === 1000);
    const pids = new Set(mine.map((entry) => entry.pid).filter((of) => of !== 0));
    expect([...pids]).toEqual(pid === undefined ? [expect.any(Number)] : [pid]);
    const known = new Set(Object.values(OPERATIONS));
    // The kernel's own, as it takes privileges from a file that is cut, have pid 0.
    const changes = mine.filter((entry) => known.has(entry.operation) && entry.pid !== 0);
    expect(changes.map((entry) => ({ ...entry, paths: pathsOf(entry) }))).toEqual(
      calls.filter(({ result }) => !BY_LOOKUP.has(result)).map((call) => expect.objectContaining(call)),
    );
    const results = new Set(changes.map(({ result }) => result));
    expect(results).toEqual(new Set(['ok', 'ENOTEMPTY', 'ENODATA']));
    // What is absent was looked up right before.
    const absent = mine.filter(({ operation, result }) => operation === 'lookup' && result === 'ENOENT');
    expect(absent.length).toBeGreaterThan(calls.filter(({ result }) => result === 'ENOENT').length / 2);
    const times = entries.map(({ time, microseconds }) => Date.parse(time) + microseconds / 1000);
    for (const [i, time] of times.entries()) expect(time).toBeGreaterThan((times[i - 1] ?? 0) - 10);

    expect(untimed(await printed(ofUser))).toEqual(untimed(mine));
    const below = /^\/d1(\/|$)/;
    expect(untimed(await printed(some))).toEqual(
      untimed(entries).filter((entry) => {
        const isAsked = entry.operation === 'rename' || entry.operation === 'unlink';
        return isAsked && pathsOf(entry).some((path) => below.test(path));
      }),
    );
  });

  it('writes nothing while nobody listens, also after a listener was killed', async () => {
    const site = new Site();
    await site.mount(...NO_CACHES);
    const work = 'cd $MNT; for i in 1 2 3 4 5; do echo > f; stat f > /dev/null; rm f; done';
    await site.sh(work);
    expect(await figures(site)).toEqual({ listeners: 0, written: 0 });
    const killed = await follow(site);
    const other = await follow(site, '--op', 'unlink');
    await site.sh(work);
    killed.running.child.kill('SIGKILL');
    await vi.waitUntil(async () => (await figures(site)).listeners === 1, PATIENTLY);
    await site.sh(work);
    await vi.waitUntil(() => other.lines().length === 10, PATIENTLY);
    other.running.child.kill('SIGKILL');
    await vi.waitUntil(async () => (await figures(site)).listeners === 0, PATIENTLY);
    const before = await figures(site);
    expect(before.written).toBeGreaterThan(30);
    await site.sh(work);
    expect(await figures(site)).toEqual(before);
  });

  it('goes on where another daemon goes on with the mount, and ends with the mount', async () => {
    const site = new Site();
    await site.mount(...NO_CACHES);
    const { running, lines } = await follow(site, '--op', 'mkdir');
    await site.sh('mkdir $MNT/a');
    await vi.waitUntil(() => lines().length === 1, PATIENTLY);
    process.kill(site.daemon(), 'SIGKILL');
    // Which waits for the next one.
    await site.must('stats', '--store', site.store);
    await vi.waitUntil(async () => (await figures(site)).listeners === 1, PATIENTLY);
    await site.sh('mkdir $MNT/b');
    await vi.waitUntil(() => lines().length === 2, PATIENTLY);
    await site.must('upgrade', site.mountpoint);
    await vi.waitUntil(async () => (await figures(site)).listeners === 1, PATIENTLY);
    await site.sh('mkdir $MNT/c');
    await vi.waitUntil(() => lines().length === 3, PATIENTLY);
    await site.umount();
    const { code, err } = await running.result;
    expect([code, err.match(/another daemon serves the mount now/g)]).toEqual([
      0,
      expect.objectContaining({ length: 2 }),
    ]);
    expect(lines().map(({ path }) => path)).toEqual(['/a', '/b', '/c']);
  });

  it('holds nobody up, and tells exactly how many requests a slow reader has missed', async () => {
    const site = new Site();
    await site.mount(...NO_CACHES);
    await site.sh('touch $MNT/file');
    const requests = async () => {
      for (let before = -1; ; ) {
        const { requests: now } = await mountStats(site);
        if (now === before) return now;
        before = now;
      }
    };
    const before = await requests();
    const slow = await follow(site);
    slow.running.child.kill('SIGSTOP');
    await site.sh(`perl -e 'for (1 .. 8000) { lstat "$ENV{MNT}/file" or die $! }'`);
    const served = (await requests()) - before;
    expect(served).toBeGreaterThanOrEqual(16_000);
    slow.running.child.kill('SIGCONT');
    const told = () => {
      const lines = slow.text().split('\n').length - 1;
      const misses = Array.from(slow.text().matchAll(/^\{"missed":(\d+)\}$/gm), ([, missed]) =>
        Number(missed),
      );
      return { seen: lines - misses.length, missed: misses.reduce((a, b) => a + b, 0) };
    };
    await vi.waitUntil(() => told().seen + told().missed >= served, PATIENTLY);
    const { seen, missed } = told();
    expect(seen + missed).toBe(served);
    expect(missed).toBeGreaterThan(0);
    expect(seen).toBeGreaterThanOrEqual(8_192);
  });
});

describe('spinney log', () => {
  it.runIf(HAS_STRACE)('keeps slow requests, and tells what they waited for', async () => {
    const site = new Site();
    await site.mount();
    await site.sh('echo text > $MNT/file');
    // The store's disk takes 30 ms for each sync.
    const disk = site.start(
      `exec strace -f -p ${site.daemon()} -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=30000`,
    );
    let said = '';
    disk.child.stderr!.on('data', (chunk: string) => {
      said += chunk;
    });
    await vi.waitUntil(() => said.includes('attached'), PATIENTLY);
    await site.sh(
      `python3 -c "import os; fd = os.open('$MNT/file', os.O_RDWR); os.write(fd, b'x'); os.fsync(fd)"`,
    );
    disk.child.kill('SIGINT');
    await disk.result;
    const out = await site.must('log', site.mountpoint, '--op', 'fsync', '--json');
    const syncs = linesOf(out).filter(({ path }) => path === '/file');
    expect(syncs).toHaveLength(1);
    const [{ microseconds, waits, result }] = syncs as [RequestReport];
    expect(result).toBe('ok');
    expect(waits.below).toBeGreaterThanOrEqual(30_000);
    expect(microseconds).toBeGreaterThanOrEqual(waits.below!);
    expect(await site.must('log', site.mountpoint, '--slower', '30ms', '--path', '/file')).toMatch(
      /^\S+Z {2}fsync {9}ok .* us {2}uid 0 .*\/file {2}\(.*below \d/m,
    );
    expect(await figures(site)).toEqual({ listeners: 0, written: 0 });
  });

  it('keeps what the mount says is slow, and is told in one line where there is no mount', async () => {
    const site = new Site();
    await site.mount('--slow-requests', '0ms');
    await site.sh('mkdir $MNT/d');
    const kept = linesOf(
      await site.must('log', site.store, '--op', 'init,mkdir', '--slower', '0ms', '--json'),
    );
    expect(kept.at(-1)).toMatchObject({ operation: 'mkdir', path: '/d', uid: 0, result: 'ok' });
    await site.umount();
    expect(await site.refusal('log', site.store)).toContain('is the store mounted?');
  });

  it('is there with fuse-native too, which does not tell who asks', async () => {
    const site = new Site();
    await site.mount('--driver', 'fuse-native');
    const all = await follow(site);
    await site.sh(
      'cd $MNT; mkdir d; echo text > d/f; mv d/f d/g; ln d/g h; ! rmdir d 2> /dev/null; ln -s where d/s',
    );
    const { code, err } = await site.spinney('log', site.mountpoint, '--uid', '0');
    expect(code).toBe(2);
    expect(err).toContain('fuse-native, which serves this mount, does not tell who asks');
    await site.umount();
    const entries = await printed(all);
    const changes = entries.filter(({ operation }) =>
      ['mkdir', 'create', 'rename', 'link', 'rmdir', 'symlink'].includes(operation),
    );
    expect(changes.map((entry) => [entry.operation, ...pathsOf(entry), entry.result])).toEqual([
      ['mkdir', '/d', 'ok'],
      ['create', '/d/f', 'ok'],
      ['rename', '/d/f', '/d/g', 'ok'],
      ['link', '/d/g', '/h', 'ok'],
      ['rmdir', '/d', 'ENOTEMPTY'],
      ['symlink', '/d/s', 'ok'],
    ]);
    for (const entry of entries) {
      expect(entry).not.toHaveProperty('uid');
      expect(entry).not.toHaveProperty('pid');
    }
  });
});
