/** A tar archive (POSIX ustar) of small files in memory. Their names are ours: ASCII, under 100 bytes. */

const BLOCK_BYTES = 512;
const NAME_BYTES = 100;
// Where the fields of a header are.
const MODE_AT = 100;
const UID_AT = 108;
const GID_AT = 116;
const SIZE_AT = 124;
const MTIME_AT = 136;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;
const TYPE_AT = 156;
const MAGIC_AT = 257;

export interface ArchivedFile {
  name: string;
  bytes: Uint8Array;
}

/** `seconds`: their time, since 1970. */
export function tarOf(files: readonly ArchivedFile[], seconds: number): Buffer {
  const blocks = files.flatMap(({ name, bytes }) => [
    header(name, bytes.length, seconds),
    bytes,
    Buffer.alloc(-bytes.length & (BLOCK_BYTES - 1)),
  ]);
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)]);
}

function header(name: string, size: number, seconds: number): Buffer {
  if (Buffer.byteLength(name) >= NAME_BYTES) throw new Error(`Cannot archive ${name}: its name is too long`);
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, digits: number): void => {
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  };
  block.write(name, 'latin1');
  octal(0o600, MODE_AT, 7);
  octal(0, UID_AT, 7);
  octal(0, GID_AT, 7);
  octal(size, SIZE_AT, 11);
  octal(seconds, MTIME_AT, 11);
  block.write('0', TYPE_AT, 'latin1');
  block.write('ustar\x0000', MAGIC_AT, 'latin1');
  // The sum is of the header with spaces in place of itself.
  block.fill(' ', CHECKSUM_AT, CHECKSUM_AT + CHECKSUM_BYTES);
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    CHECKSUM_AT,
    6,
  );
  block[CHECKSUM_AT + 6] = 0;
  return block;
}
