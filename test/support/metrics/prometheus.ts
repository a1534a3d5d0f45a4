/** Prometheus' text format as a program of others reads it. */
import parse from 'parse-prometheus-text-format';

export interface ScrapedSample {
  labels: Record<string, string>;
  value: number;
}

export interface Scraped {
  /** By the name of the metric. */
  families: Map<string, { help: string; type: string }>;
  /** By the name of the sample, which a histogram's begins with. */
  samples(name: string): ScrapedSample[];
}

/** Throws at a line that it cannot read. */
export function parseMetrics(text: string): Scraped {
  const families = new Map(
    parse(text).map(({ name, help, type }) => [name, { help, type: type.toLowerCase() }]),
  );
  // The parser puts a histogram's samples of all labels together; of no type it leaves them as they are.
  const untyped = parse(text.replace(/^(# TYPE \S+) histogram$/gm, '$1 untyped'));
  const samples = new Map<string, ScrapedSample[]>();
  for (const { name, metrics } of untyped) {
    const read = metrics.map((sample) => ({ labels: sample.labels ?? {}, value: numberIn(sample) }));
    samples.set(name, [...(samples.get(name) ?? []), ...read]);
  }
  return { families, samples: (name) => samples.get(name) ?? [] };
}

function numberIn(sample: object): number {
  const text = 'value' in sample ? String(sample.value) : '';
  if (/^[+-]?Inf$/.test(text)) return text === '-Inf' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const value = Number(text);
  if (text === '' || Number.isNaN(value)) throw new Error(`A sample has the value "${text}"`);
  return value;
}
