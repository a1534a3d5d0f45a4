import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ControlOptions, MAX_CONNECTIONS, startControl } from '../../../daemon/control/server.js';
import { SpinneyError } from '../../../engine/errors.js';
import { ask, silentLog, stubTarget, temporaryDirectory } from '../support.js';

async function start(options: Partial<ControlOptions> = {}): Promise<string> {
  const path = options.path ?? join(temporaryDirectory(), 'control.sock');
  const server = await startControl({ path, target: stubTarget(), log: silentLog, ...options });
  onTestFinished(() => server.close());
  return path;
}

/** Sends bytes and gives all that came back until the server closed the connection. */
async function exchange(path: string, bytes: string): Promise<string> {
  const socket = connect(path);
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString();
  });
  socket.on('error', () => {});
  socket.write(bytes);
  await once(socket, 'close');
  return text;
}

async function connected(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on('error', () => {});
  await once(socket, 'connect');
  onTestFinished(() => void socket.destroy());
  return socket;
}

describe('routes', () => {
  it('answers stats, with the rows per blob only when asked', async () => {
    const path = await start();
    const plain = await ask(path, 'GET', '/v1/stats');
    expect(plain.status).toBe(200);
    expect(plain.headers['content-type']).toMatch(/^application\/json/);
    const body = JSON.parse(plain.text);
    expect(body).toMatchObject({ version: '1.2.3', store: { path: '/srv/store' }, tree: { keyCount: 4242 } });
    expect(body.tree.blobs).toBeUndefined();
    const full = JSON.parse((await ask(path, 'GET', '/v1/stats?blobs=1')).text);
    expect(full.tree.blobs).toHaveLength(1);
  });

  it('answers 503 with the reasons when degraded', async () => {
    const path = await start({
      target: stubTarget({ health: () => ({ status: 'degraded', reasons: ['the mount is gone'] }) }),
    });
    const answer = await ask(path, 'GET', '/v1/health');
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toEqual({ status: 'degraded', reasons: ['the mount is gone'] });
  });

  it('waits for a checkpoint and a compaction, and answers other requests meanwhile', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const target = stubTarget();
    const path = await start({
      target: stubTarget({
        async checkpoint() {
          await gate;
          return target.checkpoint();
        },
      }),
    });
    const waiting = ask(path, 'POST', '/v1/checkpoint');
    expect((await ask(path, 'GET', '/v1/health')).status).toBe(200);
    release();
    expect(JSON.parse((await waiting).text).checkpoint.lastLsn).toBe(90);
    expect(JSON.parse((await ask(path, 'POST', '/v1/compact')).text).after.blobCount).toBe(2);
  });

  it('passes an engine error on with its code', async () => {
    const path = await start({
      target: stubTarget({
        async checkpoint() {
          throw new SpinneyError('ERR_NO_SPACE', 'Cannot write blob 7: no space left');
        },
      }),
    });
    const answer = await ask(path, 'POST', '/v1/checkpoint');
    expect(answer.status).toBe(500);
    expect(JSON.parse(answer.text)).toEqual({
      error: { code: 'ERR_NO_SPACE', message: 'Cannot write blob 7: no space left' },
    });
  });

  it('says of what is not there yet that it is not, and logs no error of it', async () => {
    const logged: unknown[] = [];
    const log = Object.assign(Object.create(silentLog), { error: (...line: unknown[]) => logged.push(line) });
    const stats = () => {
      throw new SpinneyError('ERR_MOUNT', 'Cannot tell the stats of /mnt: it is not up yet');
    };
    const path = await start({ log, target: stubTarget({ stats }) });
    const answer = await ask(path, 'GET', '/v1/stats');
    expect([answer.status, JSON.parse(answer.text).error.code]).toEqual([503, 'ERR_MOUNT']);
    expect(logged).toEqual([]);
  });

  it('gives metrics as Prometheus text, of the moment of the scrape', async () => {
    const target = stubTarget();
    let requests = 77;
    const path = await start({
      target: stubTarget({
        stats(options) {
          const report = target.stats(options);
          report.mount.requests = requests;
          return report;
        },
      }),
    });
    const first = await ask(path, 'GET', '/metrics');
    expect(first.headers['content-type']).toMatch(/^text\/plain/);
    expect(first.text).toContain('# TYPE spinney_requests_total counter\nspinney_requests_total 77\n');
    expect(first.text).toContain('spinney_operations_total{operation="lookup"} 50');
    expect(first.text).toContain('spinney_info{version="1.2.3",driver="kernel"} 1');
    requests = 80;
    expect((await ask(path, 'GET', '/metrics')).text).toContain('spinney_requests_total 80\n');
  });

  it.each([
    ['GET', '/'],
    ['GET', '/v1/stats/'],
    ['GET', '/V1/stats'],
    ['GET', '/v1//stats'],
    ['GET', '/v1/../v1/stats'],
    ['GET', '/metrics/x'],
    ['GET', '/__proto__'],
    ['POST', '/v1/checkpoint/'],
  ])('%s %s is not a route', async (method, url) => {
    const answer = await ask(await start(), method, url);
    expect(answer.status).toBe(404);
    expect(JSON.parse(answer.text).error.code).toBe('ERR_NO_ROUTE');
  });

  it.each([
    ['POST', '/v1/stats', 'GET'],
    ['HEAD', '/v1/stats', 'GET'],
    ['GET', '/v1/checkpoint', 'POST'],
    ['DELETE', '/v1/compact', 'POST'],
  ])('%s %s is refused and says which method it takes', async (method, url, allowed) => {
    const answer = await ask(await start(), method, url);
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe(allowed);
  });
});

