/** After so many an optimistic walk is made under the tree lock. */
const MOST_RESTARTS = 1000;

/** How often a walk has failed to get on. */
export class Attempts {
  #failures = 0;
  /** Blobs loaded without getting on. */
  loads = 0;

  /** A walk begins, or has got on. */
  reset(): void {
    this.#failures = 0;
    this.loads = 0;
  }

  get exclusive(): boolean {
    return this.#failures > MOST_RESTARTS;
  }

  failed(): void {
    this.#failures++;
  }
}
