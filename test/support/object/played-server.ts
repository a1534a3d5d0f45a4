/** A server that plays S3, or whatever else answers by HTTP: it records what it is asked, and answers what a test wants. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface Asked {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answer = (asked: Asked, response: ServerResponse) => void;

/** As S3 answers a write that is done. */
export const STORED: Answer = (_, response) => response.setHeader('ETag', '"abc"').end();

/** As S3 answers with an error. */
export function errorAnswer(status: number, code = '', more = ''): Answer {
  return (_, response) =>
    response.writeHead(status).end(code && `<Error><Code>${code}</Code>${more}</Error>`);
}

export class PlayedServer {
  readonly asked: Asked[] = [];
  answer: Answer = STORED;
  readonly #server: Server;
  readonly #scheme: string;

  /** With `identity` it speaks TLS. */
  static async start(identity?: { key: string; cert: string }): Promise<PlayedServer> {
    const server = new PlayedServer(identity);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  private constructor(identity?: { key: string; cert: string }) {
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      let body = '';
      request.setEncoding('latin1').on('data', (text) => {
        body += text;
      });
      request.on('end', () => {
        const asked = { method: request.method!, url: request.url!, headers: request.headers, body };
        this.asked.push(asked);
        this.answer(asked, response);
      });
    };
    this.#scheme = identity === undefined ? 'http' : 'https';
    this.#server = identity === undefined ? createServer(listener) : createTlsServer(identity, listener);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Its URL, by an address or a name of the loopback. */
  url(host = '127.0.0.1'): string {
    return `${this.#scheme}://${host}:${this.port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
