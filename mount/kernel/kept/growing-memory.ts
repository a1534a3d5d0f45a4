/**
 * Memory for a table's rows, which grows in place: nothing in it ever moves. Either of this process, or a file that the next
 * one finds (kept-file.ts).
 */
export interface GrowingMemory {
  /** Rows begin at `start` of this, and take `length` bytes, zeros at first; another object after `grow`. */
  readonly buffer: ArrayBuffer;
  readonly start: number;
  readonly length: number;
  /** Doubles the length. Views of the buffer so far must not be used again. */
  grow(): void;
}

/** Gone with the process. */
export class HeapMemory implements GrowingMemory {
  readonly start = 0;
  buffer: ArrayBuffer;

  constructor(bytes: number) {
    this.buffer = new ArrayBuffer(bytes);
  }

  get length(): number {
    return this.buffer.byteLength;
  }

  grow(): void {
    const longer = new Uint8Array(this.length * 2);
    longer.set(new Uint8Array(this.buffer));
    this.buffer = longer.buffer;
  }
}
