/** The command without a terminal, against a control socket that counts up at each look. */
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runTop } from '../../../../daemon/commands/inspecting/top/run.js';
import type { View } from '../../../../daemon/commands/inspecting/top/view.js';
import type { HealthReport, StatsReport } from '../../../../daemon/control/reports.js';
import { type ControlServer, startControl } from '../../../../daemon/control/server.js';
import { silentLog, spinney, statsReport, stubTarget, temporaryDirectory } from '../../support.js';

async function daemon(path: string, pid: number): Promise<ControlServer> {
  let lookups = 0;
  const stats = (): StatsReport => {
    const report = statsReport();
    lookups += 10;
    report.process.pid = pid;
    report.mount.operations.lookup = lookups;
    return report;
  };
  const reason = 'the disk is full';
  const problem = { code: 'DISK_FULL', severity: 'failing', reason, remedy: 'make room', since: '' } as const;
  const health = (): HealthReport => ({ status: 'degraded', reasons: [reason], problems: [problem] });
  const target = stubTarget({ stats, health, requests: { ...stubTarget().requests, slow: () => [] } });
  const server = await startControl({ path, target, log: silentLog });
  onTestFinished(() => server.close());
  return server;
}

describe('top without a terminal', () => {
  it('prints one interval as plain lines, or as JSON', async () => {
    const control = join(temporaryDirectory(), 'control.sock');
    await daemon(control, 1);
    const { code, out } = await spinney('top', '--control', control, '--once', '--interval', '0.1');
    expect(code).toBe(0);
    expect(out).toMatch(/^! DISK_FULL: the disk is full$/m);
    expect(out).toMatch(/^lookup +\d+ /m);
    expect(out).not.toContain('\x1b');
    const json = await spinney('top', '--control', control, '--once', '--json', '--interval', '0.1');
    const view = JSON.parse(json.out) as View;
    expect(view).toMatchObject({
      mountpoint: '/mnt/x',
      alerts: ['DISK_FULL: the disk is full'],
      health: 'degraded',
    });
    expect(view.requests.rate).toBeCloseTo(10 / view.seconds, 6);
  });

  it('says that the daemon went away, once, and goes on with the next, until nobody reads', async () => {
    const control = join(temporaryDirectory(), 'control.sock');
    const first = await daemon(control, 1);
    const views: View[] = [];
    const errors: string[] = [];
    let isBack = false;
    await runTop(
      { socket: control, intervalSeconds: 0.1, isOnce: false, isJson: true },
      {
        out: (text) => {
          views.push(JSON.parse(text) as View);
          if (views.length === 2) void first.close();
        },
        err: (text) => {
          errors.push(text);
          if (isBack) return;
          isBack = true;
          void daemon(control, 2);
        },
        hasReader: () => views.length < 4,
      },
    );
    expect(views.map(({ process: { pid } }) => pid)).toEqual([1, 1, 2, 2]);
    // Figures of the second are not compared with those of the first.
    expect(views[2]!.requests.rate).toBeCloseTo(10 / views[2]!.seconds, 6);
    expect(errors).toEqual([
      expect.stringMatching(/^spinney: Cannot reach the daemon at .*; trying again and again\n$/),
      'spinney: The daemon is back\n',
    ]);
  });

  it('fails in one line where nobody answers at the beginning', async () => {
    const control = join(temporaryDirectory(), 'control.sock');
    const { code, out, err } = await spinney('top', '--control', control, '--once');
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/^spinney: Cannot reach the daemon at .*\n$/);
    expect((await spinney('top', temporaryDirectory())).err).toContain('is the store mounted?');
  });
});
