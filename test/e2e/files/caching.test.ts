/**
 * What the kernel answers by itself, by the daemon's own count of requests: names, attributes, absent names, listings,
 * targets of links and contents that it has seen before.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatsReport } from '../../../daemon/control/reports.js';
import { Site } from '../site.js';

/** Requests that come when the kernel likes, and those of the closing of files. */
const LATER = ['forget', 'batch_forget', 'release', 'releasedir', 'interrupt'];
/** A kernel that is short of memory gives up what it holds; then what it says the next time counts. */
const ATTEMPTS = 4;

const FILES = 1_000;
const MAKE = `cd $MNT; perl -e '
  mkdir "d" or die; for (1 .. ${FILES}) { open(F, ">", "d/f$_") or die $!; print F "content $_\\n" x 1000 }
  for (1 .. 200) { symlink "target $_", "d/l$_" or die $! }
  mkdir "e" or die; for (1 .. ${FILES}) { open(F, ">", "e/f$_") or die $! }'`;
const STAT = `cd $MNT; perl -e 'for (1 .. ${FILES}) { my @s = lstat("d/f$_") or die $!; $s[7] > 9_000 or die }'`;
const ABSENT = `cd $MNT; perl -e 'for (1 .. ${FILES}) { lstat("d/absent$_") and die }'`;
const READLINK = `cd $MNT; perl -e 'for (1 .. 200) { readlink("d/l$_") eq "target $_" or die }'`;
const LIST = `cd $MNT; test "$(ls -f d | wc -l)" = ${FILES + 202}`;
const READ = `cd $MNT; perl -e 'for (1 .. 100) { local $/; open(F, "<", "d/f$_") or die; <F> =~ /^content $_\\n/ or die }'`;

let site: Site;
let cleanUp: () => Promise<void>;
beforeAll(async () => {
  site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  // Where contents go through the daemon, the kernel keeps them too.
  if (process.getuid?.() === 0) await site.stackStore();
  await site.mount();
  await site.sh(MAKE);
});
afterAll(() => cleanUp());

/** Mounts anew, so that the kernel knows nothing. */
async function mountAnew(...options: string[]): Promise<void> {
  await site.umount();
  await site.mount(...options);
}

async function operations(): Promise<Record<string, number>> {
  const stats = await site.sh(
    'curl -sS --max-time 30 --unix-socket $STORE/control.sock http://localhost/v1/stats',
  );
  return (JSON.parse(stats) as StatsReport).mount.operations;
}

/** As `ls -l`, without the security label that it asks for too, which no kernel keeps. */
const LIST_LONG = `cd $MNT/e; perl -e '
  opendir(D, ".") or die; my $n = 0; while (defined(my $f = readdir D)) { lstat($f) or die $!; $n++ }
  die $n unless $n == ${FILES + 2}'`;

/** What a script has the kernel ask for, by operation. */
async function requestsOf(script: string): Promise<Record<string, number>> {
  const before = await operations();
  await site.sh(script);
  const sent = Object.entries(await operations()).map(([name, count]) => {
    return [name, count - (before[name] ?? 0)] as const;
  });
  return Object.fromEntries(sent.filter(([name, count]) => count > 0 && !LATER.includes(name)));
}

/** Expects that a script, repeated, comes to be one that asks for nothing but `allowed`. */
async function expectQuiet(script: string, ...allowed: string[]): Promise<void> {
  const sent: Record<string, number>[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const requests = await requestsOf(script);
    for (const name of allowed) delete requests[name];
    if (Object.keys(requests).length === 0) return;
    sent.push(requests);
  }
  expect(sent).toContainEqual({});
}

