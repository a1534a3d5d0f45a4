import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ControlTarget } from '../../../daemon/control/reports.js';
import { startControl } from '../../../daemon/control/server.js';
import { DaemonRecord } from '../../../daemon/places/daemon-record.js';
import { identifyProcess } from '../../../daemon/process/process-identity.js';
import { failure, silentLog, spinney, stubTarget, temporaryDirectory } from '../support.js';

async function controlSocket(replaced: Partial<ControlTarget> = {}): Promise<string> {
  const path = join(temporaryDirectory(), 'control.sock');
  const server = await startControl({ path, target: stubTarget(replaced), log: silentLog });
  onTestFinished(() => server.close());
  return path;
}

describe('verbs of a running daemon', () => {
  it('print a table, or JSON', async () => {
    const control = await controlSocket();
    const table = await spinney('stats', '--control', control);
    expect(table.code).toBe(0);
    expect(table.out).toMatch(/^ {2}keyCount +4242$/m);
    expect(table.out).toMatch(/^ {2}averageFill +0\.636$/m);
    const json = await spinney('stats', '--control', control, '--json');
    expect(JSON.parse(json.out).tree.keyCount).toBe(4242);
  });

  it('find the socket in the store', async () => {
    const control = await controlSocket();
    expect((await spinney('checkpoint', '--store', join(control, '..'))).out).toMatch(/lastLsn +90/);
    expect((await spinney('compact', '--store', join(control, '..'), '--json')).code).toBe(0);
  });

  it('find the socket by the record of a daemon that has it elsewhere', async () => {
    const control = await controlSocket();
    const store = temporaryDirectory();
    const { err } = await spinney('stats', '--store', store);
    expect(err).toContain('no daemon has made this socket');
    DaemonRecord.write(store, { mountpoint: '/mnt/x', control });
    for (const place of [['--store', store], [store], [`${store}/.`]]) {
      expect((await spinney('health', ...place)).code).toBe(0);
    }
    // What is given counts more.
    const { line } = await failure('health', store, '--control', join(store, 'absent'));
    expect(line).toContain('no daemon has made this socket');
  });

  it('ask which of several daemons is meant that read one store', async () => {
    const store = temporaryDirectory();
    const other = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
    onTestFinished(() => void other.kill());
    DaemonRecord.write(store, { mountpoint: '/mnt/x', control: await controlSocket() });
    writeFileSync(
      join(store, `daemon-${other.pid}.json`),
      JSON.stringify({ ...identifyProcess(other.pid!), mountpoint: '/mnt/y', control: '/run/y.sock' }),
    );
    const { code, line } = await failure('stats', store);
    expect(code).toBe(1);
    expect(line).toMatch(/: it is mounted at (\/mnt\/x, \/mnt\/y|\/mnt\/y, \/mnt\/x); give one of these$/);
  });

  it('health: exit code 1 and the reasons when degraded', async () => {
    const healthy = await spinney('health', '--control', await controlSocket());
    expect(healthy.code).toBe(0);
    const control = await controlSocket({ health: () => ({ status: 'degraded', reasons: ['no space'] }) });
    const degraded = await spinney('health', '--control', control);
    expect(degraded.code).toBe(1);
    expect(degraded.out).toContain('no space');
  });

  it('tell the daemon’s own error', async () => {
    const control = await controlSocket({
      compact: () => Promise.reject(new Error('Cannot compact: blob 7 is damaged')),
    });
    const { code, line } = await failure('compact', '--control', control);
    expect(code).toBe(1);
    expect(line).toBe('spinney: Cannot compact: blob 7 is damaged');
  });

  it.each([
    ['no store', 'missing', 'no such store'],
    ['no daemon', '.', 'is the store mounted?'],
  ])('say that there is %s', async (_what, where, expected) => {
    const { code, line } = await failure('stats', '--store', join(temporaryDirectory(), where));
    expect(code).toBe(1);
    expect(line).toContain(expected);
  });
});
