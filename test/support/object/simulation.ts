/**
 * Several machines in one thread: time is a number, what happens next is the earliest that was planned, and all of it follows from a seed.
 * Between two happenings everything that was set off has run to its next wait.
 */
import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../../engine/store/object/clock.js';
import { seededRandom } from '../disk/random.js';

interface Planned {
  at: number;
  order: number;
  /** False: it had become pointless. */
  happen: () => boolean;
}

export class Simulation {
  readonly random: () => number;
  /** Milliseconds. */
  now = 0;
  /** What has happened so far. */
  steps = 0;
  /** Set by whoever sees something that must not be; ends the run. */
  violation: Error | undefined;
  readonly #planned: Planned[] = [];
  #order = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** From `least` up to `most`. */
  between(least: number, most: number): number {
    return least + this.random() * (most - least);
  }

  newId(): string {
    let id = '';
    while (id.length < 32)
      id += Math.floor(this.random() * 0x10000)
        .toString(16)
        .padStart(4, '0');
    return id;
  }

  fail(message: string): void {
    this.violation ??= new Error(`at ${Math.round(this.now)} ms: ${message}`);
  }

  plan(at: number, happen: () => boolean): void {
    const planned = { at, order: this.#order++, happen };
    let index = this.#planned.push(planned) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(planned, this.#planned[parent]!)) break;
      this.#planned[index] = this.#planned[parent]!;
      index = parent;
    }
    this.#planned[index] = planned;
  }

  /** Goes on until so many steps have happened, or `isDone` says so. */
  async run(steps: number, isDone: () => boolean = () => false): Promise<void> {
    for (const end = this.steps + steps; this.steps < end && !isDone(); ) {
      const next = this.#takeNext();
      if (next === undefined) throw new Error('nothing will ever happen any more');
      this.now = next.at;
      if (!next.happen()) continue;
      this.steps++;
      await setImmediate();
      if (this.violation !== undefined) throw this.violation;
    }
  }

  #takeNext(): Planned | undefined {
    const first = this.#planned[0];
    const last = this.#planned.pop();
    if (first === undefined || last === undefined || first === last) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#planned.length) break;
      if (child + 1 < this.#planned.length && isBefore(this.#planned[child + 1]!, this.#planned[child]!))
        child++;
      if (!isBefore(this.#planned[child]!, last)) break;
      this.#planned[index] = this.#planned[child]!;
      index = child;
    }
    this.#planned[index] = last;
    return first;
  }
}

function isBefore(a: Planned, b: Planned): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** A process on a machine: it can stand still for a time, be cut off from the network, and be killed. */
export class SimulatedProcess {
  isAlive = true;
  isCutOff = false;
  readonly clock: Clock;
  readonly simulation: Simulation;
  #standsUntil = 0;

  /** `rate`: of its clock; 1 is right. */
  constructor(simulation: Simulation, rate: number) {
    this.simulation = simulation;
    const begin = simulation.between(0, 1e6);
    this.clock = {
      now: () => begin + rate * simulation.now,
      sleep: (ms) =>
        new Promise((resolve) => {
          this.plan(simulation.now + ms / rate, () => {
            resolve();
            return true;
          });
        }),
    };
  }

  pause(ms: number): void {
    this.#standsUntil = Math.max(this.#standsUntil, this.simulation.now + ms);
  }

  /** Something that happens to it, later where it stands still then, and never once it is killed. */
  plan(at: number, happen: () => boolean): void {
    this.simulation.plan(at, () => {
      if (!this.isAlive) return false;
      if (this.simulation.now >= this.#standsUntil) return happen();
      this.plan(this.#standsUntil, happen);
      return false;
    });
  }
}
