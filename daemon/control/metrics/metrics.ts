/** Prometheus text of the daemon's stats. Nothing is collected between scrapes. */
import { type Metric as ClientMetric, Registry } from 'prom-client';
import { SpinneyError } from '../../../engine/errors.js';
import type { ControlTarget, StatsReport } from '../reports.js';
import { METRICS, type Metric, type Sample } from './metric-list.js';

/** A metric as the registry takes it: it asks for the samples when it makes its text, and for nothing else. */
class Family {
  readonly #metric: Metric;
  samples: Sample[] = [];

  constructor(metric: Metric) {
    this.#metric = metric;
  }

  get name(): string {
    return this.#metric.name;
  }

  async get(): Promise<{ name: string; help: string; type: string; values: Sample[] }> {
    const { name, help, type } = this.#metric;
    return { name, help, type, values: this.samples };
  }
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #target: Pick<ControlTarget, 'stats' | 'health'>;
  readonly #families = METRICS.map((metric) => ({ metric, family: new Family(metric) }));

  constructor(target: Pick<ControlTarget, 'stats' | 'health'>) {
    this.#target = target;
    for (const { family } of this.#families) {
      this.#registry.registerMetric(family as unknown as ClientMetric);
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** One scrape: all values are of one moment. Throws what keeps the target from telling. */
  async text(): Promise<string> {
    const health = this.#target.health();
    const stats = this.#stats();
    for (const { metric, family } of this.#families) {
      // What is of health does not look at the stats.
      const isKnown = stats !== undefined || metric.isOfHealth === true;
      family.samples = isKnown ? metric.samples(stats as StatsReport, health) : [];
    }
    return this.#registry.metrics();
  }

  /** Undefined where the disk hangs: what health tells of that is more worth than figures. */
  #stats(): StatsReport | undefined {
    try {
      return this.#target.stats({ blobs: false });
    } catch (error) {
      if (error instanceof SpinneyError && error.code === 'ERR_IO') return undefined;
      throw error;
    }
  }
}
