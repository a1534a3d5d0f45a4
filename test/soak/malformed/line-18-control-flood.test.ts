/**
 * A daemon whose control socket is flooded: thousands of connections that dawdle, bodies without end, answers that nobody reads,
 * other users. It keeps few of them, its memory stays put, and the mount answers meanwhile.
 */
import { chmodSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { MAX_CONNECTIONS } from '../../../daemon/control/server.js';
import { Site } from '../../e2e/site.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';

const DAWDLERS = 1500;
const BODY_BYTES = 2 ** 30;
const MOST_GROWTH_BYTES = 128 * 1024 * 1024;
/** The daemon's sockets besides those of control connections: the one that it listens on, and some to spare. */
const OTHER_SOCKETS = 8;
const STRANGERS = 20;
const STATS = 'GET /v1/stats?blobs=1 HTTP/1.1\r\nHost: x\r\n\r\n';

/** Another user, who connects and reads: nothing comes. The socket itself lets it in, so the daemon has to refuse. */
const STRANGER = `import os, socket, sys
os.setgid(65534); os.setuid(65534)
for _ in range(${STRANGERS}):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(sys.argv[1])
        try:
            s.sendall(b"GET /v1/stats HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            got = s.recv(100)
        except (ConnectionResetError, BrokenPipeError):
            got = b""
        if got != b"": sys.exit(f"another user was answered {got!r}")
`;

function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

function socketsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:');
    } catch {
      return false;
    }
  }).length;
}

/** Resolves when it is connected, or refused. */
function open(path: string, bytes: string, sockets: Socket[]): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.pause();
    socket.on('error', () => resolve(socket));
    socket.once('connect', () => resolve(socket));
    socket.write(bytes);
    sockets.push(socket);
  });
}

/** Sends a body until the other side has enough; returns the bytes that it took. */
function sendBody(path: string): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect(path);
    let sent = 0;
    const chunk = Buffer.alloc(1 << 20);
    const more = (): void => {
      while (sent < BODY_BYTES && !socket.destroyed) {
        sent += chunk.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.resume();
    socket
      .on('drain', more)
      .on('error', () => {})
      .on('close', () => resolve(sent));
    socket.write(`POST /v1/compact HTTP/1.1\r\nHost: x\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`, more);
  });
}

soak({ line: 18, title: 'a flooded control socket', seeds: 1 }, async (seed) => {
  const random = seededRandom(seed);
  let cleanUp: (() => Promise<void>) | undefined;
  const site = new Site((atEnd) => {
    cleanUp = atEnd;
  });
  const sockets: Socket[] = [];
  try {
    await site.mount();
    await site.sh('for i in $(seq 50); do echo $i > $MNT/$i; done');
    const path = join(site.store, 'control.sock');
    const pid = site.daemon();
    const before = memoryOf(pid);
    let most = { memory: before, sockets: 0 };
    const look = (): void => {
      most = {
        memory: Math.max(most.memory, memoryOf(pid)),
        sockets: Math.max(most.sockets, socketsOf(pid)),
      };
    };
    // Answers that nobody reads.
    for (let i = 0; i < MAX_CONNECTIONS; i++) await open(path, STATS.repeat(1500), sockets);
    await site.sh('ls -l $MNT > /dev/null; echo x > $MNT/while-unread');
    look();
    for (const socket of sockets.splice(0)) socket.destroy();
    let sent = 0;
    for (let i = 0; i < 4; i++) sent += await sendBody(path);
    if (sent >= 4 * BODY_BYTES) throw new Error('a body was read to its end');
    look();
    // Connections that dawdle, cut anywhere.
    for (let i = 0; i < DAWDLERS; i++) {
      await open(path, STATS.slice(0, Math.floor(random() * (STATS.length - 3))), sockets);
      if (i % 250 === 0) look();
    }
    await site.sh('ls -l $MNT > /dev/null; echo x > $MNT/while-slow');
    look();
    for (const socket of sockets.splice(0)) socket.destroy();
    for (const directory of [site.directory, site.store]) chmodSync(directory, 0o711);
    chmodSync(path, 0o666);
    await site.sh(`python3 -c '${STRANGER}' ${path}`);
    chmodSync(site.store, 0o700);
    look();
    const { memory, sockets: mostSockets } = most;
    if (mostSockets > MAX_CONNECTIONS + OTHER_SOCKETS)
      throw new Error(`the daemon has ${mostSockets} sockets open`);
    if (memory - before > MOST_GROWTH_BYTES)
      throw new Error(`its memory grew by ${(memory - before) >> 20} MiB`);
    if ((await site.stats()).mount.requests === 0) throw new Error('it does not tell of the mount');
    return {
      connections: DAWDLERS + MAX_CONNECTIONS,
      strangers: STRANGERS,
      grewMiB: (memory - before) >> 20,
    };
  } finally {
    for (const socket of sockets) socket.destroy();
    await cleanUp?.();
  }
});
