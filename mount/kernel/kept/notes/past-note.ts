/** How many nodeids of snapshots a mount's processes have used: no two things get one, whichever process has given it. */
import { type GrowingMemory, HeapMemory } from '../growing-memory.js';
import { PAST_NOTE } from './state-layout.js';

export class PastNote {
  readonly #numbers: Float64Array;

  /** `memory` is that of the state, which never grows. */
  constructor({ buffer, start }: Pick<GrowingMemory, 'buffer' | 'start'> = new HeapMemory(PAST_NOTE + 8)) {
    this.#numbers = new Float64Array(buffer, start + PAST_NOTE, 1);
  }

  get nodes(): number {
    return this.#numbers[0]!;
  }

  /** One more is used. */
  take(): void {
    this.#numbers[0]! += 1;
  }
}
