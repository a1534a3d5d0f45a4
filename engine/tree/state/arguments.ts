/** Checks of what callers pass in, all before anything is changed. */
import type { Key } from '../../api.js';
import { SpinneyError } from '../../errors.js';
import { MAX_KEY_BYTES, MAX_VALUE_BYTES } from '../../limits.js';

/** A key for a write or a guard: 1 to MAX_KEY_BYTES bytes. */
export function keyBytes(key: Key): Uint8Array {
  const bytes = prefixBytes(key);
  if (bytes.length === 0)
    throw new SpinneyError('ERR_INVALID_ARGUMENT', 'Cannot use an empty key: a key has at least one byte');
  if (bytes.length > MAX_KEY_BYTES) {
    throw new SpinneyError(
      'ERR_KEY_TOO_LARGE',
      `Cannot use a key of ${bytes.length} bytes: the limit is ${MAX_KEY_BYTES} (it begins with ${JSON.stringify(Buffer.from(bytes.subarray(0, 40)).toString())})`,
    );
  }
  return bytes;
}

/** A prefix, or a key to be read: any length. */
export function prefixBytes(key: Key): Uint8Array {
  if (typeof key === 'string') return Buffer.from(key, 'utf8');
  if (key instanceof Uint8Array) return key;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot use ${typeof key} as a key: it is a Uint8Array or a string`,
  );
}

export function valueBytes(value: Uint8Array): Uint8Array {
  if (!(value instanceof Uint8Array)) {
    throw new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot store ${typeof value}: a value is a Uint8Array`);
  }
  if (value.length > MAX_VALUE_BYTES) {
    throw new SpinneyError(
      'ERR_VALUE_TOO_LARGE',
      `Cannot store a value of ${value.length} bytes: the limit is ${MAX_VALUE_BYTES}`,
    );
  }
  return value;
}

/** What is called back. */
export function callback<T extends (...given: never[]) => unknown>(given: T, action: string): T {
  if (typeof given === 'function') return given;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot ${action}: it is given ${given === null ? 'null' : `a value of type ${typeof given}`} in place of a function`,
  );
}

/** Options of a call: an object, since anything else has none of them and would be passed over in silence. */
export function optionsOf<T extends object>(given: T, action: string): T {
  if (typeof given === 'object' && given !== null) return given;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot ${action} with ${given} as options: they are an object`,
  );
}

/** A version given as a guard; one that no record can have is the caller's mistake. */
export function versionNumber(version: number): number {
  if (!Number.isSafeInteger(version) || version < 0) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot compare with version ${version}: it is a whole number from 0`,
    );
  }
  return version;
}

/** The id of a thread that has ended. By then its Worker says -1, which would be taken for whoever holds what nobody holds. */
export function endedThread(threadId: number): number {
  if (Number.isSafeInteger(threadId) && threadId >= 0) return threadId;
  throw new SpinneyError(
    'ERR_INVALID_ARGUMENT',
    `Cannot take leave of thread ${threadId}: give the threadId that its Worker had while it ran`,
  );
}

/** A delimiter as a byte, or -1 for none. */
export function delimiterByte(delimiter: number | string | undefined): number {
  if (delimiter === undefined) return -1;
  const bytes = typeof delimiter === 'string' ? Buffer.from(delimiter, 'utf8') : [delimiter];
  const byte = bytes[0];
  if (bytes.length !== 1 || byte === undefined || !Number.isInteger(byte) || byte < 0 || byte > 255) {
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot use ${JSON.stringify(delimiter)} as a delimiter: it is one byte`,
    );
  }
  return byte;
}

/** Bytes as text: those that are no printable ASCII, and the backslash, as \\xNN. */
export function printable(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x5c
      ? `\\x${byte.toString(16).padStart(2, '0')}`
      : String.fromCharCode(byte),
  ).join('');
}
