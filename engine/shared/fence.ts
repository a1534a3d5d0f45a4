const fence = new Int32Array(new SharedArrayBuffer(4));
const weaklyOrdered = process.arch !== 'x64' && process.arch !== 'ia32';

/**
 * Orders the plain reads before it before the validation after it. On weakly ordered machines that takes a
 * read-modify-write, on a word of this thread's own.
 */
export function readFence(): void {
  if (weaklyOrdered) Atomics.exchange(fence, 0, 0);
}
