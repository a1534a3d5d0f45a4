/** Timing and printing for the benchmarks: one JSON line for each figure. */
import { availableParallelism, cpus } from 'node:os';

/** Runs of each figure; the median counts, the first is warm-up. */
export const RUNS = 5;

/**
 * Calls `run` (which does `count` operations) RUNS + 1 times and prints the median of all but the first.
 * `prepare` is called before each run and not timed.
 */
export function measure(name, labels, count, run, prepare = () => {}) {
  const perOperation = [];
  for (let i = 0; i <= RUNS; i++) {
    prepare(i);
    const started = process.hrtime.bigint();
    run(i);
    const elapsed = Number(process.hrtime.bigint() - started);
    if (i > 0) perOperation.push(elapsed / 1000 / count);
  }
  report(name, labels, perOperation, 'us/op');
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Prints one figure: the median, and the least and greatest of its runs. */
export function report(name, labels, values, unit) {
  const round = (value) => Number(value.toPrecision(4));
  const line = {
    figure: name,
    ...labels,
    median: round(median(values)),
    min: round(Math.min(...values)),
    max: round(Math.max(...values)),
    unit,
    runs: values.length,
  };
  console.log(JSON.stringify(line));
}

export function reportMachine() {
  const machine = {
    figure: 'machine',
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    arch: process.arch,
    date: new Date().toISOString().slice(0, 10),
  };
  console.log(JSON.stringify(machine));
}
