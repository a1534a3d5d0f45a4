import { type ErrorCode, SpinneyError } from '../errors.js';

/** A short text in shared memory, or an error. Whoever sets it announces it by a word of their own. */
export class SharedText {
  readonly #bytes: Uint8Array;
  readonly #length: DataView;

  /** At `offset` of `buffer`, `bytes` long. */
  constructor(buffer: SharedArrayBuffer, offset: number, bytes: number) {
    this.#bytes = new Uint8Array(buffer, offset + 4, bytes - 4);
    this.#length = new DataView(buffer, offset, 4);
  }

  /** What does not fit is cut off. */
  set(text: string): void {
    const bytes = Buffer.from(text).subarray(0, this.#bytes.length);
    this.#bytes.set(bytes);
    this.#length.setUint32(0, bytes.length, true);
  }

  get(): string {
    return Buffer.from(this.#bytes.slice(0, this.#length.getUint32(0, true))).toString();
  }

  setError(error: unknown): void {
    const code = error instanceof SpinneyError ? error.code : 'ERR_IO';
    this.set(`${code}\n${error instanceof Error ? error.message : String(error)}`);
  }

  /** What `setError` left. */
  error(): SpinneyError {
    const text = this.get();
    const line = text.indexOf('\n');
    return new SpinneyError(text.slice(0, line) as ErrorCode, text.slice(line + 1));
  }
}
