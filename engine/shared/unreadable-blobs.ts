/**
 * The blobs that could not be read, for all threads to see: the first few, with how often that was. A blob that can be
 * read again is taken out. Whoever writes here REQUIRES the tree lock; `list` takes none, since a disk that hangs may keep
 * the lock from everybody: a row that changes meanwhile is left out, or has a prefix that is cut.
 */
export const MOST_UNREADABLE = 16;
/** Longer prefixes are cut. */
const PREFIX_BYTES = 256;
// Words of a row.
const BLOB = 0;
/** Id of the snapshot whose image it is; 0: the blob as it is. */
const PIN = 1;
const ERRORS = 2;
/** -1: the prefix is not known. */
const PREFIX_LENGTH = 3;
const ROW_WORDS = 4;

export const UNREADABLE_BYTES = MOST_UNREADABLE * (ROW_WORDS * 4 + PREFIX_BYTES);

export interface UnreadableBlobNote {
  id: number;
  /** Id of the snapshot whose image it is; 0: the blob as it is. */
  pin: number;
  /** How often reading it failed. */
  errors: number;
  /** What the keys in it and in the blobs below it begin with, at most 256 bytes; undefined where that is not known. */
  prefix: Uint8Array | undefined;
}

export class UnreadableBlobs {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;

  constructor(buffer: SharedArrayBuffer, offset: number) {
    this.#words = new Int32Array(buffer, offset, MOST_UNREADABLE * ROW_WORDS);
    this.#bytes = new Uint8Array(
      buffer,
      offset + MOST_UNREADABLE * ROW_WORDS * 4,
      MOST_UNREADABLE * PREFIX_BYTES,
    );
  }

  /** Reading the blob failed. Beyond so many blobs others are not noted. */
  failed(blobId: number, pin = 0): void {
    const words = this.#words;
    let row = this.#find(blobId, pin);
    if (row < 0) {
      row = this.#free();
      if (row < 0) return;
      Atomics.store(words, row + PIN, pin);
      Atomics.store(words, row + ERRORS, 0);
      Atomics.store(words, row + PREFIX_LENGTH, -1);
      Atomics.store(words, row + BLOB, blobId);
    }
    Atomics.add(words, row + ERRORS, 1);
  }

  /** The blob was read, or is gone. */
  forget(blobId: number, pin = 0): void {
    const row = this.#find(blobId, pin);
    if (row >= 0) Atomics.store(this.#words, row + BLOB, 0);
  }

  /** Whether it is noted. Needs no lock. */
  has(blobId: number, pin: number): boolean {
    return this.list().some((note) => note.id === blobId && note.pin === pin);
  }

  setPrefix(blobId: number, prefix: Uint8Array, pin = 0): void {
    const row = this.#find(blobId, pin);
    if (row < 0) return;
    const part = prefix.subarray(0, PREFIX_BYTES);
    this.#bytes.set(part, prefixAt(row));
    Atomics.store(this.#words, row + PREFIX_LENGTH, part.length);
  }

  list(): UnreadableBlobNote[] {
    const words = this.#words;
    const notes: UnreadableBlobNote[] = [];
    for (let row = 0; row < words.length; row += ROW_WORDS) {
      const id = Atomics.load(words, row + BLOB);
      if (id === 0) continue;
      const pin = Atomics.load(words, row + PIN);
      const errors = Atomics.load(words, row + ERRORS);
      const length = Atomics.load(words, row + PREFIX_LENGTH);
      const at = prefixAt(row);
      const prefix = length < 0 ? undefined : this.#bytes.slice(at, at + length);
      if (Atomics.load(words, row + BLOB) === id) notes.push({ id: id >>> 0, pin, errors, prefix });
    }
    return notes;
  }

  /** First word of the row; -1: there is none. */
  #find(blobId: number, pin: number): number {
    const words = this.#words;
    for (let row = 0; row < words.length; row += ROW_WORDS) {
      if (words[row + BLOB] === (blobId | 0) && words[row + PIN] === pin) return row;
    }
    return -1;
  }

  #free(): number {
    const words = this.#words;
    for (let row = 0; row < words.length; row += ROW_WORDS) if (words[row + BLOB] === 0) return row;
    return -1;
  }
}

function prefixAt(row: number): number {
  return (row / ROW_WORDS) * PREFIX_BYTES;
}
