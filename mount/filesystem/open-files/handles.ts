/** Numbers for open things: small, from 1, reused once released. */
export class Handles<T> {
  readonly #items: (T | undefined)[] = [undefined];
  readonly #free: number[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(item: T): number {
    this.#count++;
    const handle = this.#free.pop() ?? this.#items.length;
    this.#items[handle] = item;
    return handle;
  }

  /**
   * Gives an item a number that it had in another process, in ascending order and before any `add`. Undefined: nobody is to get
   * the number.
   */
  putBack(handle: number, item: T | undefined): void {
    while (this.#items.length < handle) {
      this.#free.push(this.#items.length);
      this.#items.push(undefined);
    }
    this.#items.push(item);
    if (item !== undefined) this.#count++;
  }

  get(handle: number): T | undefined {
    return this.#items[handle];
  }

  /** Frees the number; undefined where it is not in use. */
  remove(handle: number): T | undefined {
    const item = this.#items[handle];
    if (item === undefined) return undefined;
    this.#items[handle] = undefined;
    this.#free.push(handle);
    this.#count--;
    return item;
  }

  *values(): Iterable<T> {
    for (const item of this.#items) if (item !== undefined) yield item;
  }
}
