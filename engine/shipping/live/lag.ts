/** How far a remote is behind, in time. */

/** Told apart: a moment when the journal's end was looked at. */
interface Look {
  lsn: number;
  at: number;
}

export class Lag {
  /** Ends of the journal that the remote has not, the earliest first. */
  readonly #looks: Look[] = [];
  #lastAt: number | undefined;

  /**
   * Milliseconds since the oldest record that is not shipped, at most: what is new may have come right after the look before. 0 where all
   * are shipped. To be called often.
   */
  look(lastLsn: number, shippedLsn: number, now: number): number {
    const looks = this.#looks;
    while (looks.length > 0 && looks[0]!.lsn <= shippedLsn) looks.shift();
    if (lastLsn > shippedLsn && (looks.length === 0 || looks.at(-1)!.lsn < lastLsn)) {
      // An hour of looks need not be remembered one by one: the earliest is what counts.
      if (looks.length >= MOST_LOOKS) looks.pop();
      looks.push({ lsn: lastLsn, at: this.#lastAt ?? now });
    }
    this.#lastAt = now;
    return looks.length === 0 ? 0 : now - looks[0]!.at;
  }
}

const MOST_LOOKS = 1000;
