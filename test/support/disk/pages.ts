/**
 * The content of a simulated file: a size, times and a sparse set of 4 KiB pages. Pages are never changed in place,
 * only replaced, so a clone shares them and costs one map. A page that is absent is a hole; a page that is
 * present takes up space, even when it was only reserved and reads as zeros.
 */
import { crc32 } from 'node:zlib';
import type { Times } from './nodes.js';

export const PAGE_SIZE = 4096;

const ZERO_PAGE = new Uint8Array(PAGE_SIZE);
const NO_TIMES: Times = { mtimeSeconds: 0, mtimeNanos: 0, ctimeSeconds: 0 };

/** Pages are never changed: a sum is of one for good. */
const SUMS = new WeakMap<Uint8Array, number>();

export class Pages {
  size = 0;
  times = NO_TIMES;
  #pages: Map<number, Uint8Array>;

  constructor(from?: Pages) {
    this.#pages = new Map(from === undefined ? [] : from.#pages);
    this.size = from?.size ?? 0;
    this.times = from?.times ?? NO_TIMES;
  }

  /** Pages that take up space. */
  get count(): number {
    return this.#pages.size;
  }

  /** Numbers that two contents share if and only if they are the same, as far as sums of their pages tell. */
  *sums(): Generator<number> {
    yield this.size;
    for (const [index, page] of [...this.#pages].sort(([a], [b]) => a - b)) {
      const sum = SUMS.get(page) ?? crc32(page);
      SUMS.set(page, sum);
      yield index;
      yield sum;
    }
  }

  has(page: number): boolean {
    return this.#pages.has(page);
  }

  /** What is in the page; not to be changed. */
  page(page: number): Uint8Array {
    return this.#pages.get(page) ?? ZERO_PAGE;
  }

  /** Copies out what the file holds at `position`; returns the number of bytes before the end of the file. */
  read(into: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(into.length, this.size - position));
    for (let done = 0; done < length; ) {
      const at = position + done;
      const inPage = at % PAGE_SIZE;
      const part = Math.min(PAGE_SIZE - inPage, length - done);
      const page = this.#pages.get(Math.floor(at / PAGE_SIZE));
      if (page === undefined) into.fill(0, done, done + part);
      else into.set(page.subarray(inPage, inPage + part), done);
      done += part;
    }
    return length;
  }

  /** `data` must not change any more: whole pages of it are kept as they are. */
  write(data: Uint8Array, position: number): void {
    for (let done = 0; done < data.length; ) {
      const at = position + done;
      const inPage = at % PAGE_SIZE;
      const part = Math.min(PAGE_SIZE - inPage, data.length - done);
      const index = Math.floor(at / PAGE_SIZE);
      let page = data.subarray(done, done + part);
      if (part < PAGE_SIZE) {
        page = new Uint8Array(this.page(index));
        page.set(data.subarray(done, done + part), inPage);
      }
      this.#pages.set(index, page);
      done += part;
    }
    this.size = Math.max(this.size, position + data.length);
  }

  /** Reserves the pages of a range without changing what they read as. */
  allocate(offset: number, length: number, keepsSize: boolean): void {
    for (let page = Math.floor(offset / PAGE_SIZE); page * PAGE_SIZE < offset + length; page++) {
      if (!this.#pages.has(page)) this.#pages.set(page, ZERO_PAGE);
    }
    if (!keepsSize) this.size = Math.max(this.size, offset + length);
  }

  truncate(size: number): void {
    if (size < this.size) {
      for (const page of [...this.#pages.keys()]) if (page * PAGE_SIZE >= size) this.#pages.delete(page);
      const rest = size % PAGE_SIZE;
      const last = this.#pages.get(Math.floor(size / PAGE_SIZE));
      if (rest !== 0 && last !== undefined) {
        const cut = new Uint8Array(last);
        cut.fill(0, rest);
        this.#pages.set(Math.floor(size / PAGE_SIZE), cut);
      }
    }
    this.size = size;
  }

  /** Zeros a range and gives back the pages that lie wholly inside it. */
  punch(offset: number, length: number): void {
    const end = Math.min(offset + length, this.size);
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / PAGE_SIZE);
      const pageEnd = Math.min(end, (index + 1) * PAGE_SIZE);
      const page = this.#pages.get(index);
      if (page !== undefined) {
        if (at % PAGE_SIZE === 0 && (pageEnd % PAGE_SIZE === 0 || pageEnd === this.size)) {
          this.#pages.delete(index);
        } else {
          const cleared = new Uint8Array(page);
          cleared.fill(0, at % PAGE_SIZE, (at % PAGE_SIZE) + pageEnd - at);
          this.#pages.set(index, cleared);
        }
      }
      at = pageEnd;
    }
  }
}