describe('clients that misbehave', () => {
  it.each([
    ['no HTTP', 'hello\r\n\r\n'],
    ['a broken header', 'GET /v1/stats HTTP/1.1\r\nHost\r\n\r\n'],
    [
      'both lengths',
      'POST /v1/compact HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    ],
    ['an endless header', `GET /v1/stats HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`],
  ])('%s: one error, and the connection ends', async (_what, bytes) => {
    const path = await start();
    const text = await exchange(path, bytes);
    expect(text).toMatch(/^HTTP\/1\.1 4(00|31|13) /);
    expect(JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)).error.code).toMatch(/^ERR_/);
    expect((await ask(path, 'GET', '/v1/health')).status).toBe(200);
  });

  it('accepts and ignores a small body of any type', async () => {
    const path = await start();
    const answer = await ask(path, 'POST', '/v1/checkpoint', {
      body: 'x=1',
      headers: { 'content-type': 'a/b' },
    });
    expect(answer.status).toBe(200);
  });

  it.each([
    [
      'announced',
      `POST /v1/compact HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n${'a'.repeat(1000)}`,
    ],
    ['announced on a GET', 'GET /v1/stats HTTP/1.1\r\nHost: x\r\nContent-Length: 16385\r\n\r\n'],
    ['chunked', 'POST /v1/compact HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'],
  ])('a large body (%s) is refused without being read', async (_how, bytes) => {
    const text = await exchange(await start(), bytes);
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    expect(text).toContain('ERR_BODY_TOO_LARGE');
  });

  it('requests before the last was answered: one answer is made at most', async () => {
    let answers = 0;
    const target = stubTarget();
    const path = await start({
      target: stubTarget({
        stats(options) {
          answers++;
          return target.stats(options);
        },
      }),
    });
    await exchange(path, 'GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(1000));
    expect(answers).toBeLessThan(2);
    const socket = await connected(path);
    for (let i = 0; i < 3; i++) {
      socket.write('GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n');
      expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200 /);
    }
  });

  it('takes so many connections and no more', async () => {
    const path = await start();
    const sockets = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => connected(path)));
    // Each has been counted once the server has answered it.
    for (const socket of sockets) {
      socket.write('GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n');
      await once(socket, 'data');
    }
    const refused = await connected(path);
    await once(refused, 'close');
    const gone = once(sockets[0]!, 'close');
    sockets[0]!.end();
    await gone;
    expect((await ask(path, 'GET', '/v1/health')).status).toBe(200);
  });
});

