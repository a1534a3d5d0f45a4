/**
 * The control socket: HTTP/1.1 with JSON on a unix socket.
 *
 * What must hold: no moment in which others could connect (the mode is set by the umask under which the socket
 * is made); every peer is checked by the kernel's word before a byte of its is read; nothing that a client does
 * or leaves undone takes more than MAX_CONNECTIONS sockets, each for a bounded time, with a bounded body and one answer. Answers that
 * go on are the exception: they last as long as the client, so only a part of the sockets may have one, whose number the target limits.
 */
import { once } from 'node:events';
import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type FastifyError, type FastifyInstance, type FastifyRequest, fastify } from 'fastify';
import { SpinneyError } from '../../engine/errors.js';
import { settledWithin } from '../process/deadline.js';
import { failureOf, hasCode } from '../process/failure.js';
import type { Logger } from '../process/log/log.js';
import { LineStream } from './line-stream.js';
import { Metrics } from './metrics/metrics.js';
import { isAllowed, type Peer, peerOf } from './peer.js';
import type { ControlTarget, ErrorReport } from './reports.js';
import { ROUTES } from './routes/routes.js';
import { cannotListen, refuseOccupied } from './socket-path.js';

export const MAX_CONNECTIONS = 64;
export const BODY_LIMIT_BYTES = 16 * 1024;
/** A request has this long to arrive, and a connection may be silent for this long. */
const REQUEST_TIMEOUT_MS = 5_000;
const SILENCE_TIMEOUT_MS = 10_000;
const HEADER_LIMIT_BYTES = 8 * 1024;

/** Of errors that are the request's, not the daemon's. */
const STATUSES: Readonly<Record<string, number>> = {
  ERR_INVALID_ARGUMENT: 400,
  ERR_NOT_FOUND: 404,
  ERR_EXISTS: 409,
  ERR_TOO_MANY_LISTENERS: 429,
  ERR_MOUNT: 503,
};
/** How long the last lines of answers that go on may take: who does not read must not hold up the end. */
const LAST_LINES_MS = 200;
/** It passes by itself: whoever asks early is told so, and nothing is wrong with the daemon. */
const NOT_YET = 503;

export interface ControlOptions {
  /** Absolute path of the socket, at most MAX_SOCKET_PATH_BYTES long. */
  path: string;
  target: ControlTarget;
  log: Logger;
  /** Who a connection is from; given by tests. */
  identify?: (socket: Socket) => Peer | undefined;
}

export interface ControlServer {
  readonly path: string;
  /** Takes no more connections, ends those that are there and removes the socket. */
  close(): Promise<void>;
}

