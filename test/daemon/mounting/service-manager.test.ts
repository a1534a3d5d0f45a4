/** What the service manager is told, and by whom. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { ServiceReports } from '../../../daemon/mounting/starting/service-reports.js';
import { ServiceManager } from '../../../daemon/process/service-manager.js';
import { DatagramReceiver } from '../../support/datagram-receiver.js';
import { temporaryDirectory } from '../support.js';

/** A manager of the test's own, and what a process that it started sees. */
async function managed(path: string, more: NodeJS.ProcessEnv = {}) {
  const receiver = await DatagramReceiver.bind(path);
  const environment: NodeJS.ProcessEnv = { NOTIFY_SOCKET: path, OTHER: 'stays', ...more };
  const service = ServiceManager.fromEnvironment(environment)!;
  return { receiver, environment, service };
}

const texts = ({ received }: DatagramReceiver) => received.map(({ text }) => text);

it('is none where nobody awaits a word', () => {
  expect(ServiceManager.fromEnvironment({})).toBeUndefined();
  expect(ServiceManager.fromEnvironment({ NOTIFY_SOCKET: '', WATCHDOG_USEC: '1' })).toBeUndefined();
});

it.each(['relative', 'vsock:2:1', `/${'x'.repeat(108)}`])('cannot be at %s', (path) => {
  expect(() => ServiceManager.fromEnvironment({ NOTIFY_SOCKET: path })).toThrow(
    `Cannot send to the socket "${path}"`,
  );
});

it.each(['path', 'abstract name'])('hears of start, state and end at a socket with a %s', async (kind) => {
  const path =
    kind === 'path' ? join(temporaryDirectory(), 'notify') : `@spinney-test-${process.pid}-${Date.now()}`;
  const { receiver, environment, service } = await managed(path);
  expect(environment).toEqual({ OTHER: 'stays' });
  service.status('starting');
  service.status('starting');
  service.ready('serves\nall');
  service.ping();
  service.stopping('ending');
  await receiver.find(({ text }) => text.startsWith('STOPPING'));
  expect(texts(receiver)).toEqual([
    'STATUS=starting',
    `MAINPID=${process.pid}\nREADY=1\nSTATUS=serves all`,
    'WATCHDOG=1',
    'STOPPING=1\nSTATUS=ending',
  ]);
  expect(new Set(receiver.received.map(({ pid }) => pid))).toEqual(new Set([process.pid]));
});

it.each([
  [{ WATCHDOG_USEC: '60000000' }, 60_000],
  [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: String(process.pid) }, 60_000],
  [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '1' }, undefined],
  [{ WATCHDOG_USEC: 'soon' }, undefined],
  [{}, undefined],
])('awaits pings as %j says', async (environment, milliseconds) => {
  const { service } = await managed(join(temporaryDirectory(), 'notify'), environment);
  expect(service.watchdogMs).toBe(milliseconds);
});

it('gives a process that takes its place the same socket and watchdog', async () => {
  const path = join(temporaryDirectory(), 'notify');
  const { service } = await managed(path, { WATCHDOG_USEC: '5000', WATCHDOG_PID: String(process.pid) });
  expect(service.heirsEnvironment).toEqual({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '5000' });
});

it('is no matter where nobody listens', () => {
  const path = join(temporaryDirectory(), 'nobody');
  const service = ServiceManager.fromEnvironment({ NOTIFY_SOCKET: path })!;
  service.ready('serves');
  service.ping();
  expect(existsSync(path)).toBe(false);
});

it('is pinged only after the mount has answered, and asked no second question meanwhile', async () => {
  const { receiver, service } = await managed(join(temporaryDirectory(), 'notify'));
  vi.useFakeTimers();
  let answer: (isGood: boolean) => void = () => {};
  let asked = 0;
  let summary = 'serves';
  const reports = new ServiceReports(service, {
    answers: () => {
      asked++;
      return new Promise((resolve) => {
        answer = resolve;
      });
    },
    summary: () => summary,
  });
  vi.useRealTimers();
  const first = reports.report();
  summary = 'degraded';
  // It does not answer: the state is told, and no more is asked.
  await reports.report();
  await reports.report();
  expect(asked).toBe(1);
  answer(true);
  await first;
  const second = reports.report();
  answer(false);
  await second;
  expect(asked).toBe(2);
  reports.ending();
  reports.ending();
  await reports.report();
  reports.stop();
  service.status('last');
  await receiver.find(({ text }) => text === 'STATUS=last');
  expect(texts(receiver).slice(1)).toEqual([
    'STATUS=degraded',
    'WATCHDOG=1',
    'STOPPING=1\nSTATUS=Ending: unmounts, and writes the last checkpoint',
    'WATCHDOG=1',
    'STATUS=last',
  ]);
});