describe('the kernel answers by itself', () => {
  beforeAll(() => mountAnew());

  it('for names and attributes that it has seen', async () => {
    const { lookup } = await requestsOf(STAT);
    expect(lookup).toBeGreaterThanOrEqual(FILES);
    await expectQuiet(STAT);
  });

  it('for names that it has seen to be absent', async () => {
    const { lookup } = await requestsOf(ABSENT);
    expect(lookup).toBeGreaterThanOrEqual(FILES);
    await expectQuiet(ABSENT);
  });

  it('for targets of symbolic links', async () => {
    expect((await requestsOf(READLINK)).readlink).toBe(200);
    await expectQuiet(READLINK);
  });

  it('for listings', async () => {
    const { readdir = 0, readdirplus = 0 } = await requestsOf(LIST);
    expect(readdir + readdirplus).toBeGreaterThan(1);
    await expectQuiet(LIST, 'opendir');
  });

  it('for contents that were read or written before, over closing and opening', async () => {
    expect((await requestsOf(READ)).read).toBeGreaterThanOrEqual(100);
    // perl asks of each file that it opens whether it is a terminal.
    await expectQuiet(READ, 'open', 'ioctl');
    await expectQuiet(
      `cd $MNT; head -c 1048576 /dev/zero > written; test "$(tr -d '\\0' < written | wc -c)" = 0`,
      ...['lookup', 'create', 'open', 'write', 'getattr', 'getxattr', 'setattr'],
    );
  });

  it('for attributes that came with a listing', async () => {
    const { readdirplus, lookup = 0 } = await requestsOf(LIST_LONG);
    expect(readdirplus).toBeGreaterThan(1);
    expect(lookup).toBeLessThan(FILES / 10);
    await expectQuiet(LIST_LONG, 'opendir');
  });
});

describe('with a timeout of 0 the kernel asks each time', () => {
  it('for names, absent names, attributes and listings', async () => {
    await mountAnew('--entry-timeout', '0', '--attr-timeout', '0', '--negative-timeout', '0');
    for (let time = 0; time < 2; time++) {
      const { lookup = 0, getattr = 0 } = await requestsOf(STAT);
      expect(lookup + getattr).toBeGreaterThanOrEqual(FILES);
      expect((await requestsOf(ABSENT)).lookup).toBeGreaterThanOrEqual(FILES);
      const { readdir = 0, readdirplus = 0 } = await requestsOf(LIST);
      expect(readdir + readdirplus).toBeGreaterThan(1);
    }
  });

  it('for attributes alone', async () => {
    await mountAnew('--attr-timeout', '0');
    await requestsOf(STAT);
    const { getattr, lookup = 0 } = await requestsOf(STAT);
    expect(getattr).toBeGreaterThanOrEqual(FILES);
    expect(lookup).toBeLessThan(FILES);
  });

  it('for absent names alone', async () => {
    await mountAnew('--negative-timeout', '0');
    await requestsOf(ABSENT);
    expect((await requestsOf(ABSENT)).lookup).toBeGreaterThanOrEqual(FILES);
    await expectQuiet(STAT);
  });

  it('for names and listings alone', async () => {
    await mountAnew('--entry-timeout', '0');
    for (let time = 0; time < 2; time++) {
      expect((await requestsOf(STAT)).lookup).toBeGreaterThanOrEqual(FILES);
      const { readdir = 0, readdirplus = 0 } = await requestsOf(LIST);
      expect(readdir + readdirplus).toBeGreaterThan(1);
    }
  });
});

it('a file that someone writes is asked for after each write, and once', async () => {
  await mountAnew();
  const look = 'for j in 1 2 3; do test "$(stat -c %s f)" = $i || exit 1; done';
  const { getattr = 0, statx = 0 } = await requestsOf(
    `cd $MNT; exec 3> f; for i in 1 2 3 4; do printf 1 >&3; ${look}; done; exec 3>&-`,
  );
  // Each change of the directory costs one more.
  expect(getattr + statx).toBeGreaterThanOrEqual(4);
  expect(getattr + statx).toBeLessThanOrEqual(6);
  await expectQuiet('stat $MNT/f');
});

it('a file that someone may map is asked for each time, and no longer once it is closed', async () => {
  await mountAnew();
  const { getattr = 0, statx = 0 } = await requestsOf(
    `cd $MNT; exec 3<> g; echo 1 >&3; for i in $(seq 20); do test "$(stat -c %s g)" = 2 || exit 1; done; exec 3>&-`,
  );
  expect(getattr + statx).toBeGreaterThanOrEqual(20);
  await expectQuiet('stat $MNT/g');
});
