/** The limits of a directory, as the value of its `q` key: bytes, then files, an f64 each, little-endian. */

/** 0: no limit. */
export interface Limits {
  bytes: number;
  /** Files and directories. */
  files: number;
}

const VALUE_BYTES = 16;

export function limitsValue({ bytes, files }: Limits): Uint8Array {
  const value = Buffer.alloc(VALUE_BYTES);
  value.writeDoubleLE(bytes, 0);
  value.writeDoubleLE(files, 8);
  return value;
}

/** Undefined where the bytes are no limits. */
export function readLimits(value: Uint8Array): Limits | undefined {
  if (value.length !== VALUE_BYTES) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, VALUE_BYTES);
  const limits = { bytes: view.getFloat64(0, true), files: view.getFloat64(8, true) };
  const areSound = [limits.bytes, limits.files].every((limit) => Number.isSafeInteger(limit) && limit >= 0);
  return areSound ? limits : undefined;
}
