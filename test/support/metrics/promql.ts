/** The metrics that our alert rules and dashboard are about. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseMetrics } from './prometheus.js';

const PACKAGING = join(import.meta.dirname, '../../../packaging');

export const ALERTS = join(PACKAGING, 'alerts.yml');

export interface Dashboard {
  templating: { list: { name: string }[] };
  panels: {
    id: number;
    title: string;
    gridPos: { x: number; y: number; w: number; h: number };
    targets?: { expr: string }[];
  }[];
}

export const dashboard = JSON.parse(
  readFileSync(join(PACKAGING, 'grafana-dashboard.json'), 'utf8'),
) as Dashboard;

export const dashboardExpressions = dashboard.panels.flatMap(({ targets = [] }) =>
  targets.map(({ expr }) => expr),
);

export const alertExpressions = Array.from(
  readFileSync(ALERTS, 'utf8').matchAll(/^ +expr: (.*)$/gm),
  ([, expr]) => expr!,
);

/** All of ours in those expressions; of a histogram its name with _bucket, _sum or _count. */
export function metricsUsed(): string[] {
  const words = [...dashboardExpressions, ...alertExpressions].flatMap((expression) => {
    // What is in braces or brackets, or names labels, is no metric.
    const bare = expression.replaceAll(/\{[^}]*\}|\[[^\]]*\]|\b(?:by|on) \([^)]*\)/g, ' ');
    return bare.match(/\b(?:spinney|process)_\w+/g) ?? [];
  });
  return [...new Set(words)];
}

/** The metrics that Prometheus text tells of, and the series of histograms. */
export function metricsTold(text: string): Set<string> {
  const told = new Set<string>();
  for (const [name, { type }] of parseMetrics(text).families) {
    told.add(name);
    if (type === 'histogram') for (const part of ['bucket', 'sum', 'count']) told.add(`${name}_${part}`);
  }
  return told;
}
