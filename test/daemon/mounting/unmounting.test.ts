import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { endMount } from '../../../daemon/mounting/unmounting.js';
import type { MountEnd, Mounted } from '../../../mount/types.js';
import { idleRequestLog, NO_SNAPSHOTS, silentLog, statsReport } from '../support.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A mount that answers calls as `unmount` does. */
function mountWith(unmount: Mounted['unmount']) {
  let end: (end: MountEnd) => void = () => {};
  const mount: Mounted = {
    driver: 'kernel',
    resumed: undefined,
    descriptor: undefined,
    handOver: () => Promise.resolve(false),
    snapshots: NO_SNAPSHOTS,
    requestLog: idleRequestLog(),
    mountpoint: '/mnt/x',
    ended: new Promise((resolve) => {
      end = resolve;
    }),
    stats: () => statsReport().mount,
    problems: () => [],
    unmount,
  };
  return { mount, end: () => end({ reason: 'unmounted' }) };
}

it('ends although nothing answers', async () => {
  const calls: string[] = [];
  const { mount } = mountWith((how) => {
    calls.push(how);
    return new Promise(() => {});
  });
  const ended = endMount(mount, undefined, silentLog);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await ended).toBe(false);
  expect(calls).toEqual(['plain', 'detach', 'abort']);
});

it('breaks the connection only when its users had their time', async () => {
  const calls: string[] = [];
  const { mount, end } = mountWith(async (how) => {
    calls.push(how);
    if (how === 'abort') end();
    return true;
  });
  const ended = endMount(mount, undefined, silentLog);
  await vi.advanceTimersByTimeAsync(3_900);
  expect(calls).toEqual(['plain']);
  await vi.advanceTimersByTimeAsync(200);
  expect(await ended).toBe(true);
  expect(calls).toEqual(['plain', 'abort']);
});

it('goes on where a call fails', async () => {
  const { mount, end } = mountWith(async (how) => {
    if (how !== 'abort') throw new Error('not permitted');
    end();
    return true;
  });
  const ended = endMount(mount, undefined, silentLog);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await ended).toBe(true);
});
