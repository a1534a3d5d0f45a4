/** Makes FUSE requests from a seed: sound ones, and with a part changed. */
import { Opcode } from '../../../mount/kernel/protocol/protocol.js';
import type { KernelSide } from './kernel-side.js';

/** Bytes that a request is allowed to allocate on the disk below. */
const MOST_ALLOCATED = 1 << 16;

const EDGES = [
  0, 1, 2, 7, 8, 39, 40, 127, 128, 255, 256, 4095, 4096, 65_535, 65_536, 0x7fff_ffff, 0x8000_0000,
  0xffff_ffff,
];
const XATTRS = [
  'user.a',
  'user.b',
  'trusted.x',
  'security.capability',
  'system.posix_acl_access',
  'system.posix_acl_default',
  'nothing',
];
const OPCODES: readonly number[] = Object.values(Opcode);

type Part = Buffer | readonly number[] | string;

export class RequestMaker {
  readonly #random: () => number;
  readonly #kernel: KernelSide;
  #unique = 0;
  mutated = 0;

  constructor(random: () => number, kernel: KernelSide) {
    this.#random = random;
    this.#kernel = kernel;
  }

  build(opcode: number, node: number, ...parts: Part[]): Buffer {
    const body = Buffer.concat(parts.map(bytesOf));
    const header = bytesOf([40 + body.length, opcode, ++this.#unique, 0, node, 0, 1000, 100, 42, 0]);
    return Buffer.concat([header, body]);
  }

  next(): Buffer {
    const sound = this.#sound();
    let bytes = sound;
    if (this.#random() < 0.6) {
      this.mutated++;
      do bytes = this.#mutated(bytes);
      while (this.#random() < 0.3);
    }
    return harmless(bytes);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #of<T>(items: readonly T[]): T {
    return items[this.#below(items.length)]!;
  }

  #node(): number {
    return this.#random() < 0.3 ? 1 : (this.#of([...this.#kernel.lookups.keys()]) ?? 1);
  }

  #handle(of: Set<number>): number {
    return this.#of([...of]) ?? 1;
  }

  #name(): string {
    return this.#random() < 0.9
      ? `n${this.#below(12)}`
      : this.#of(['x'.repeat(255), 'x'.repeat(256), '\u0001\u00ff', ' ']);
  }

  #word(): number {
    return this.#random() < 0.5 ? this.#below(8192) : this.#of(EDGES);
  }

