/**
 * Bytes that are almost HTTP, on the control socket: each connection gets answers or none, and ends; the next is served.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startControl } from '../../../daemon/control/server.js';
import { ask, silentLog, stubTarget } from '../../daemon/support.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';
import { Mutator } from './mutations.js';

const CONNECTIONS = 150;
const REQUESTS = [
  'GET /v1/stats HTTP/1.1\r\nHost: x\r\n\r\n',
  'GET /v1/stats?blobs=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  'GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n',
  'POST /v1/checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhello',
  'POST /v1/compact HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'HEAD /v1/health HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n',
  'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
];
/** Longer than a connection is allowed to be silent. */
const PATIENCE_MS = 60_000;

/** Sends the bytes, ends its side, and gives what came until the other side ended too. */
function exchange(path: string, bytes: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.setTimeout(PATIENCE_MS, () => reject(new Error('a connection hangs')));
    socket.setEncoding('latin1').on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
    socket.end(bytes);
  });
}

soak({ line: 18, title: 'mutated control requests', seeds: 6 }, async (seed) => {
  const mutator = new Mutator(seededRandom(seed));
  const directory = mkdtempSync(join(tmpdir(), 'spinney-control-'));
  const path = join(directory, 'control.sock');
  const server = await startControl({ path, target: stubTarget(), log: silentLog });
  let answered = 0;
  try {
    for (let i = 0; i < CONNECTIONS; i++) {
      const parts = Array.from({ length: 1 + mutator.below(2) }, () => Buffer.from(mutator.of(REQUESTS)));
      const bytes = mutator.mutate(Buffer.concat(parts));
      const text = await exchange(path, bytes);
      if (text !== '' && !/^HTTP\/1\.1 [1-5]\d\d /.test(text))
        throw new Error(`connection ${i} got ${text.slice(0, 80)}`);
      if (text !== '') answered++;
      if (i % 25 === 0 && (await ask(path, 'GET', '/v1/health')).status !== 200)
        throw new Error('it answers no more');
    }
    return { connections: CONNECTIONS, answered };
  } finally {
    await server.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
