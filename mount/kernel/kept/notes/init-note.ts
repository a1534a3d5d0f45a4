/** What the kernel and the session agreed on in INIT, which the kernel says once. */
import type { GrowingMemory } from '../growing-memory.js';
import { INIT_NOTE } from './state-layout.js';

// Indexes of u32.
const IS_AGREED = 0;
const MINOR = 1;
const FLAGS = 2;
const FLAGS2 = 3;

/** What was agreed on: the kernel's minor version of the protocol, and both words of flags. */
export interface Agreement {
  minor: number;
  flags: number;
  flags2: number;
}

export class InitNote {
  readonly #words: Uint32Array;

  /** `memory` is that of the state, which never grows. */
  constructor({ buffer, start }: GrowingMemory) {
    this.#words = new Uint32Array(buffer, start + INIT_NOTE, 4);
  }

  agreed({ minor, flags, flags2 }: Agreement): void {
    const words = this.#words;
    words[MINOR] = minor;
    words[FLAGS] = flags;
    words[FLAGS2] = flags2;
    words[IS_AGREED] = 1;
  }

  /** Undefined before INIT was answered. */
  get agreement(): Agreement | undefined {
    const words = this.#words;
    if (words[IS_AGREED] !== 1) return undefined;
    return { minor: words[MINOR]!, flags: words[FLAGS]!, flags2: words[FLAGS2]! };
  }
}