  #sound(): Buffer {
    const { files, directories } = this.#kernel;
    const node = this.#node();
    const opcode = this.#of(OPCODES);
    const name = this.#name();
    const file = this.#handle(files);
    const directory = this.#handle(directories);
    const make = (...parts: Part[]): Buffer => this.build(opcode, node, ...parts);
    switch (opcode) {
      case Opcode.INIT:
        return make([7, 45, 131_072, 0x7fff_ffff, 0xff, ...Array(11).fill(0)]);
      case Opcode.FORGET:
        return make([this.#below(3), 0]);
      case Opcode.BATCH_FORGET:
        return make([2, 0, this.#node(), 0, 1, 0, this.#node(), 0, 1, 0]);
      case Opcode.GETATTR:
        return make([0, 0, 0, 0]);
      case Opcode.SETATTR:
        return make([
          this.#below(4096),
          0,
          file,
          0,
          this.#below(9000),
          0,
          0,
          0,
          this.#word(),
          0,
          9,
          0,
          9,
          0,
          1,
          2,
          3,
          0o644,
          0,
          1,
          2,
          0,
        ]);
      case Opcode.SYMLINK:
        return make(name, 'target');
      case Opcode.MKNOD:
        return make([this.#of([0o100644, 0o010600, 0o020600]), this.#word(), 0o022, 0], name);
      case Opcode.MKDIR:
        return make([0o755, 0o022], name);
      case Opcode.RENAME:
        return make([this.#node(), 0], name, this.#name());
      case Opcode.RENAME2:
        return make([this.#node(), 0, this.#below(8), 0], name, this.#name());
      case Opcode.LINK:
        return make([this.#node(), 0], name);
      case Opcode.OPEN:
        return make([this.#of([0, 1, 2, 0o1002]), this.#below(2)]);
      case Opcode.OPENDIR:
        return make([0, 0]);
      case Opcode.READ:
        return make([file, 0, this.#word(), 0, this.#word(), 0, 0, 0, 0, 0]);
      case Opcode.READDIR:
      case Opcode.READDIRPLUS:
        return make([directory, 0, this.#below(20), 0, this.#of([0, 160, 4096, 65_536]), 0, 0, 0, 0, 0]);
      case Opcode.WRITE: {
        const data = Buffer.alloc(this.#below(2000), 7);
        return make([file, 0, this.#below(9000), 0, data.length, this.#below(8), 0, 0, 0, 0], data);
      }
      case Opcode.RELEASE:
        return make([file, 0, 0, 0, 0, 0]);
      case Opcode.RELEASEDIR:
        return make([directory, 0, 0, 0, 0, 0]);
      case Opcode.FSYNC:
        return make([this.#random() < 0.1 ? file : 0, 0, 0, 0]);
      case Opcode.FSYNCDIR:
        return make([directory, 0, 0, 0]);
      case Opcode.SETXATTR: {
        const value = Buffer.alloc(this.#below(300), 7);
        return make([value.length, 0, 0, 0], this.#of(XATTRS), value);
      }
      case Opcode.GETXATTR:
        return make([this.#word(), 0], this.#of(XATTRS));
      case Opcode.LISTXATTR:
        return make([this.#word(), 0]);
      case Opcode.REMOVEXATTR:
        return make(this.#of(XATTRS));
      case Opcode.CREATE:
      case Opcode.TMPFILE:
        return make([this.#of([0, 1, 2]), 0o100644, 0o022, 0], name);
      case Opcode.FALLOCATE:
        return make([file, 0, this.#below(9000), 0, this.#below(9000), 0, this.#of([0, 1, 3, 16]), 0]);
      case Opcode.LSEEK:
        return make([file, 0, this.#below(9000), 0, this.#of([3, 4]), 0]);
      case Opcode.COPY_FILE_RANGE:
        return make([
          file,
          0,
          this.#below(9000),
          0,
          node,
          0,
          this.#handle(files),
          0,
          this.#below(9000),
          0,
          this.#below(9000),
          0,
          0,
          0,
        ]);
      case Opcode.INTERRUPT:
        return make([this.#below(this.#unique + 1), 0]);
      case Opcode.STATX:
        return make([0, 0, 0, 0, 0, 0]);
      default:
        return make(name);
    }
  }

  #mutated(from: Buffer): Buffer {
    const bytes = Buffer.from(from);
    const setLength = (to: Buffer): Buffer => {
      if (to.length >= 4) to.writeUInt32LE(to.length, 0);
      return to;
    };
    switch (this.#below(12)) {
      case 0: // A length that is not the request's.
        if (bytes.length >= 4) bytes.writeUInt32LE(this.#word(), 0);
        return bytes;
      case 1: // Another operation, known or not.
        if (bytes.length >= 8)
          bytes.writeUInt32LE(this.#random() < 0.8 ? this.#of(OPCODES) : this.#word(), 4);
        return bytes;
      case 2: // Another node, of 64 bits.
        if (bytes.length >= 24) bytes.writeUInt32LE(this.#random() < 0.7 ? this.#node() : this.#word(), 16);
        if (bytes.length >= 24 && this.#random() < 0.2) bytes.writeUInt32LE(this.#word(), 20);
        return bytes;
      case 3:
        if (bytes.length >= 16) bytes.writeUInt32LE(this.#word(), 8 + 4 * this.#below(2));
        return bytes;
      case 4: // Cut, told or not.
        return this.#random() < 0.5
          ? setLength(Buffer.from(bytes.subarray(0, this.#below(bytes.length + 1))))
          : bytes.subarray(0, this.#below(bytes.length + 1));
      case 5: // Longer.
        return setLength(Buffer.concat([bytes, this.#noise(this.#below(200))]));
      case 6: // The last byte, which ends a name, gone or another.
        if (bytes.length > 40) bytes[bytes.length - 1] = 65;
        return bytes;
      case 7: // A name much longer than any.
        return setLength(
          Buffer.concat([
            bytes.subarray(0, -1),
            Buffer.alloc(this.#of([300, 5000, 70_000]), 120),
            Buffer.of(0),
          ]),
        );
      case 8: {
        const at = this.#below(bytes.length + 1);
        if (at < bytes.length) bytes[at] = this.#below(256);
        return bytes;
      }
      default: {
        // A field of the structure.
        const words = (bytes.length - 40) >> 2;
        if (words > 0) bytes.writeUInt32LE(this.#word(), 40 + 4 * this.#below(words));
        return bytes;
      }
    }
  }

  #noise(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.#below(256);
    return bytes;
  }
}

function bytesOf(part: Part): Buffer {
  if (typeof part === 'string') return Buffer.from(`${part}\0`, 'latin1');
  if (Buffer.isBuffer(part)) return part;
  const bytes = Buffer.alloc(part.length * 4);
  for (const [i, word] of part.entries()) bytes.writeUInt32LE(word >>> 0, i * 4);
  return bytes;
}

/** Takes from a request what would fill the disk of the machine that the test runs on. */
function harmless(bytes: Buffer): Buffer {
  if (bytes.length < 72 || bytes.readUInt32LE(4) !== Opcode.FALLOCATE) return bytes;
  if (bytes.readUInt32LE(60) === 0 && bytes.readUInt32LE(56) > MOST_ALLOCATED)
    bytes.writeUInt32LE(MOST_ALLOCATED, 56);
  if (bytes.readUInt32LE(60) < 0x0020_0000) bytes.writeUInt32LE(0, 60);
  if (bytes.readUInt32LE(60) === 0) bytes.writeUInt32LE(Math.min(bytes.readUInt32LE(56), MOST_ALLOCATED), 56);
  return bytes;
}
