/**
 * Keeps idle processors from halting for as long as requests follow each other.
 *
 * A reply wakes its client, and a processor that has halted takes 20 to 30 us to do that in a virtual machine, which is
 * longer than most requests take. The kernel's interface for those who need it sooner (PM QoS,
 * Documentation/power/pm_qos_interface.rst) is a file: as long as a latency of 0 is written there, idle processors poll.
 * It counts for all processors and ends with the descriptor, so also with the process. Only root may open it, and only
 * some systems have it; it is left alone where there are many processors, which would all burn power for one client.
 */
import { availableParallelism } from 'node:os';
import * as libc from '../../libc/libc.js';

const PATH = '/dev/cpu_dma_latency';
const MOST_PROCESSORS = 8;

/** Microseconds, as the file takes them: a signed 32-bit integer. */
const NO_LATENCY = new Uint8Array(Int32Array.of(0).buffer);
/** The kernel's own default. */
const ANY_LATENCY = new Uint8Array(Int32Array.of(2_000_000_000).buffer);

export class WakeLatency {
  #fd: number;
  #held = false;

  constructor(processors = availableParallelism(), path = PATH) {
    this.#fd = processors <= MOST_PROCESSORS ? libc.open(path, libc.O_RDWR | libc.O_CLOEXEC, 0) : -1;
  }

  /** Whether idle processors poll because of this. */
  get isHeld(): boolean {
    return this.#held;
  }

  hold(): void {
    if (!this.#held) this.#held = this.#ask(NO_LATENCY);
  }

  release(): void {
    if (this.#held) this.#ask(ANY_LATENCY);
    this.#held = false;
  }

  close(): void {
    if (this.#fd >= 0) libc.close(this.#fd);
    this.#fd = -1;
    this.#held = false;
  }

  /** Returns whether the kernel took it; one that does not is not asked again. */
  #ask(latency: Uint8Array): boolean {
    if (this.#fd < 0) return false;
    if (libc.write(this.#fd, latency, latency.length) === latency.length) return true;
    this.close();
    return false;
  }
}
