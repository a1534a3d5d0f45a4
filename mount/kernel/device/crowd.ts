/** For so many requests several clients count as asking at a time. */
const LASTS = 8;

/** Whether requests come from one client, or from several at a time. */
export class Crowd {
  #last = 0;
  #left = 0;

  /** A request of the thread `pid` has come. Returns whether another's may be waiting. */
  asks(pid: number): boolean {
    if (pid === this.#last) this.#left = Math.max(0, this.#left - 1);
    else if (this.#last !== 0) this.#left = LASTS;
    this.#last = pid;
    return this.#left > 0;
  }

  /** No request waits, although that was thought. */
  isAway(): void {
    this.#left = 0;
  }
}
