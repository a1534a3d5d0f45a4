/**
 * The blobs that could not be read, for all threads to see: the first few, with how often that was. A blob that can be
 * read again is taken out. Everything here REQUIRES the tree lock.
 */
export const MOST_UNREADABLE = 16;
/** Longer prefixes are cut. */
const PREFIX_BYTES = 256;
/** Blob id, errors, length of the prefix (-1: not known). */
const ROW_WORDS = 3;

export const UNREADABLE_BYTES = MOST_UNREADABLE * (ROW_WORDS * 4 + PREFIX_BYTES);

export interface UnreadableBlobNote {
  id: number;
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
  failed(blobId: number): void {
    const words = this.#words;
    let row = this.#find(blobId);
    if (row < 0) {
      row = this.#find(0);
      if (row < 0) return;
      words[row * ROW_WORDS] = blobId;
      words[row * ROW_WORDS + 1] = 0;
      words[row * ROW_WORDS + 2] = -1;
    }
    words[row * ROW_WORDS + 1] = (words[row * ROW_WORDS + 1] as number) + 1;
  }

  /** The blob was read, or is gone. */
  forget(blobId: number): void {
    const row = this.#find(blobId);
    if (row >= 0) this.#words[row * ROW_WORDS] = 0;
  }

  setPrefix(blobId: number, prefix: Uint8Array): void {
    const row = this.#find(blobId);
    if (row < 0) return;
    const part = prefix.subarray(0, PREFIX_BYTES);
    this.#bytes.set(part, row * PREFIX_BYTES);
    this.#words[row * ROW_WORDS + 2] = part.length;
  }

  list(): UnreadableBlobNote[] {
    const notes: UnreadableBlobNote[] = [];
    for (let row = 0; row < MOST_UNREADABLE; row++) {
      const [id, errors, length] = this.#words.subarray(
        row * ROW_WORDS,
        (row + 1) * ROW_WORDS,
      ) as unknown as [number, number, number];
      if (id === 0) continue;
      const at = row * PREFIX_BYTES;
      notes.push({
        id: id >>> 0,
        errors,
        prefix: length < 0 ? undefined : this.#bytes.slice(at, at + length),
      });
    }
    return notes;
  }

  #find(blobId: number): number {
    for (let row = 0; row < MOST_UNREADABLE; row++)
      if (this.#words[row * ROW_WORDS] === (blobId | 0)) return row;
    return -1;
  }
}
