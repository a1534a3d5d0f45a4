/** What the control socket tells of requests, and `spinney log`, on a log that the test writes. */
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { askDaemonForLines } from '../../../daemon/control/client.js';
import type { BusyReport, MissReport, RequestReport } from '../../../daemon/control/reports.js';
import { type ControlServer, startControl } from '../../../daemon/control/server.js';
import { MAX_LISTENERS, Requests } from '../../../daemon/mounting/requests/requests.js';
import { run } from '../../../daemon/run.js';
import { Entry } from '../../../mount/request-log/entry.js';
import { Lane, RequestLogMemory } from '../../../mount/request-log/memory.js';
import { RequestLog } from '../../../mount/request-log/reader.js';
import { monotonic } from '../../../mount/requests/request-failures.js';
import { PATIENTLY } from '../../support/until.js';
import { ask, failure, silentLog, spinney, stubTarget, temporaryDirectory } from '../support.js';

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const OPERATIONS = ['lookup', 'rename', 'readdir', 'fsync'];

interface Fields extends Partial<Pick<Entry, 'operation' | 'result' | 'uid' | 'pid' | 'ino' | 'pathLength'>> {
  micros?: number;
  path?: string | Buffer;
  to?: string | Buffer;
  parts?: number[];
}

class Mount {
  readonly memory = new RequestLogMemory();
  readonly log: RequestLog;
  readonly requests = new Requests();
  end: () => void = () => {};

  constructor(tellsCaller = true) {
    this.log = new RequestLog(this.memory, { operations: OPERATIONS, tellsCaller });
    this.requests.begin(
      this.log,
      new Promise<void>((resolve) => {
        this.end = resolve;
      }),
    );
  }

  answer({ micros = 5, path, to, parts = [], ...fields }: Fields): void {
    const entry = Object.assign(new Entry(), { begun: monotonic(), ...fields });
    entry.microseconds = micros;
    entry.parts.set(parts);
    if (path !== undefined) {
      Buffer.from(path).copy(entry.path);
      entry.pathLength ??= Buffer.from(path).length;
      if (fields.pathLength === undefined) entry.pathLength = Buffer.from(path).length;
    }
    if (to !== undefined) {
      Buffer.from(to).copy(entry.to);
      entry.toLength = Buffer.from(to).length;
    }
    if (this.memory.wants(micros)) this.memory.write(Lane.SESSION, entry);
  }
}

async function controlOf(mount: Mount): Promise<[path: string, server: ControlServer]> {
  const path = join(temporaryDirectory(), 'control.sock');
  const target = stubTarget({ requests: mount.requests });
  const server = await startControl({ path, target, log: silentLog });
  onTestFinished(() => server.close());
  return [path, server];
}

async function socketOf(mount: Mount): Promise<string> {
  return (await controlOf(mount))[0];
}

/** Follows by a client that reads what it gets; resolves when it listens. */
async function follow(mount: Mount, socket: string, query = '') {
  const before = mount.log.figures().listeners;
  const ended = new AbortController();
  const lines: unknown[] = [];
  const result = askDaemonForLines(socket, `/v1/log?follow=1${query}`, (line) => lines.push(line), {
    signal: ended.signal,
  });
  onTestFinished(() => ended.abort());
  await vi.waitUntil(() => mount.log.figures().listeners > before, PATIENTLY);
  return { lines: lines as RequestReport[], result, stop: () => ended.abort() };
}

/** A client that asks and reads nothing, until it is told to. */
async function follower(mount: Mount, path: string): Promise<Socket> {
  const before = mount.log.figures().listeners;
  const socket = connect(path);
  onTestFinished(() => void socket.destroy());
  socket.pause();
  socket.write('GET /v1/log?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n');
  await vi.waitUntil(() => mount.log.figures().listeners > before, PATIENTLY);
  return socket;
}

