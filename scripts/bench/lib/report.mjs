/** Printing for the benchmarks: one JSON line for each figure. */
import { availableParallelism, cpus } from 'node:os';

/** Runs of each figure; one before them is warm-up. */
export const RUNS = 5;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Prints one figure: the median, and the least and greatest of its runs. Returns what it printed. */
export function report(name, labels, values, unit, more = {}) {
  return print({
    figure: name,
    ...labels,
    median: median(values),
    min: Math.min(...values),
    max: Math.max(...values),
    unit,
    runs: values.length,
    ...more,
  });
}

/** Prints an object as a line, with what is no integer to four significant digits. Returns it as printed. */
export function print(line) {
  const text = JSON.stringify(line, (_, value) =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value,
  );
  console.log(text);
  return JSON.parse(text);
}

export function machine() {
  return {
    figure: 'machine',
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    node: process.version,
    arch: process.arch,
    date: new Date().toISOString().slice(0, 10),
  };
}
