/** Large contents that were read just now, and are not read again at once, however often they change. */
import type { Clock } from '../../store/object/clock.js';

/** They rest so many times as long as reading took: so one that changes all the time is read for a tenth of the time. */
const TIMES = 9;

export class Rests {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();
  #isHurried = false;
  /** Called when one has rested, and when none does any more. */
  onOver: () => void = () => {};

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(key: string): boolean {
    const until = this.#until.get(key);
    return until !== undefined && !this.#isHurried && this.#clock.now() < until;
  }

  /** It was read since `began`, by the clock. */
  begin(key: string, began: number): void {
    const now = this.#clock.now();
    const until = now + (now - began) * TIMES;
    this.#until.set(key, until);
    void this.#clock.sleep(until - now).then(() => {
      if (this.#until.get(key) !== until) return;
      this.#until.delete(key);
      this.onOver();
    });
  }

  /** From now on none rests: all comes to its end. */
  hurry(): void {
    this.#isHurried = true;
    this.onOver();
  }
}
