/**
 * For how long threads may go on to answer without hearing of the lease again.
 *
 * While the lease holds, nobody else can have begun. Where it has run out because the server does not answer, a writer at `local` serves
 * on all the same: what it acknowledges is here, and the lag tells how much that is. Another may take over meanwhile, who cannot know.
 * But a process that stood still, or a machine that slept, must not go on as if nothing had been: when it wakes up with a lease that has run
 * out, it answers nothing until the server was asked after that: whether HEAD is its own yet, or that there is no answer.
 */
import type { HeldHead } from '../../remote/held-head.js';
import type { Clock } from '../../store/object/clock.js';

/** Looks are a part of a second apart. After so long without one, the process stood still. */
const STOOD_STILL_MS = 3_000;

export class LeaseWatch {
  readonly #clock: Clock;
  readonly #held: HeldHead;
  #lookedAt: number;
  /** Since when it is to be found out whether HEAD is ours; undefined: it is known. */
  #doubtSince: number | undefined;

  constructor(clock: Clock, held: HeldHead) {
    this.#clock = clock;
    this.#held = held;
    this.#lookedAt = clock.now();
  }

  /** To be called at each look. Milliseconds from now; 0: nothing may be answered before the next look. */
  servesForMs(): number {
    const now = this.#clock.now();
    const left = this.#held.leaseEnd - now;
    if (left <= 0 && now - this.#lookedAt > STOOD_STILL_MS) this.#doubtSince ??= now;
    const { failedSince } = this.#held;
    const isAnswered = left > 0 || (failedSince !== undefined && failedSince >= (this.#doubtSince ?? 0));
    if (isAnswered) this.#doubtSince = undefined;
    this.#lookedAt = now;
    if (this.#doubtSince !== undefined) return 0;
    return Math.max(left, STOOD_STILL_MS);
  }
}
