/**
 * Who is at the other end of a unix socket. Fails closed: whatever goes wrong on the way, the peer is refused.
 */
import { connect, type Socket } from 'node:net';
import koffi from 'koffi';

// Linux, all architectures that Node runs on: <asm-generic/socket.h>.
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

export interface Peer {
  pid: number;
  uid: number;
  gid: number;
}

type GetSockOpt = (
  fd: number,
  level: number,
  option: number,
  value: Int32Array,
  length: Int32Array,
) => number;

let getsockopt: GetSockOpt | undefined;

/** The kernel's word on the process that connected (or, seen from a client, that listens); undefined if unknown. */
export function peerOf(socket: Socket): Peer | undefined {
  try {
    const fd = (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd;
    if (process.platform !== 'linux' || fd === undefined || fd < 0) return undefined;
    getsockopt ??= koffi
      .load(null)
      .func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']) as GetSockOpt;
    // struct ucred { s32 pid, u32 uid, u32 gid }
    const credentials = new Int32Array(3).fill(-1);
    const length = new Int32Array([credentials.byteLength]);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) !== 0) return undefined;
    if (length[0] !== credentials.byteLength) return undefined;
    const uid = credentials[1]! >>> 0;
    // What the kernel reports where nobody is there.
    if (uid === 0xffff_ffff) return undefined;
    return { pid: credentials[0]!, uid, gid: credentials[2]! >>> 0 };
  } catch {
    return undefined;
  }
}

/** Root and the daemon's own user may talk to the control socket. */
export function isAllowed(peer: Peer | undefined, ownUid: number): boolean {
  return peer !== undefined && (peer.uid === 0 || peer.uid === ownUid);
}

/** Pid of the process that listens at a path, also where it takes no connections; undefined if unknown. */
export function listenerOf(path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => {
      resolve(peerOf(socket)?.pid);
      socket.destroy();
    });
  });
}
