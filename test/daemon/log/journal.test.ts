/** Log lines as entries of systemd's journal. */
import { closeSync, fstatSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, it, onTestFinished } from 'vitest';
import { JournalSink } from '../../../daemon/process/log/journal.js';
import { LINES } from '../../../daemon/process/log/log.js';
import { SpinneyError } from '../../../engine/errors.js';
import { DatagramReceiver, entryOf } from '../../support/datagram-receiver.js';
import { temporaryDirectory } from '../support.js';

/** A journal of the test's own, and a logger that writes to it. */
async function journal() {
  const directory = temporaryDirectory();
  const socket = join(directory, 'socket');
  const receiver = await DatagramReceiver.bind(socket);
  const fd = openSync(join(directory, 'stderr'), 'w');
  onTestFinished(() => closeSync(fd));
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const stream = `${dev}:${ino}`;
  const sink = JournalSink.ofStream(fd, { mountpoint: '/mnt/x', store: '/srv/x' }, { stream, socket })!;
  return { receiver, directory, socket, fd, stream, sink, logger: pino({ ...LINES, level: 'trace' }, sink) };
}

it('is used only where stderr is the stream that systemd has made', async () => {
  const { fd, stream, socket, directory } = await journal();
  for (const [given, path] of [
    ['1:2', socket],
    ['', socket],
    [stream, join(directory, 'none')],
  ]) {
    expect(JournalSink.ofStream(fd, {}, { stream: given!, socket: path! })).toBeUndefined();
  }
  expect(JournalSink.ofStream(fd, {}, { socket })).toBeUndefined();
  expect(JournalSink.ofStream(1_000_000, {}, { stream, socket })).toBeUndefined();
});

it('gets message, priority and every field', async () => {
  const { receiver, logger, directory } = await journal();
  logger.info({ driver: 'kernel', cacheBytes: 64, users: ['a', 'b'] }, 'mounted');
  logger.warn('busy');
  await receiver.find(({ text }) => text.includes('busy'));
  const [first, second] = receiver.received.map(entryOf);
  expect(first).toEqual({
    MESSAGE: 'mounted driver=kernel cacheBytes=64 users=["a","b"]',
    PRIORITY: '6',
    SYSLOG_IDENTIFIER: 'spinney',
    SPINNEY_MOUNTPOINT: '/mnt/x',
    SPINNEY_STORE: '/srv/x',
    SPINNEY_DRIVER: 'kernel',
    SPINNEY_CACHE_BYTES: '64',
    SPINNEY_USERS: '["a","b"]',
  });
  expect(second).toMatchObject({ MESSAGE: 'busy', PRIORITY: '4' });
  expect(readFileSync(join(directory, 'stderr'), 'utf8')).toBe('');
});

it('gets the code, the reason and the stack of an error', async () => {
  const { receiver, logger } = await journal();
  logger.error({ err: new SpinneyError('ERR_IO', 'Cannot read it: EIO') }, 'the mount failed');
  const entry = entryOf(await receiver.find(() => true));
  expect(entry).toMatchObject({
    MESSAGE: 'the mount failed: Cannot read it: EIO',
    PRIORITY: '3',
    SPINNEY_CODE: 'ERR_IO',
    SPINNEY_ERROR_MESSAGE: 'Cannot read it: EIO',
    SPINNEY_ERROR_STACK: expect.stringContaining('\n    at ') as string,
  });
});

it('gets a value that holds a line of its own as one value', async () => {
  const { receiver, logger } = await journal();
  logger.debug({ path: 'a\nPRIORITY=0' }, 'x'.repeat(40_000));
  const entry = entryOf(await receiver.find(() => true));
  expect(entry).toMatchObject({ PRIORITY: '7', SPINNEY_PATH: 'a\nPRIORITY=0' });
  expect(entry.MESSAGE).toHaveLength(16_384);
});

it('that takes no lines is told, and how many were lost once it does', async () => {
  const { receiver, logger, sink, socket } = await journal();
  logger.info('one');
  await receiver.find(({ text }) => text.includes('one'));
  rmSync(socket);
  logger.info('two');
  logger.info('three');
  expect(sink.losses.current).toMatchObject({ count: 2, cause: 'the journal takes no lines: ENOENT' });
  const next = await DatagramReceiver.bind(socket);
  let told = 0;
  sink.losses.onRecovered = ({ count }) => {
    told = count;
  };
  logger.info('four');
  expect([told, sink.losses.current]).toEqual([2, undefined]);
  expect(entryOf(await next.find(() => true))).toMatchObject({ MESSAGE: 'four' });
});
