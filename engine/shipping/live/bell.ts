/** Wakes who waits for something to do. */
import type { Clock } from '../../store/object/clock.js';

export class Bell {
  readonly #clock: Clock;
  #isRung = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ring(): void {
    this.#isRung = true;
    this.#wake?.();
  }

  /** Resolves when it rings, or has since the last time, or after so many milliseconds. One at a time waits. */
  async wait(ms = Number.POSITIVE_INFINITY): Promise<void> {
    if (!this.#isRung) {
      const rung = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await (ms === Number.POSITIVE_INFINITY ? rung : Promise.race([rung, this.#clock.sleep(ms)]));
      this.#wake = undefined;
    }
    this.#isRung = false;
  }
}
