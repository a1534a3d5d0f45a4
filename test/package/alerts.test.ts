/** The alert rules and the dashboard: of metrics that there are, of all codes of health, and such as Prometheus takes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { HEALTH_CODES } from '../../daemon/health/codes.js';
import {
  ALERTS,
  alertExpressions,
  dashboard,
  dashboardExpressions,
  metricsUsed,
} from '../support/metrics/promql.js';

const ROOT = join(import.meta.dirname, '../..');
const hasPromtool = spawnSync('promtool', ['--version']).error === undefined;
if (!hasPromtool) console.warn('promtool is missing (Debian package prometheus): the rules are not tried');

function promtool(directory: string, ...args: string[]): void {
  execFileSync('promtool', args, { cwd: directory, stdio: 'pipe' });
}

describe('alerts and dashboard', () => {
  it('tell of each code of health, as its table has it', () => {
    execFileSync(process.execPath, [join(ROOT, 'scripts/health-codes.mjs'), '--check'], { stdio: 'pipe' });
    const page = readFileSync(join(ROOT, 'docs/RUNNING.md'), 'utf8');
    for (const [code, { severity }] of Object.entries(HEALTH_CODES)) {
      expect(alertExpressions).toContain(`spinney_health{code="${code}"} == 1`);
      expect(page).toContain(`**\`${code}\`** (${severity}): `);
    }
    // e2e/health compares them with what a daemon tells.
    expect(metricsUsed().length).toBeGreaterThan(35);
  });

  it('has panels that lie beside each other, and variables that each expression uses', () => {
    const { panels, templating } = dashboard;
    expect(templating.list.map(({ name }) => name)).toEqual(['datasource', 'job', 'mount', 'instance']);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = new Set<string>();
    for (const { gridPos, title } of panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x} ${y}`), title).toBe(false);
          cells.add(`${x} ${y}`);
        }
      }
    }
    for (const expression of dashboardExpressions) expect(expression).toContain('instance=~"$instance"');
  });

  it.skipIf(!hasPromtool)('are rules that Prometheus takes, and that warn when they should', () => {
    const directory = mkdtempSync(join(tmpdir(), 'spinney-alerts-'));
    try {
      copyFileSync(ALERTS, join(directory, 'alerts.yml'));
      promtool(directory, 'check', 'rules', 'alerts.yml');
      copyFileSync(join(import.meta.dirname, 'prometheus/alerts-test.yml'), join(directory, 'test.yml'));
      promtool(directory, 'test', 'rules', 'test.yml');
      // Grafana puts a time in place of its variables.
      const rules = dashboardExpressions.map((expression, at) => {
        const expr = expression.replaceAll(/\$__\w+/g, '5m');
        return { record: `panel:${at}`, expr };
      });
      writeFileSync(join(directory, 'panels.yml'), JSON.stringify({ groups: [{ name: 'panels', rules }] }));
      promtool(directory, 'check', 'rules', 'panels.yml');
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
