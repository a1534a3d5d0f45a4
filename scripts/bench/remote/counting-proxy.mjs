/** Stands before an S3 server, hands everything on, and counts what goes there. */
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';

export class CountingProxy {
  /** Requests by method, and bytes of their bodies. */
  requests = {};
  bytes = 0;
  #server;
  #agent = new Agent({ keepAlive: true });

  static async start(endpoint) {
    const proxy = new CountingProxy();
    const { hostname, port } = new URL(endpoint);
    proxy.#server = createServer((asked, answer) => {
      const { method, url: path, headers } = asked;
      proxy.requests[method] = (proxy.requests[method] ?? 0) + 1;
      proxy.bytes += Number(headers['content-length'] ?? 0);
      const onward = request({ hostname, port, method, path, headers, agent: proxy.#agent }, (answered) => {
        answer.writeHead(answered.statusCode, answered.headers);
        answered.pipe(answer);
      });
      onward.on('error', () => answer.destroy());
      asked.pipe(onward);
    });
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  counts() {
    return { requests: { ...this.requests }, bytes: this.bytes };
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
  }
}
