/**
 * For how long HEAD is whose, by clocks that nobody sets and that none compares with another.
 *
 * A holder counts from when it sent the HEAD; whoever waits counts from when he saw it, which is later. Two clocks may differ in rate,
 * each by CLOCK_DRIFT at most from the true one. So a holder has stopped before anybody may take over.
 */

/** A part by which a clock may be faster or slower: far more than any clock is. */
export const CLOCK_DRIFT = 0.01;
/** A holder renews that many times within its lease. */
export const RENEWALS = 3;
export const MIN_LEASE_MS = 100;

/** By a clock of one's own: after so long without a change, another's lease has run out. */
export function waitOutMs(leaseMs: number): number {
  return (leaseMs * (1 + CLOCK_DRIFT)) / (1 - CLOCK_DRIFT);
}