describe('peers', () => {
  const own = process.getuid!();

  it.each([
    ['another user', { pid: 1, uid: own + 1, gid: 0 }, false],
    ['nobody known', undefined, false],
    ['root', { pid: 1, uid: 0, gid: 0 }, true],
    ['the same user', { pid: 1, uid: own, gid: 0 }, true],
  ])('%s', async (_who, peer, allowed) => {
    const path = await start({ identify: () => peer });
    const asked = ask(path, 'GET', '/v1/health');
    if (allowed) expect((await asked).status).toBe(200);
    else await expect(asked).rejects.toThrow(/socket hang up|ECONNRESET|EPIPE/);
  });

  it('is known from the kernel', async () => {
    let seen: unknown;
    const { peerOf } = await import('../../../daemon/control/peer.js');
    const path = await start({
      identify: (socket) => {
        seen = peerOf(socket);
        return peerOf(socket);
      },
    });
    await ask(path, 'GET', '/v1/health');
    expect(seen).toEqual({ pid: process.pid, uid: own, gid: process.getgid!() });
  });

  it('is refused when the socket is closed already', async () => {
    const { peerOf, isAllowed } = await import('../../../daemon/control/peer.js');
    const socket = await connected(await start());
    socket.destroy();
    expect(isAllowed(peerOf(socket), own)).toBe(false);
  });
});

describe('the socket', () => {
  it('is private', async () => {
    const path = await start({ path: join(temporaryDirectory(), 'c.sock') });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('has no directory made for it', async () => {
    const directory = join(temporaryDirectory(), 'nope');
    const path = join(directory, 'c.sock');
    await expect(startControl({ path, target: stubTarget(), log: silentLog })).rejects.toMatchObject({
      code: 'ERR_IO',
      message: `Cannot listen on the control socket ${path}: its directory ${directory} does not exist; make it first, or give another path with --control`,
    });
    expect(existsSync(directory)).toBe(false);
  });

  it('leaves the umask as it was', async () => {
    const before = process.umask();
    await start();
    expect(process.umask()).toBe(before);
  });

  it('replaces that of a dead daemon', async () => {
    const path = join(temporaryDirectory(), 'control.sock');
    const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    expect(spawnSync(process.execPath, ['-e', script, path]).signal).toBe('SIGKILL');
    expect(existsSync(path)).toBe(true);
    await start({ path });
    expect((await ask(path, 'GET', '/v1/health')).status).toBe(200);
  });

  it("refuses to take the place of another program's, dead as it may be", async () => {
    const directory = temporaryDirectory();
    // Where others can come, a socket for others is none that a daemon made.
    chmodSync(directory, 0o755);
    const path = join(directory, 'control.sock');
    const script = `process.umask(0o022); require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', script, path]);
    await expect(startControl({ path, target: stubTarget(), log: silentLog })).rejects.toMatchObject({
      code: 'ERR_EXISTS',
      message: expect.stringContaining('a socket is there that no daemon of this user made'),
    });
    expect(existsSync(path)).toBe(true);
    chmodSync(path, 0o600);
    await start({ path });
  });

  it('follows no link that is in its place', async () => {
    const path = join(temporaryDirectory(), 'control.sock');
    symlinkSync('elsewhere', path);
    await expect(startControl({ path, target: stubTarget(), log: silentLog })).rejects.toMatchObject({
      code: 'ERR_EXISTS',
    });
    expect(lstatSync(path).isSymbolicLink()).toBe(true);
  });

  it('refuses to take the place of a live one', async () => {
    const path = join(temporaryDirectory(), 'control.sock');
    const other = createServer().listen(path);
    onTestFinished(() => void other.close());
    await once(other, 'listening');
    await expect(startControl({ path, target: stubTarget(), log: silentLog })).rejects.toMatchObject({
      code: 'ERR_EXISTS',
      message: expect.stringContaining('--control'),
    });
  });

  it('refuses to take the place of a file, and leaves it', async () => {
    const path = join(temporaryDirectory(), 'control.sock');
    writeFileSync(path, 'mine');
    await expect(startControl({ path, target: stubTarget(), log: silentLog })).rejects.toMatchObject({
      code: 'ERR_EXISTS',
    });
    expect(existsSync(path)).toBe(true);
  });

  it('says why it cannot be made', async () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, 'file'), '');
    const path = join(directory, 'file', 'control.sock');
    await expect(startControl({ path, target: stubTarget(), log: silentLog })).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringContaining(path),
    });
  });

  it('is gone after close, also while a client keeps its connection', async () => {
    const path = join(temporaryDirectory(), 'control.sock');
    mkdirSync(join(path, '..'), { recursive: true });
    const server = await startControl({ path, target: stubTarget(), log: silentLog });
    const client = await connected(path);
    const closed = once(client, 'close');
    await server.close();
    await closed;
    expect(existsSync(path)).toBe(false);
  });
});
