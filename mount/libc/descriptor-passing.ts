/** Descriptors that processes send each other over unix sockets. */
import koffi from 'koffi';
import * as libc from './libc.js';

// struct msghdr, struct iovec and struct cmsghdr of a 64-bit Linux, one after another in one block.
const MESSAGE_NAME = 0;
const MESSAGE_NAME_LENGTH = 8;
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
/** In a message that is sent, what it says, and before that the receiver's address in this room. */
const SENT_ADDRESS = BLOCK_BYTES;
const ADDRESS_ROOM = 112;
const SENT_TEXT = SENT_ADDRESS + ADDRESS_ROOM;
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

/**
 * Sends the bytes with a copy of the descriptor to `address`, a struct sockaddr. Returns what sendmsg(2) does.
 * REQUIRES an address of at most 112 bytes.
 */
export function sendWithDescriptor(
  socket: number,
  address: Uint8Array,
  bytes: Uint8Array,
  descriptor: number,
  flags: number,
): number {
  const blockBytes = SENT_TEXT + bytes.length;
  const block: unknown = koffi.alloc('uint8_t', blockBytes);
  try {
    const memory = koffi.view(block, blockBytes);
    const content = new Uint8Array(memory).fill(0);
    content.set(address, SENT_ADDRESS);
    content.set(bytes, SENT_TEXT);
    const view = new DataView(memory);
    const base = koffi.address(block);
    view.setBigUint64(MESSAGE_NAME, base + BigInt(SENT_ADDRESS), true);
    view.setUint32(MESSAGE_NAME_LENGTH, address.length, true);
    view.setBigUint64(MESSAGE_VECTORS, base + BigInt(VECTOR), true);
    view.setBigUint64(MESSAGE_VECTOR_COUNT, 1n, true);
    view.setBigUint64(MESSAGE_CONTROL, base + BigInt(CONTROL), true);
    view.setBigUint64(MESSAGE_CONTROL_LENGTH, BigInt(CONTROL_BYTES), true);
    view.setBigUint64(VECTOR, base + BigInt(SENT_TEXT), true);
    view.setBigUint64(VECTOR_LENGTH, BigInt(bytes.length), true);
    view.setBigUint64(CONTROL, FILLED_CONTROL_BYTES, true);
    view.setInt32(CONTROL_LEVEL, libc.SOL_SOCKET, true);
    view.setInt32(CONTROL_TYPE, libc.SCM_RIGHTS, true);
    view.setInt32(CONTROL_DESCRIPTOR, descriptor, true);
    return libc.sendmsg(socket, block, flags);
  } finally {
    koffi.free(block);
  }
}
