/** Copies a file and keeps its holes. */
import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { SystemDisk } from './system.js';

const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const ENXIO = 6;
const CHUNK_BYTES = 4 * 1024 * 1024;

/** `to` is made, and must not be there. `copied` is told of bytes as they are copied. Throws Node's errno errors. */
export function copySparse(from: string, to: string, copied: (bytes: number) => void): void {
  const source = openSync(from, 'r');
  try {
    const target = openSync(to, 'wx', 0o600);
    try {
      copyData(source, target, copied);
    } finally {
      closeSync(target);
    }
  } finally {
    closeSync(source);
  }
}

/** As `copySparse`, to an empty file that is open. */
export function copyData(source: number, target: number, copied: (bytes: number) => void): void {
  const disk = new SystemDisk();
  const { size } = fstatSync(source);
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, Math.max(size, 1)));
  for (let at = 0; at < size; ) {
    const data = disk.seek(source, at, SEEK_DATA);
    if (data === -ENXIO) break;
    // Where the filesystem knows no holes all is data.
    const start = data < 0 ? at : data;
    const hole = disk.seek(source, start, SEEK_HOLE);
    at = copyRange(source, target, start, hole < 0 ? size : hole, chunk, copied);
  }
  ftruncateSync(target, size);
}

/** Returns where it ended. */
function copyRange(
  source: number,
  target: number,
  start: number,
  end: number,
  chunk: Uint8Array,
  copied: (bytes: number) => void,
): number {
  for (let at = start; at < end; ) {
    const length = readSync(source, chunk, 0, Math.min(chunk.length, end - at), at);
    if (length === 0) return end;
    for (let done = 0; done < length; ) done += writeSync(target, chunk, done, length - done, at + done);
    at += length;
    copied(length);
  }
  return end;
}