describe('the log of requests', () => {
  it('tells all of a request', async () => {
    const mount = new Mount();
    const socket = await socketOf(mount);
    const { lines } = await follow(mount, socket);
    const notUtf8 = Buffer.from('/caf\xe9', 'latin1');
    const before = Date.now();
    mount.answer({
      operation: 1,
      uid: 7,
      pid: 8,
      path: '/a "b"\n',
      to: notUtf8,
      result: 2,
      micros: 1234.6,
      parts: [1000, 234.6],
    });
    mount.answer({ operation: 0, path: '', pid: 0, uid: 0 });
    mount.answer({ operation: 0, ino: 42 });
    mount.answer({ operation: 0, path: 'p'.repeat(440), pathLength: 5000 });
    await vi.waitUntil(() => lines.length === 4, PATIENTLY);
    expect(lines).toEqual([
      {
        time: expect.stringMatching(TIME),
        operation: 'rename',
        path: '/a "b"\n',
        to: '/caf\ufffd',
        toBytes: notUtf8.toString('base64'),
        uid: 7,
        pid: 8,
        result: 'ENOENT',
        microseconds: 1235,
        waits: { tree: 1000, waiting: 235 },
      },
      expect.objectContaining({ path: '/', uid: 0, pid: 0, result: 'ok' }),
      expect.objectContaining({ ino: 42 }),
      expect.objectContaining({ path: 'p'.repeat(440), pathLength: 5000 }),
    ]);
    const now = Date.now();
    for (const { time } of lines) {
      expect(Date.parse(time)).toBeGreaterThanOrEqual(before - 5);
      expect(Date.parse(time)).toBeLessThanOrEqual(now + 5);
    }
    for (const name of ['path', 'uid', 'pid', 'to']) expect(lines[2]).not.toHaveProperty(name);
  });

  it('gives each listener what it asked for', async () => {
    const mount = new Mount();
    const socket = await socketOf(mount);
    const all = await follow(mount, socket);
    const slow = await follow(mount, socket, '&slower=0.02&op=lookup,fsync&path=/a/&uid=7');
    mount.answer({ operation: 0, uid: 7, path: '/a/b', micros: 20 });
    mount.answer({ operation: 0, uid: 7, path: '/a/b', micros: 19 });
    mount.answer({ operation: 0, uid: 8, path: '/a/b', micros: 20 });
    mount.answer({ operation: 1, uid: 7, path: '/a/b', micros: 20 });
    mount.answer({ operation: 0, uid: 7, path: '/ab', micros: 20 });
    mount.answer({ operation: 3, uid: 7, path: '/a', micros: 21 });
    await vi.waitUntil(() => all.lines.length === 6 && slow.lines.length === 2, PATIENTLY);
    expect(slow.lines.map(({ path, operation }) => [path, operation])).toEqual([
      ['/a/b', 'lookup'],
      ['/a', 'fsync'],
    ]);
    all.stop();
    await all.result;
    await vi.waitUntil(() => mount.log.figures().listeners === 1, PATIENTLY);
    const { written } = mount.log.figures();
    mount.answer({ micros: 19 });
    expect(mount.log.figures().written).toBe(written);
  });

  it('writes nothing when nobody listens any more, however they went', async () => {
    const mount = new Mount();
    const socket = await socketOf(mount);
    const quits = await follow(mount, socket);
    const dies = await follower(mount, socket);
    mount.answer({});
    expect(mount.log.figures().written).toBe(1);
    quits.stop();
    dies.destroy();
    await vi.waitUntil(() => mount.log.figures().listeners === 0, PATIENTLY);
    mount.answer({});
    expect(mount.log.figures().written).toBe(1);
  });

  it('tells a client that does not read exactly what it missed', async () => {
    const mount = new Mount();
    const path = await socketOf(mount);
    const socket = await follower(mount, path);
    const REQUESTS = 60_000;
    const turns = REQUESTS / 2_000;
    for (let turn = 0; turn < turns; turn++) {
      for (let i = 0; i < 2_000; i++)
        mount.answer({ path: `/a-file-with-a-name-of-some-length/${turn}/${i}` });
      // The thread that answers the control socket gets time, as it does of a mount's.
      await new Promise((resolve) => setImmediate(resolve));
    }
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
    });
    socket.resume();
    const figures = () => {
      const lines = text
        .split('\r\n')
        .flatMap((part) => part.split('\n'))
        .filter((line) => /^\{.*\}$/.test(line));
      const missed = lines.map((line) => (JSON.parse(line) as Partial<MissReport>).missed ?? 0);
      return {
        seen: lines.length - missed.filter(Boolean).length,
        missed: missed.reduce((a, b) => a + b, 0),
      };
    };
    await vi.waitUntil(() => figures().seen + figures().missed >= REQUESTS, PATIENTLY);
    expect(figures().seen + figures().missed).toBe(REQUESTS);
    expect(figures().missed).toBeGreaterThan(0);
    expect(figures().seen).toBeGreaterThan(8_000);
  });

  it('ends when the mount does, after all that was answered', async () => {
    const mount = new Mount();
    const socket = await socketOf(mount);
    const { lines, result } = await follow(mount, socket);
    for (let i = 0; i < 5_000; i++) mount.answer({ ino: i + 1 });
    mount.end();
    await result;
    expect(lines.map(({ ino }) => ino)).toEqual(Array.from({ length: 5_000 }, (_, i) => i + 1));
  });

  it('is whole when the control socket is closed before, with all that was answered by then', async () => {
    const mount = new Mount();
    const [socket, control] = await controlOf(mount);
    const { lines, result } = await follow(mount, socket);
    for (let i = 0; i < 50; i++) mount.answer({ ino: i + 1 });
    await control.close();
    await result;
    expect(lines).toHaveLength(50);
  });

  it('has few listeners at a time, and answers others', async () => {
    const mount = new Mount();
    const path = await socketOf(mount);
    for (let i = 0; i < MAX_LISTENERS; i++) await follower(mount, path);
    const refused = await ask(path, 'GET', '/v1/log?follow=1');
    expect(refused.status).toBe(429);
    expect(JSON.parse(refused.text).error).toEqual({
      code: 'ERR_TOO_MANY_LISTENERS',
      message: 'Cannot follow the requests: 16 listen already, which is the limit; end one of them',
    });
    expect((await ask(path, 'GET', '/v1/health')).status).toBe(200);
    expect((await ask(path, 'GET', '/v1/log')).status).toBe(200);
  });

  it('listens as long as it takes, also to nothing', async () => {
    const mount = new Mount();
    const path = await socketOf(mount);
    const sockets: Socket[] = [];
    const answered = new Promise<void>((resolve, reject) => {
      const outgoing = request({ socketPath: path, path: '/v1/log?follow=1', agent: false }, (incoming) => {
        onTestFinished(() => void incoming.destroy());
        expect(incoming.statusCode).toBe(200);
        resolve();
      });
      outgoing.on('socket', (socket: Socket) => sockets.push(socket));
      outgoing.on('error', reject);
      outgoing.end();
    });
    // Answered at once, though nothing has happened yet.
    await answered;
    expect(sockets).toHaveLength(1);
    expect(mount.log.figures().listeners).toBe(1);
  });

  it.each([
    ['op=lookup,nothing', 'there is no operation "nothing"; the mount has fsync, lookup, readdir, rename'],
    ['op=', 'op takes operations, with commas between them'],
    ['uid=-1', 'uid takes a number from 0 to 4294967294'],
    ['uid=1.5', 'uid takes a whole number'],
    ['slower=fast', 'slower takes a number from 0 to 3600000'],
    ['path=photos', 'the path "photos" is not one from the mount\'s root on, as /photos is'],
    [`path=/${'x'.repeat(219)}`, 'the path has 220 bytes, and the log keeps 219 of one; give a shorter one'],
    ['follow=yes', 'follow takes the number 1'],
    ['follow=1&busy=1', 'busy takes a number from 200 to 60000'],
    ['busy=1000', 'busy takes what goes with follow=1'],
    [
      'slower=1',
      'those of 1 ms are not kept, only those of 10 ms and more; follow the requests to see faster ones',
    ],
  ])('refuses %s', async (query, reason) => {
    const { status, text } = await ask(await socketOf(new Mount()), 'GET', `/v1/log?${query}`);
    expect(status).toBe(400);
    expect(JSON.parse(text).error.message).toBe(`Cannot tell of requests: ${reason}`);
  });

  it('does not look for users where the driver does not tell of any', async () => {
    const { text } = await ask(await socketOf(new Mount(false)), 'GET', '/v1/log?uid=7');
    expect(JSON.parse(text).error.message).toContain(
      'fuse-native, which serves this mount, does not tell who asks',
    );
  });

  it('says that the mount is not up yet', () => {
    const query = { slower: undefined, operations: undefined, path: undefined, uid: undefined };
    expect(() => new Requests().slow(query)).toThrow('the mount is not up yet');
  });
});

