/**
 * Whether a figure has gone beyond a limit. Then it is until it has come back to another one, so that a figure close to the limit
 * is no news every second.
 */
export class Threshold {
  #isBeyond = false;

  /** Beyond from `begin` on until it is back at `end`. `begin` above `end`: the figure is too high; below it: too low. */
  update(value: number, begin: number, end: number): boolean {
    const limit = this.#isBeyond ? end : begin;
    this.#isBeyond = begin > end ? value > limit : value < limit;
    return this.#isBeyond;
  }
}
