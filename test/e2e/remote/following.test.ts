/** Mounts that follow what another machine writes, through real system calls. The remote is an S3 server of this process. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import type { StatsReport } from '../../../daemon/control/reports.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { HttpObjectStore, S3_ENVIRONMENT } from '../../support/object/http-object-store.js';
import { Site } from '../site.js';

const before = { ...process.env };
beforeAll(() => Object.assign(process.env, S3_ENVIRONMENT));
afterAll(() => {
  for (const name of Object.keys(S3_ENVIRONMENT)) delete process.env[name];
  Object.assign(process.env, before);
});

const REMOTE = 's3://photos/home';
/** Until a command gives that, however slow the machine. */
const LONG = { timeout: 90_000, interval: 100 };

/** What a command that must fail says. */
async function refused(site: Site, ...args: string[]): Promise<string> {
  const { code, err } = await site.spinney(...args);
  expect(code).not.toBe(0);
  return err;
}

async function begin(script: string) {
  const server = await HttpObjectStore.serve(new MemoryObjectStore(), 'photos');
  onTestFinished(() => server.close());
  const options = ['--remote', REMOTE, '--remote-endpoint', server.endpoint];
  const writer = new Site();
  await writer.mount(...options);
  await writer.sh(`cd $MNT; ${script}`);
  const follower = new Site();
  await follower.mount(...options, '--follow');
  const shows = (what: string) =>
    expect.poll(async () => (await follower.attempt(`cd $MNT; ${what}`)).out.trim(), LONG);
  const remoteOf = async () =>
    (JSON.parse(await follower.must('stats', follower.mountpoint, '--json')) as StatsReport).remote!;
  return { server, options, writer, follower, shows, remoteOf };
}

it('shows what the writer has done, as it does it, and lets nothing be changed', async () => {
  const { writer, follower, shows } = await begin(
    'mkdir -p d/sub; echo one > d/a; echo two > d/b; ln d/a hard',
  );
  await shows('cat d/a d/b hard').toBe('one\ntwo\none');
  // The kernel holds names, attributes, contents and listings of all this.
  await follower.sh(
    'cd $MNT; ls -lR > /dev/null; stat d/sub d/a > /dev/null; test ! -e d/new; test ! -e moved',
  );

  await writer.sh(
    'cd $MNT; echo new > d/new; echo three > d/b; rm d/a; mv d/sub moved; chmod 600 d/b; setfattr -n user.k -v v d/b',
  );
  await shows('cat d/new; cat d/b; stat -c %a d/b; getfattr --only-values -n user.k d/b').toBe(
    'new\nthree\n600\nv',
  );
  await shows('ls d; ls; stat -c %h hard').toBe('b\nnew\nd\nhard\nmoved\n1');

  for (const change of ['touch x', 'rm hard', 'mkdir y', 'mv hard z', 'chmod 777 d/b', 'echo x > d/b']) {
    const { code, err } = await follower.attempt(`cd $MNT; ${change}`);
    expect({ change, code, err }).toMatchObject({
      code: 1,
      err: expect.stringMatching(/Read-only file system/),
    });
  }
  const refusal = await refused(follower, 'snapshot', 'create', 'now', '--store', follower.store);
  expect(refusal).toMatch(/read-only|follows/i);
});

it('goes on with files and directories that are open', async () => {
  const { writer, follower } = await begin(
    'mkdir -p d/deep; for i in 1 2 3; do echo $i > d/deep/f$i; done; echo first > file',
  );
  const script = `cd $MNT/d/deep; exec 3< $MNT/file; echo ready
    until test -e $DIR/go; do sleep 0.1; done; cat <&3; ls; cat f1; stat -L -c %s /proc/self/fd/3`;
  const { child, result } = follower.start(script, 200);
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  await writer.sh('cd $MNT; echo "second, which is longer" > file; mv d e; echo 4 > e/deep/f4');
  await expect
    .poll(async () => (await follower.attempt('cat $MNT/e/deep/f4 $MNT/file')).out, LONG)
    .toBe('4\nsecond, which is longer\n');
  await follower.sh('touch $DIR/go');
  const { out } = await result;
  expect(out).toBe('ready\nsecond, which is longer\nf1\nf2\nf3\nf4\n1\n24\n');
});

it('tells how far it is, goes on while the writer and the server are away, and follows the next writer', async () => {
  const { server, options, writer, follower, remoteOf, shows } = await begin('echo one > a');
  await shows('cat a').toBe('one');
  expect(await remoteOf()).toMatchObject({
    url: REMOTE,
    state: 'ok',
    following: { writer: 'active', adoptions: 0 },
  });
  server.isAway = true;
  await expect.poll(async () => (await remoteOf()).state, LONG).toBe('away');
  expect((await follower.sh('cat $MNT/a')).trim()).toBe('one');
  server.isAway = false;
  await writer.umount();
  await expect.poll(async () => (await remoteOf()).following?.writer, LONG).toBe('released');
  expect(await follower.must('status', follower.mountpoint)).toMatch(
    /writer +released, last heard of \d+ s ago/,
  );
  const next = new Site();
  await next.mount(...options);
  await next.sh('echo two > $MNT/b');
  await shows('cat a b').toBe('one\ntwo');
  expect((await remoteOf()).following?.writer).toBe('active');
});

it('is in a directory of its own, made anew by each mount', async () => {
  const { options, writer, follower, shows } = await begin('echo one > a');
  await shows('cat a').toBe('one');
  await follower.umount();
  const plain = await refused(follower, 'mount', follower.mountpoint, '--store', follower.store);
  expect(plain).toMatch(
    /is a copy of what another machine writes to s3:\/\/photos\/home; mount it with --remote and --follow/,
  );
  const own = await refused(follower, 'mount', follower.mountpoint, '--store', follower.store, ...options);
  expect(own).toMatch(/is a copy of what another machine writes/);
  await writer.sh('echo two > $MNT/b');
  await follower.mount(...options, '--follow');
  await shows('cat a b').toBe('one\ntwo');
  const other = new Site();
  await other.mount();
  await other.umount();
  const foreign = await refused(
    other,
    'mount',
    other.mountpoint,
    '--store',
    other.store,
    ...options,
    '--follow',
  );
  expect(foreign).toMatch(
    /Cannot follow s3:\/\/photos\/home in .*: something is there; give an empty directory/,
  );
});

it.each([['--follow'], []])(
  'can be given up while it waits for a remote that does not answer, with %j',
  async (...more) => {
    const asked: Socket[] = [];
    const server = createServer((socket) => void asked.push(socket.on('error', () => {})));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => {
      for (const socket of asked) socket.destroy();
      server.close();
    });
    const site = new Site();
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const mounting = site.startSpinney(
      ...['mount', site.mountpoint, '--store', site.store],
      ...['--remote', REMOTE, '--remote-endpoint', endpoint, ...more],
    );
    await expect.poll(() => asked.length, LONG).toBeGreaterThan(0);
    mounting.child.kill('SIGINT');
    const { code, err } = await mounting.result;
    expect(code).not.toBe(0);
    expect(err).toContain('given up while it was being started');
  },
);