describe('who is busy', () => {
  it('is told for each while, by client and by directory', async () => {
    const mount = new Mount();
    const socket = await socketOf(mount);
    const { lines } = await follow(mount, socket, '&busy=200&op=lookup,readdir');
    const reports = lines as unknown as BusyReport[];
    for (let i = 0; i < 100; i++)
      mount.answer({ operation: 0, uid: 1, pid: 10, path: `/a/b/${i}`, micros: 10 });
    for (let i = 0; i < 50; i++) mount.answer({ operation: 0, uid: 2, pid: 20, path: `/${i}`, micros: 100 });
    mount.answer({ operation: 2, uid: 2, pid: 20, path: '/a/b', micros: 7 });
    mount.answer({ operation: 2, uid: 2, pid: 20, path: '', micros: 7 });
    mount.answer({ operation: 1, uid: 3, pid: 30, path: '/a/b', micros: 1_000 });
    mount.answer({ operation: 0, ino: 5, micros: 1 });
    await vi.waitUntil(() => reports.some(({ seen }) => seen > 0));
    const report = reports.find(({ seen }) => seen > 0)!;
    expect(report).toMatchObject({
      seen: 153,
      missed: 0,
      clients: [
        { uid: 1, pid: 10, requests: 100, microseconds: 1_000 },
        { uid: 2, pid: 20, requests: 52, microseconds: 5_014 },
        { requests: 1, microseconds: 1 },
      ],
      directories: [
        { path: '/a/b', requests: 101, microseconds: 1_007 },
        { path: '/', requests: 51, microseconds: 5_007 },
      ],
    });
    expect(report.milliseconds).toBeGreaterThanOrEqual(200);
    // Each report is of its own while.
    await vi.waitUntil(() => reports.length > reports.indexOf(report) + 1, PATIENTLY);
    expect(reports.at(-1)).toMatchObject({ seen: 0, clients: [], directories: [] });
  });

  it('is of bounded size', async () => {
    const mount = new Mount();
    const socket = await socketOf(mount);
    const { lines } = await follow(mount, socket, '&busy=200');
    for (let i = 0; i < 5_000; i++) mount.answer({ operation: 0, uid: 1, pid: i, path: `/${i}/x` });
    await vi.waitUntil(() => (lines as unknown as BusyReport[]).some(({ seen }) => seen > 0));
    const report = (lines as unknown as BusyReport[]).find(({ seen }) => seen > 0)!;
    expect(report.seen + report.missed).toBeLessThanOrEqual(5_000);
    expect([report.clients.length, report.directories.length]).toEqual([64, 64]);
  });
});

