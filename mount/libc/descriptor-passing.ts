/** Receives a descriptor that another process sent over a unix socket. */
import koffi from 'koffi';
import * as libc from './libc.js';

// struct msghdr, struct iovec and struct cmsghdr of a 64-bit Linux, one after another in one block.
const MESSAGE_VECTORS = 16;
const MESSAGE_VECTOR_COUNT = 24;
const MESSAGE_CONTROL = 32;
const MESSAGE_CONTROL_LENGTH = 40;
const VECTOR = 56;
const VECTOR_LENGTH = VECTOR + 8;
const DATA = 72;
const CONTROL = 80;
const CONTROL_LEVEL = CONTROL + 8;
const CONTROL_TYPE = CONTROL + 12;
const CONTROL_DESCRIPTOR = CONTROL + 16;
/** With room for one descriptor. */
const CONTROL_BYTES = 24;
const BLOCK_BYTES = CONTROL + CONTROL_BYTES;
const FILLED_CONTROL_BYTES = 20n;

/**
 * Takes the descriptor that waits in the socket; it is closed on exec. Returns -1 when none waits there: the sender
 * ended without sending one.
 */
export function receiveDescriptor(socket: number): number {
  const block: unknown = koffi.alloc('uint8_t', BLOCK_BYTES);
  try {
    const memory = koffi.view(block, BLOCK_BYTES);
    new Uint8Array(memory).fill(0);
    const view = new DataView(memory);
    const base = koffi.address(block);
    view.setBigUint64(MESSAGE_VECTORS, base + BigInt(VECTOR), true);
    view.setBigUint64(MESSAGE_VECTOR_COUNT, 1n, true);
    view.setBigUint64(MESSAGE_CONTROL, base + BigInt(CONTROL), true);
    view.setBigUint64(MESSAGE_CONTROL_LENGTH, BigInt(CONTROL_BYTES), true);
    view.setBigUint64(VECTOR, base + BigInt(DATA), true);
    view.setBigUint64(VECTOR_LENGTH, 1n, true);
    if (libc.recvmsg(socket, block, libc.MSG_DONTWAIT | libc.MSG_CMSG_CLOEXEC) < 0) return -1;
    const isDescriptor =
      view.getBigUint64(CONTROL, true) === FILLED_CONTROL_BYTES &&
      view.getInt32(CONTROL_LEVEL, true) === libc.SOL_SOCKET &&
      view.getInt32(CONTROL_TYPE, true) === libc.SCM_RIGHTS;
    return isDescriptor ? view.getInt32(CONTROL_DESCRIPTOR, true) : -1;
  } finally {
    koffi.free(block);
  }
}
