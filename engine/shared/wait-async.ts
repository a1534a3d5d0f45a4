/** Atomics.waitAsync, which is not in the library's types yet. */
export const { waitAsync } = Atomics as unknown as {
  waitAsync: (
    words: Int32Array,
    index: number,
    value: number,
    ms: number,
  ) => { value: 'not-equal' | 'timed-out' | Promise<'ok' | 'timed-out'> };
};
