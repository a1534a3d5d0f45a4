import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { examineTcpAddress, startMetricsServer } from '../../../daemon/control/metrics/metrics-server.js';
import { parseTcpAddress } from '../../../daemon/control/tcp-address.js';
import { SpinneyError } from '../../../engine/errors.js';
import { parseMetrics } from '../../support/metrics/prometheus.js';
import { failure, silentLog, stubTarget, temporaryDirectory } from '../support.js';

async function start(host = '127.0.0.1', target = stubTarget()): Promise<string> {
  const server = await startMetricsServer({ host, port: 0 }, target, silentLog);
  onTestFinished(() => server.close());
  return server.address;
}

async function ask(address: string, path: string, method = 'GET', body?: string) {
  const outgoing = request(`http://${address}${path}`, { method, agent: false });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of incoming) text += String(chunk);
  return { status: incoming.statusCode, type: incoming.headers['content-type'], text };
}

it.each(['127.0.0.1', '::1', 'localhost'])('tells the metrics at %s', async (host) => {
  const address = await start(host);
  expect(address).toMatch(/^(127\.0\.0\.1|\[::1\]|localhost):\d+$/);
  const { status, type, text } = await ask(address, '/metrics');
  expect([status, type]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
  expect(parseMetrics(text).samples('spinney_operation_seconds_count')).toHaveLength(1);
});

it.each([
  ['GET', '/'],
  ['GET', '/v1/stats'],
  ['GET', '/v1/health'],
  ['POST', '/v1/checkpoint'],
  ['GET', '/metrics/'],
  ['GET', '/metrics/../v1/stats'],
  ['GET', '//metrics'],
  ['HEAD', '/metrics'],
  ['POST', '/metrics'],
  ['DELETE', '/v1/snapshots/a'],
])('%s %s is not there', async (method, path) => {
  let asked = 0;
  const target = stubTarget({ checkpoint: async () => Promise.reject(new Error(String(++asked))) });
  const address = await start('127.0.0.1', target);
  expect((await ask(address, path, method, method === 'POST' ? 'body' : undefined)).status).toBe(404);
  expect(asked).toBe(0);
  expect((await ask(address, '/metrics?x=1')).status).toBe(200);
});

it('says 503 while there is nothing to tell', async () => {
  const target = stubTarget({
    stats: () => {
      throw new SpinneyError('ERR_MOUNT', 'Cannot tell the stats of /mnt/x: it is not up yet');
    },
  });
  const { status, text } = await ask(await start('127.0.0.1', target), '/metrics');
  expect([status, text]).toEqual([503, 'Cannot tell the stats of /mnt/x: it is not up yet\n']);
});

it('ends with the connections that are there', async () => {
  const server = await startMetricsServer({ host: '127.0.0.1', port: 0 }, stubTarget(), silentLog);
  const { port } = new URL(`http://${server.address}`);
  const outgoing = request(`http://${server.address}/metrics`, { headers: { connection: 'keep-alive' } });
  outgoing.end();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const closed = once(incoming.socket, 'close');
  incoming.resume();
  await server.close();
  await closed;
  await examineTcpAddress({ host: '127.0.0.1', port: Number(port) });
});

async function taken(): Promise<number> {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  onTestFinished(() => void other.close());
  return (other.address() as AddressInfo).port;
}

it('says what keeps it from listening', async () => {
  const port = await taken();
  const attempts: [string, number, string][] = [
    ['127.0.0.1', port, `Cannot serve metrics at 127.0.0.1:${port}: another program listens there; `],
    ['192.0.2.1', 0, 'Cannot serve metrics at 192.0.2.1:0: this machine does not have the address; '],
    ['nowhere.invalid', 0, 'Cannot serve metrics at nowhere.invalid:0: no address is known of the host; '],
  ];
  for (const [host, at, message] of attempts) {
    const starting = startMetricsServer({ host, port: at }, stubTarget(), silentLog);
    await expect(starting).rejects.toThrow(`${message}give another address with --metrics`);
    await expect(examineTcpAddress({ host, port: at })).rejects.toThrow(message);
  }
});

it.each([
  ['127.0.0.1:9464', '127.0.0.1', 9464],
  ['[::1]:9464', '::1', 9464],
  ['[::]:0', '::', 0],
  ['monitor.example:65535', 'monitor.example', 65535],
])('reads %s', (text, host, port) => {
  expect(parseTcpAddress(text)).toEqual({ host, port });
});

it.each([
  ['9464', 'an address is HOST:PORT'],
  ['localhost', 'an address is HOST:PORT'],
  ['localhost:', 'an address is HOST:PORT'],
  ['localhost:http', 'an address is HOST:PORT'],
  ['localhost:-1', 'an address is HOST:PORT'],
  ['localhost:94640000', 'an address is HOST:PORT'],
  ['localhost:65536', 'a port is a number up to 65535'],
  [':9464', 'the host is missing'],
  ['[]:9464', 'the host is missing'],
  ['::1:9464', 'an IPv6 address has brackets'],
  ['[127.0.0.1]:9464', 'an IPv6 address has brackets'],
  ['http://localhost:9464', 'an IPv6 address has brackets'],
  ['a b:9464', '"a b" is no name of a host'],
  ['user@host:9464', '"user@host" is no name of a host'],
])('refuses %s', async (text, reason) => {
  const directory = temporaryDirectory();
  const mount = ['mount', directory, '--store', `${directory}-store`, '--metrics', text];
  const { code, line } = await failure(...mount);
  expect([code, line]).toEqual([
    2,
    expect.stringContaining(`Cannot listen at ${JSON.stringify(text)}: ${reason}`) as string,
  ]);
});
