/** What health tells of real daemons: codes, in the answer, in the metrics, and in the log once when they begin and once when they end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { HealthReport } from '../../../daemon/control/reports.js';
import { HEALTH_CODES } from '../../../daemon/health/codes.js';
import { metricsTold, metricsUsed } from '../../support/metrics/promql.js';
import { Site } from '../site.js';

const CURL = 'curl -sS --max-time 30 --unix-socket $STORE/control.sock http://localhost';
const LOOK_AGAIN_MS = 50;
const PATIENCE_MS = 60_000;

async function health(site: Site): Promise<HealthReport> {
  return JSON.parse(await site.sh(`${CURL}/v1/health`)) as HealthReport;
}

/** Lines of the log that tell of the code: their levels and texts. */
function told(site: Site, code: string): string[] {
  return site
    .logged('trace')
    .map((line) => JSON.parse(line) as { level: string; code?: string; msg: string })
    .filter((line) => line.code === code)
    .map(({ level, msg }) => `${level} ${msg}`);
}

/** The codes that the metrics tell as so. */
async function inMetrics(site: Site): Promise<string[]> {
  const text = await site.sh(`${CURL}/metrics`);
  const values = [...text.matchAll(/^spinney_health\{code="(\w+)"\} ([01])$/gm)];
  expect(values.map(([, code]) => code)).toEqual(Object.keys(HEALTH_CODES));
  return values.filter(([, , value]) => value === '1').map(([, code]) => code!);
}

async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const began = performance.now(); !(await isSo()); await sleep(LOOK_AGAIN_MS))
    if (performance.now() - began > PATIENCE_MS) throw new Error(`It does not become so: ${isSo}`);
}

describe('health', () => {
  it('tells damaged contents and limits that are reached, and that they are over', async () => {
    const site = new Site();
    await site.mount();
    expect(await health(site)).toEqual({ status: 'ok', reasons: [] });
    expect(await inMetrics(site)).toEqual([]);
    const text = await site.sh(`${CURL}/metrics`);
    expect(metricsUsed().filter((name) => !metricsTold(text).has(name))).toEqual([]);

    await site.sh(`cd $MNT; echo twenty bytes of text > f; mkdir limited; setfattr -n spinney.quota.bytes -v 1M limited
      touch limited/f; truncate -s 2M limited/f 2> /dev/null && exit 1
      cd $STORE; truncate -s 3 $(find content -type f -size -2 -size +0)
      cat $MNT/f 2> /dev/null && exit 1; true`);
    for (let looks = 0; looks < 5; looks++) {
      const { status, reasons, problems } = await health(site);
      expect(status).toBe('degraded');
      expect(problems!.map(({ code }) => code).sort()).toEqual(['CONTENT_DAMAGED', 'QUOTA_EXCEEDED']);
      const damaged = problems!.find(({ code }) => code === 'CONTENT_DAMAGED')!;
      expect(damaged).toEqual({
        code: 'CONTENT_DAMAGED',
        severity: 'failing',
        reason: 'the content of 1 file is damaged; spinney check names all',
        remedy: HEALTH_CODES.CONTENT_DAMAGED.remedy,
        since: damaged.since,
      });
      expect(Date.now() - Date.parse(damaged.since)).toBeLessThan(60_000);
      expect(reasons.join('\n')).toMatch(/^\/f \(inode \d+\): of its 21 bytes 3 are there$/m);
    }
    expect((await inMetrics(site)).sort()).toEqual(['CONTENT_DAMAGED', 'QUOTA_EXCEEDED']);
    const printed = await site.spinney('health', site.mountpoint);
    expect(printed.code).toBe(1);
    expect(printed.out).toMatch(/^ {4}CONTENT_DAMAGED, failing since 20.*Z$/m);
    expect(printed.out).toContain(`    ${HEALTH_CODES.CONTENT_DAMAGED.remedy}\n`);

    await site.sh('cd $MNT; rm f; truncate -s 1000K limited/f');
    expect(await health(site)).toEqual({ status: 'ok', reasons: [] });
    expect(await inMetrics(site)).toEqual([]);
    await until(() => told(site, 'CONTENT_DAMAGED').length > 1 && told(site, 'QUOTA_EXCEEDED').length > 1);
    expect(told(site, 'CONTENT_DAMAGED')).toEqual([
      'error the content of 1 file is damaged; spinney check names all',
      'info no longer: the content of 1 file is damaged; spinney check names all',
    ]);
    expect(told(site, 'QUOTA_EXCEEDED')).toEqual([
      expect.stringMatching(/^warn SETATTR is refused with EDQUOT: 1 since/),
      expect.stringMatching(/^info no longer: SETATTR is refused with EDQUOT/),
    ]);
    await site.umount();

    // How far limits are used is looked at when the mount comes up.
    await site.mount();
    await until(async () => (await inMetrics(site)).includes('QUOTA_NEARLY_FULL'));
    const [reached] = (await health(site)).problems!;
    expect(reached).toMatchObject({
      code: 'QUOTA_NEARLY_FULL',
      subject: 'bytes of /limited',
      reason: 'the limit of /limited is nearly reached: 1000 KiB of 1 MiB are used',
    });
    await site.umount();
  });

  it('tells a disk that is nearly full, and that it is so no longer', async () => {
    const site = new Site();
    await site.sh('mkdir $STORE; mount -t tmpfs -o size=200m,mode=700 none $STORE');
    await site.mount('--log-file', '/dev/null');
    expect(await health(site)).toEqual({ status: 'ok', reasons: [] });
    await site.sh(
      'head -c 160m /dev/zero > $MNT/large; head -c 30m /dev/zero > $MNT/more 2> /dev/null || true',
    );
    await until(async () => (await inMetrics(site)).includes('DISK_NEARLY_FULL'));
    const { problems } = await health(site);
    expect(problems!.find(({ code }) => code === 'DISK_NEARLY_FULL')!.reason).toMatch(
      /^the disk of .* is nearly full: \d+ of 200 MiB are free$/,
    );
    // What was refused is so until it succeeds.
    await site.sh('rm $MNT/large; head -c 1m /dev/zero > $MNT/more');
    await until(async () => (await health(site)).status === 'ok');
    await site.umount();
  });

  it('tells a journal that failed, and the changes that it refuses', async () => {
    const site = new Site();
    await site.mount('--log-file', '/dev/null');
    await site.sh(`touch $MNT/f; prlimit --pid ${site.daemon()} --fsize=0
      n=0; while mkdir $MNT/d$n 2> /dev/null; do n=$((n + 1)); done`);
    const { problems } = await health(site);
    expect(problems!.map(({ code, severity }) => `${code} ${severity}`)).toEqual(
      expect.arrayContaining(['JOURNAL_FAILED failing', 'CHANGES_REFUSED failing']),
    );
    expect(await inMetrics(site)).toEqual(expect.arrayContaining(['JOURNAL_FAILED', 'CHANGES_REFUSED']));
    await site.umount();
  });
});