/** Starts to listen. Throws ERR_EXISTS when something is in the socket's place, ERR_IO when it cannot be made. */
export async function startControl(options: ControlOptions): Promise<ControlServer> {
  const { path } = options;
  const { app, server, followed } = buildApp(options);
  await app.ready();
  try {
    if (await refuseOccupied(path)) unlinkSync(path);
    await listenPrivately(server, path);
    // Where the process can have no more descriptors: nobody else is to suffer from it.
    server.on('error', (error) =>
      options.log.error({ err: error }, 'the control socket could not take a connection'),
    );
  } catch (error) {
    await app.close();
    throw error instanceof SpinneyError ? error : cannotListen(path, error);
  }
  return {
    path,
    async close() {
      // Who follows learns of the end by an answer that is whole.
      for (const lines of followed.values()) lines.finish();
      const ends = [...followed.keys()].map((response) => once(response, 'close'));
      await settledWithin(Promise.all(ends), LAST_LINES_MS);
      // closeAllConnections too: a client that keeps its connection open must not hold up the end.
      const closed = app.close();
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** bind(2) happens inside `listen`, so the umask need not outlive the call. */
function listenPrivately(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const umask = process.umask(0o177);
    try {
      server.listen({ path, backlog: MAX_CONNECTIONS }, () => {
        server.off('error', reject);
        resolve();
      });
    } finally {
      process.umask(umask);
    }
    // The mask does it; this only guards against a umask that a filesystem's default ACL overrode.
    const made = lstatSync(path, { throwIfNoEntry: false });
    if (made?.isSocket() === true && (made.mode & 0o777) !== 0o600) chmodSync(path, 0o600);
  });
}

/** Answers that go on, by whom they are for. */
type Followed = Map<ServerResponse, LineStream>;

function buildApp(options: ControlOptions): { app: FastifyInstance; server: Server; followed: Followed } {
  const { target, log, identify = peerOf } = options;
  let server: Server | undefined;
  const app = fastify({
    bodyLimit: BODY_LIMIT_BYTES,
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    serverFactory: (handler) => {
      server = createServer(
        {
          maxHeaderSize: HEADER_LIMIT_BYTES,
          requestTimeout: REQUEST_TIMEOUT_MS,
          headersTimeout: REQUEST_TIMEOUT_MS,
          connectionsCheckingInterval: REQUEST_TIMEOUT_MS,
          keepAliveTimeout: REQUEST_TIMEOUT_MS,
        },
        oneAtATime(handler),
      );
      return server;
    },
    clientErrorHandler: (error, socket) => {
      const status = hasCode(error, 'HPE_HEADER_OVERFLOW')
        ? '431 Request Header Fields Too Large'
        : '400 Bad Request';
      const body = JSON.stringify(
        errorReport('ERR_BAD_REQUEST', 'Cannot read the request: it is not HTTP/1.1'),
      );
      if (!socket.writable) return void socket.destroy();
      socket.end(
        `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` +
          `Connection: close\r\n\r\n${body}`,
        () => socket.destroy(),
      );
    },
  });
  if (server === undefined) throw new Error('Cannot build the control server: fastify made none');
  server.maxConnections = MAX_CONNECTIONS;
  server.timeout = SILENCE_TIMEOUT_MS;
  const ownUid = process.getuid?.() ?? -1;
  // Before HTTP's own listener, which then finds a socket that is closed already.
  server.prependListener('connection', (socket: Socket) => {
    const peer = identify(socket);
    if (isAllowed(peer, ownUid)) return;
    log.warn({ uid: peer?.uid, peerPid: peer?.pid }, 'refused a connection to the control socket');
    socket.destroy();
  });
  const followed: Followed = new Map();
  addRoutes(app, target, log, followed);
  return { app, server, followed };
}

/**
 * Takes a connection's next request only when the last has been answered in full, and ends a connection that sends it before: what
 * one has to wait for is in memory, and a few bytes ask for a large answer.
 */
function oneAtATime(handler: RequestListener): RequestListener {
  const busy = new WeakSet<Socket>();
  return (request, response) => {
    const { socket } = request;
    if (busy.has(socket)) {
      socket.destroy();
      return;
    }
    busy.add(socket);
    response.once('close', () => busy.delete(socket));
    handler(request, response);
  };
}

function addRoutes(app: FastifyInstance, target: ControlTarget, log: Logger, followed: Followed): void {
  const services = { target, metrics: new Metrics(target) };

  // A small body is there for the few routes that take one, whatever its type; a large one is not even read.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.addHook('onRequest', async (request, reply) => {
    const length = request.headers['content-length'];
    const unknownLength = request.headers['transfer-encoding'] !== undefined;
    if (!unknownLength && (length === undefined || Number(length) <= BODY_LIMIT_BYTES)) return undefined;
    reply.raw.once('finish', () => request.raw.socket.destroy());
    return reply
      .code(413)
      .header('connection', 'close')
      .send(
        errorReport('ERR_BODY_TOO_LARGE', `Cannot read the body: the limit is ${BODY_LIMIT_BYTES} bytes`),
      );
  });

  app.addHook('onResponse', async (request, reply) => {
    const { method, url } = request;
    const milliseconds = Math.round(reply.elapsedTime);
    log.debug({ method, path: url, status: reply.statusCode, milliseconds }, 'answered a control request');
  });

  for (const { path, method, takesLong, answer } of ROUTES) {
    app.route({
      method,
      url: path,
      handler: (request, reply) => {
        const work = async (): Promise<unknown> => {
          const body = await answer(services, request, reply);
          if (body instanceof LineStream) {
            followed.set(reply.raw, body);
            reply.raw.once('close', () => followed.delete(reply.raw));
          }
          return body;
        };
        return takesLong ? patiently(request, work) : work();
      },
    });
  }

  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const methods = ROUTES.filter((route) => patternOf(route.path).test(path)).map(({ method }) => method);
    if (methods.length > 0) {
      return reply
        .code(405)
        .header('allow', methods.join(', '))
        .send(
          errorReport(
            'ERR_BAD_METHOD',
            `Cannot ${request.method} ${path}: it takes ${methods.join(' and ')}`,
          ),
        );
    }
    return reply.code(404).send(errorReport('ERR_NO_ROUTE', 'Cannot answer the request: no such path'));
  });
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const failure = failureOf(error);
    const status = error.statusCode ?? STATUSES[failure.code] ?? 500;
    if (status >= 500 && status !== NOT_YET)
      log.error({ err: error, path: request.url }, 'a control request failed');
    return reply.code(status).send(errorReport(failure.code, failure.message));
  });
}

/** What a path of ours stands for. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(/:[a-z]+/g, '[^/]+')}$`);
}

/** A checkpoint may take longer than the silence that a connection is allowed. */
async function patiently<T>(request: FastifyRequest, work: () => Promise<T>): Promise<T> {
  const { socket } = request.raw;
  socket.setTimeout(0);
  try {
    return await work();
  } finally {
    socket.setTimeout(SILENCE_TIMEOUT_MS);
  }
}

function errorReport(code: string, message: string): ErrorReport {
  return { error: { code, message } };
}
