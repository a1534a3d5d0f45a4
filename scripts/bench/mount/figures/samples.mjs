/** What the rounds gave: for each figure and number of clients, each system, each round a value and the server's CPU time. */
import { median } from '../../lib/report.mjs';

export class Samples {
  /** Figure and clients, to system, to { time, cpuUs } by round; round 0 is the warm-up. */
  #byFigure = new Map();

  add(figure, clients, system, round, sample) {
    const key = `${figure} ${clients}`;
    if (!this.#byFigure.has(key)) this.#byFigure.set(key, { figure, clients, bySystem: new Map() });
    const { bySystem } = this.#byFigure.get(key);
    if (!bySystem.has(system)) bySystem.set(system, []);
    bySystem.get(system)[round] = sample;
  }

  /** { figure, clients, systems } of all that there is, in the order in which it came. */
  figures() {
    return [...this.#byFigure.values()].map(({ figure, clients, bySystem }) => ({
      figure,
      clients,
      systems: [...bySystem.keys()],
    }));
  }

  /** The samples that count: those of the rounds, or that of the warm-up where there are no others. */
  of(figure, clients, system) {
    const samples = this.#rounds(figure, clients, system);
    return this.#counting([samples]).map((round) => samples[round]);
  }

  /** Whether there is but the warm-up. */
  isOnce(figure, clients, system) {
    return !this.#rounds(figure, clients, system).some((_, round) => round > 0);
  }

  /** How many times as long `system` takes as `against`: the median of the rounds that both were in. */
  ratio(figure, clients, system, against) {
    const samples = this.#rounds(figure, clients, system);
    const others = this.#rounds(figure, clients, against);
    const rounds = this.#counting([samples, others]);
    if (rounds.length === 0) return undefined;
    return median(rounds.map((round) => samples[round].time / others[round].time));
  }

  #rounds(figure, clients, system) {
    return this.#byFigure.get(`${figure} ${clients}`)?.bySystem.get(system) ?? [];
  }

  /** Rounds that all the lists have; the warm-up only where there is no other. */
  #counting(lists) {
    const rounds = [...lists[0].keys()].filter((round) => lists.every((list) => list[round] !== undefined));
    return rounds.length > 1 ? rounds.filter((round) => round > 0) : rounds;
  }
}
