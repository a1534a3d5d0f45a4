import { expect, it } from 'vitest';
import { type ErrorCode, SpinneyError } from '../../../../engine/errors.js';
import { MemoryObjectStore } from '../../../../engine/store/object/memory-object-store.js';
import { RetryingObjectStore } from '../../../../engine/store/object/retrying-object-store.js';

/** Fails with these, one after another, before it does what is asked. */
class FailingStore extends MemoryObjectStore {
  failures: ErrorCode[] = [];
  asked = 0;

  override async put(...given: Parameters<MemoryObjectStore['put']>): Promise<string> {
    this.asked++;
    const code = this.failures.shift();
    if (code !== undefined) throw new SpinneyError(code, `Cannot put: ${code}`);
    return super.put(...given);
  }
}

/** Time passes only while somebody sleeps. */
function makeClock() {
  const slept: number[] = [];
  let now = 0;
  const clock = {
    now: () => now,
    sleep: async (ms: number) => {
      slept.push(ms);
      now += ms;
    },
  };
  return { clock, slept };
}

it('asks again where there was no answer, waiting longer each time, up to a bound', async () => {
  const failing = new FailingStore();
  failing.failures = Array.from({ length: 12 }, () => 'ERR_REMOTE_UNAVAILABLE');
  const { clock, slept } = makeClock();
  const store = new RetryingObjectStore(failing, { clock, random: () => 1, patienceMs: 100_000 });
  await store.put('a', Buffer.from('one'));
  expect(failing.asked).toBe(13);
  expect(slept).toEqual([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000, 5000]);
});

it('waits a random part of that', async () => {
  const failing = new FailingStore();
  failing.failures = ['ERR_REMOTE_UNAVAILABLE', 'ERR_REMOTE_UNAVAILABLE'];
  const { clock, slept } = makeClock();
  const store = new RetryingObjectStore(failing, { clock, random: () => 0.25, patienceMs: 100_000 });
  await store.put('a', Buffer.from('one'));
  expect(slept).toEqual([12.5, 25]);
});

it('tells of it when its patience has ended, or when it is closed', async () => {
  const failing = new FailingStore();
  failing.failures = Array.from({ length: 100 }, () => 'ERR_REMOTE_UNAVAILABLE');
  const { clock } = makeClock();
  const store = new RetryingObjectStore(failing, { clock, random: () => 1, patienceMs: 1_000 });
  await expect(store.put('a', Buffer.from('one'))).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
  expect(failing.asked).toBe(6);
  await store.close();
  await expect(store.put('a', Buffer.from('one'))).rejects.toMatchObject({ code: 'ERR_REMOTE_UNAVAILABLE' });
  expect(failing.asked).toBe(7);
});

it.each(['ERR_REMOTE_REFUSED', 'ERR_CONDITION_FAILED', 'ERR_NOT_FOUND', 'ERR_CLOSED'] as const)(
  'does not ask again after %s',
  async (code) => {
    const failing = new FailingStore();
    failing.failures = [code];
    const { clock } = makeClock();
    const store = new RetryingObjectStore(failing, { clock, random: () => 1, patienceMs: 1_000 });
    await expect(store.put('a', Buffer.from('one'))).rejects.toMatchObject({ code });
    expect(failing.asked).toBe(1);
  },
);
