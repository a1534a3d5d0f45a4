/** The kernel's table of backing files: gives numbers, and takes each back once. */
import type { BackingFiles } from '../../../mount/kernel/device/device-calls.js';

export class Registrations {
  readonly #numbers = new Set<number>();
  #next = 1;

  readonly files: BackingFiles = {
    register: () => {
      this.#numbers.add(this.#next);
      return this.#next++;
    },
    end: (backing) => {
      if (!this.#numbers.delete(backing))
        throw new Error(`backing file ${backing} was ended, and is not registered`);
    },
  };

  get count(): number {
    return this.#numbers.size;
  }
}
