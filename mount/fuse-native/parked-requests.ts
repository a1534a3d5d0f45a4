/** Requests that wait for a content which is being copied, and are served again when it may be there. */
export class ParkedRequests {
  #waiting: (() => void)[] = [];

  park(serve: () => void): void {
    this.#waiting.push(serve);
  }

  serve(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const again of waiting) again();
  }
}