describe('spinney log', () => {
  it('shows the slow requests that are kept, a line each', async () => {
    const mount = new Mount();
    const control = await socketOf(mount);
    mount.answer({
      operation: 3,
      uid: 0,
      pid: 4711,
      path: '/a\u001b[2J\u009b',
      micros: 12_345,
      parts: [45, 0, 0, 12_300],
    });
    mount.answer({
      operation: 1,
      path: Buffer.from('/caf\xe9/\u00e9', 'latin1'),
      to: '/b',
      micros: 10_000,
      result: 13,
    });
    mount.answer({ operation: 0, ino: 42, uid: 1, pid: 2, micros: 9_999 });
    mount.answer({ operation: 0, ino: 42, uid: 1, pid: 2, micros: 1_000_000 });
    mount.answer({ operation: 0, uid: 1, pid: 2, path: 'p'.repeat(440), pathLength: 5000, micros: 20_000 });
    const { code, out } = await spinney('log', '--control', control);
    expect(code).toBe(0);
    expect(out.replace(/^\S+/gm, (time) => (TIME.test(time) ? 'TIME' : time)).split('\n')).toEqual([
      'TIME  fsync         ok                12,345 us  uid 0      pid 4711     /a\\u001b[2J\\u009b  (journal 12,300, tree 45)',
      'TIME  rename        EACCES            10,000 us  uid ?      pid ?        /caf\\xe9/\\xe9 -> /b',
      'TIME  lookup        ok             1,000,000 us  uid 1      pid 2        inode 42',
      `TIME  lookup        ok                20,000 us  uid 1      pid 2        ${'p'.repeat(440)}... (5,000 bytes)`,
      '',
    ]);
    const json = await spinney('log', '--control', control, '--json', '--op', 'rename');
    expect(JSON.parse(json.out)).toMatchObject({
      operation: 'rename',
      pathBytes: Buffer.from('/caf\xe9/\u00e9', 'latin1').toString('base64'),
    });
    expect((await spinney('log', '--control', control, '--slower', '1s')).out.split('\n')).toHaveLength(2);
  });

  it('follows what is answered, and ends when nobody reads', async () => {
    const mount = new Mount();
    const control = await socketOf(mount);
    let out = '';
    const ended = run(
      ['log', '--follow', '--path', '/a', '--uid', '7', '--slower', '500us', '--control', control],
      {
        out: (text) => {
          out += text;
        },
        err: () => {},
        hasReader: () => !out.includes('last'),
      },
    );
    await vi.waitUntil(() => mount.log.figures().listeners === 1, PATIENTLY);
    mount.answer({ operation: 0, uid: 7, path: '/a/b', micros: 500 });
    mount.answer({ operation: 0, uid: 7, path: '/a/b', micros: 499 });
    mount.answer({ operation: 0, uid: 7, path: '/a/last', micros: 500 });
    expect(await ended).toBe(0);
    expect(out.split('\n')).toHaveLength(3);
    await vi.waitUntil(() => mount.log.figures().listeners === 0, PATIENTLY);
  });

  it('tells what was missed, in its place', async () => {
    const mount = new Mount();
    const control = await socketOf(mount);
    const lines: string[] = [];
    const ended = run(['log', '--follow', '--control', control], {
      out: (text) => void lines.push(text.trimEnd()),
      err: () => {},
    });
    await vi.waitUntil(() => mount.log.figures().listeners === 1, PATIENTLY);
    // All at once: the thread that answers the control socket gets no time between.
    for (let i = 0; i < 8_192 + 1_234; i++) mount.answer({ ino: i + 1 });
    mount.end();
    await ended;
    expect(lines[0]).toBe('... 1,234 requests missed');
    expect(lines).toHaveLength(8_193);
    expect(lines[1]).toMatch(/inode 1235$/);
    expect(lines.at(-1)).toMatch(/inode 9426$/);
  });

  it('keeps what mount says, which takes times', async () => {
    const [mountpoint, store] = [temporaryDirectory(), join(temporaryDirectory(), 'store')];
    const { code, line } = await failure('mount', mountpoint, '--store', store, '--slow-requests', '10');
    expect(line).toContain('--slow-requests is "10", but takes a time up to an hour, as 10ms, 1.5s or 500us');
    expect(code).toBe(2);
  });

  it('refuses what it does not take', async () => {
    const control = await socketOf(new Mount());
    for (const [option, value, reason] of [
      ['--slower', '10', '--slower is "10", but takes a time up to an hour, as 10ms, 1.5s or 500us'],
      ['--slower', '2h', '--slower is "2h", but takes'],
      ['--slower', '3601s', '--slower is "3601s", but takes'],
      [
        '--uid',
        'root',
        '--uid is "root", but takes the number of a user from 0 to 4294967294 (see id -u NAME)',
      ],
      ['--op', 'removal', 'there is no operation "removal"; the mount has'],
    ] as const) {
      const { code, line } = await failure('log', '--control', control, option, value);
      expect(line).toContain(reason);
      expect(code).toBe(2);
    }
  });
});
