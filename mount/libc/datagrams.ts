/** Sends datagrams to a unix socket: what sd_notify(3) and journald's own protocol are made of, and Node has no call for. */
import { SpinneyError } from '../../engine/errors.js';
import { sendWithDescriptor } from './descriptor-passing.js';
import * as libc from './libc.js';

/** sun_path of a struct sockaddr_un, behind its two bytes of family. */
const PATH_AT = 2;
const PATH_BYTES = 108;

export class DatagramSender {
  readonly #fd: number;
  readonly #address: Buffer;

  /**
   * `path` is the receiver's: absolute, or of the abstract namespace with `@` as its first character. Nobody has to listen there
   * yet, and the receiver may be replaced by another one later. Throws ERR_INVALID_ARGUMENT, ERR_IO.
   */
  constructor(path: string) {
    this.#address = addressOf(path);
    this.#fd = libc.socket(libc.AF_UNIX, libc.SOCK_DGRAM | libc.SOCK_CLOEXEC, 0);
    if (this.#fd < 0) {
      throw new SpinneyError('ERR_IO', `Cannot make a socket: ${libc.errnoName(libc.errno())}`);
    }
  }

  /**
   * Never waits. The receiver gets a copy of the descriptor, if there is one. Returns undefined, or the name of the error: EAGAIN where
   * the receiver does not keep up, ENOENT, EMSGSIZE.
   */
  send(bytes: Uint8Array, descriptor?: number): string | undefined {
    const flags = libc.MSG_DONTWAIT | libc.MSG_NOSIGNAL;
    const sent =
      descriptor === undefined
        ? libc.sendto(this.#fd, bytes, bytes.length, flags, this.#address, this.#address.length)
        : sendWithDescriptor(this.#fd, this.#address, bytes, descriptor, flags);
    return sent < 0 ? libc.errnoName(libc.errno()) : undefined;
  }

  close(): void {
    libc.close(this.#fd);
  }
}

function addressOf(path: string): Buffer {
  const name = Buffer.from(path);
  const isAbstract = path.startsWith('@');
  if (!(isAbstract || path.startsWith('/')) || name.length < 2 || name.length >= PATH_BYTES) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot send to the socket "${path}": it is neither an absolute path nor @name, or longer than ${PATH_BYTES - 1} bytes`,
    );
  }
  if (isAbstract) name[0] = 0;
  // A path ends with a zero; an abstract name with the length of the address.
  const address = Buffer.alloc(PATH_AT + name.length + (isAbstract ? 0 : 1));
  address.writeUInt16LE(libc.AF_UNIX, 0);
  name.copy(address, PATH_AT);
  return address;
}
