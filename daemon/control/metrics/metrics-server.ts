/**
 * `GET /metrics` over TCP, and nothing else: what the control socket tells Prometheus, for a Prometheus on another machine. Whoever
 * reaches the address may read it; nothing can be changed through it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import { failureOf, hasCode } from '../../process/failure.js';
import type { Logger } from '../../process/log/log.js';
import type { ControlTarget } from '../reports.js';
import { formatTcpAddress, type TcpAddress } from '../tcp-address.js';
import { Metrics } from './metrics.js';

const PATH = '/metrics';
const MAX_CONNECTIONS = 16;
const HEADER_LIMIT_BYTES = 8 * 1024;
/** A request has this long to arrive, and its answer to be taken. */
const TIMEOUT_MS = 10_000;

export interface MetricsServer {
  /** Where it listens: the address that was given, with the port that it got. */
  readonly address: string;
  /** Takes no more connections, and ends those that are there. */
  close(): Promise<void>;
}

/** Starts to listen. Throws ERR_IO, naming the address, where that cannot be. */
export async function startMetricsServer(
  address: TcpAddress,
  target: Pick<ControlTarget, 'stats' | 'health'>,
  log: Pick<Logger, 'warn'>,
): Promise<MetricsServer> {
  const metrics = new Metrics(target);
  const server = createServer(
    { maxHeaderSize: HEADER_LIMIT_BYTES, requestTimeout: TIMEOUT_MS },
    (...exchange) => void answer(metrics, log, ...exchange),
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.headersTimeout = TIMEOUT_MS;
  server.timeout = TIMEOUT_MS;
  const { port } = await listen(server, address);
  // Where the process can have no more descriptors: nobody else is to suffer from it.
  server.on('error', (error) => log.warn({ err: error }, 'the metrics address could not take a connection'));
  return {
    address: formatTcpAddress({ host: address.host, port }),
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Refuses an address that cannot be listened on, which nothing keeps afterwards. Throws as `startMetricsServer`. */
export async function examineTcpAddress(address: TcpAddress): Promise<void> {
  const server = createServer();
  await listen(server, address);
  await new Promise((resolve) => server.close(resolve));
}

function listen(server: Server, address: TcpAddress): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => reject(cannotListen(address, error));
    server.once('error', fail);
    server.listen(address, () => {
      server.off('error', fail);
      resolve(server.address() as AddressInfo);
    });
  });
}

async function answer(
  metrics: Metrics,
  log: Pick<Logger, 'warn'>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  // Bodies are not read.
  response.shouldKeepAlive &&= request.headers['content-length'] === undefined;
  if (request.method !== 'GET' || request.url?.split('?', 1)[0] !== PATH) {
    send(response, 404, 'text/plain; charset=utf-8', `Not found: there is ${PATH} alone\n`);
    return;
  }
  try {
    send(response, 200, metrics.contentType, await metrics.text());
  } catch (error) {
    const { code, message } = failureOf(error);
    // Before the mount is up there are none.
    if (code !== 'ERR_MOUNT') log.warn({ err: error }, 'could not tell the metrics');
    send(response, 503, 'text/plain; charset=utf-8', `${message}\n`);
  }
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

function cannotListen(address: TcpAddress, cause: unknown): SpinneyError {
  return new SpinneyError(
    'ERR_IO',
    `Cannot serve metrics at ${formatTcpAddress(address)}: ${whyNot(cause)}; give another address with --metrics`,
    { cause },
  );
}

function whyNot(error: unknown): string {
  if (hasCode(error, 'EADDRINUSE')) return 'another program listens there';
  if (hasCode(error, 'EADDRNOTAVAIL')) return 'this machine does not have the address';
  if (hasCode(error, 'EACCES')) return 'ports below 1024 are for root';
  if (hasCode(error, 'ENOTFOUND') || hasCode(error, 'EAI_AGAIN')) return 'no address is known of the host';
  return reasonOf(error);
}
