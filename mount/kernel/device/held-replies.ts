/**
 * Replies that are held back for a moment, and leave together.
 *
 * A reply wakes its client, which the kernel then often runs in place of the session that woke it: with several clients
 * the session is stopped at each reply, while others wait for it. So where several clients ask at a time, the next request
 * is served first if there is one, and the replies of a few are sent by one system call. What is held waits for nothing but
 * the few requests that came before it was sent.
 */
import { constants } from 'node:os';
import { WriteRing } from '../../libc/io-uring.js';
import type { Reply } from '../protocol/reply.js';
import { sendReply } from './connection.js';

const { EAGAIN, EINTR, ENODEV, ENOENT } = constants.errno;

/** Replies that are held at a time. A power of two. */
const MOST_HELD = 4;
/** Longer ones are not held. */
const MOST_BYTES = 512;

/** Who makes the replies. */
interface HoldingSession {
  /** The reply that was just made is held back; false: that may not be. */
  holdReply(): boolean;
  /** All that were held back are sent. */
  heldSent(): void;
}

export class HeldReplies {
  readonly #fd: number;
  readonly #session: HoldingSession;
  readonly #refused: (errno: number) => void;
  readonly #ring: WriteRing | undefined;
  readonly #lengths = new Uint32Array(MOST_HELD);
  #count = 0;

  /** `fd` is the FUSE descriptor; `refused` is told with which errno the kernel did not accept a reply. */
  constructor(
    fd: number,
    session: HoldingSession,
    refused: (errno: number) => void,
    ring = WriteRing.make(MOST_HELD, MOST_BYTES),
  ) {
    this.#fd = fd;
    this.#session = session;
    this.#refused = refused;
    this.#ring = ring;
  }

  /** Holds the reply of `length` bytes that was just made. False: it is to be sent at once, after those that are held. */
  hold(reply: Pick<Reply, 'copyWords'>, length: number): boolean {
    const ring = this.#ring;
    if (ring === undefined || ring.isBroken || length > MOST_BYTES || !this.#session.holdReply())
      return false;
    const start = (ring.placeOf(this.#count) * MOST_BYTES) >> 2;
    reply.copyWords(ring.words, start, (length + 3) >> 2);
    this.#lengths[this.#count++] = length;
    if (this.#count === MOST_HELD) this.send();
    return true;
  }

  /** Sends all that are held; returns how many these were. */
  send(): number {
    const count = this.#count;
    if (count === 0) return 0;
    this.#count = 0;
    const ring = this.#ring as WriteRing;
    const first = ring.placeOf(0);
    if (count === 1) this.#sendSingly(ring.buffers[first]!, this.#lengths[0]!);
    else {
      ring.write(this.#fd, this.#lengths, count);
      for (let i = 0; i < count; i++) {
        const errno = -ring.results[i]!;
        if (errno === EAGAIN || errno === EINTR) {
          this.#sendSingly(ring.buffers[(first + i) % MOST_HELD]!, this.#lengths[i]!);
        } else if (errno > 0 && errno !== ENOENT && errno !== ENODEV) this.#refused(errno);
      }
    }
    this.#session.heldSent();
    return count;
  }

  #sendSingly(bytes: Uint8Array, length: number): void {
    const errno = sendReply(this.#fd, bytes, length);
    if (errno !== 0) this.#refused(errno);
  }

  close(): void {
    this.#ring?.close();
  }
}
