import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { openLog } from '../../../daemon/process/log/log.js';
import { LogRing } from '../../../daemon/process/log/log-ring.js';
import { temporaryDirectory } from '../support.js';

it('keeps the last lines of the log, the oldest first, and no line whole that is very long', () => {
  const ring = new LogRing();
  expect(ring.lines()).toEqual([]);
  for (let line = 0; line < 499; line++) ring.add(`${line}\n`);
  expect(ring.lines()).toHaveLength(499);
  for (let line = 499; line < 1_200; line++) ring.add(`${line}\n`);
  expect(ring.lines()).toEqual(Array.from({ length: 500 }, (_, at) => String(700 + at)));
  ring.add('x'.repeat(1_000_000));
  expect(ring.lines().at(-1)!.length).toBeLessThan(10_000);
});

it('has what the log file has, also what is not written because the disk is full', () => {
  const file = join(temporaryDirectory(), 'log');
  const log = openLog({ level: 'info', file });
  log.logger.info({ code: 'DISK_FULL' }, 'told');
  log.logger.debug('not told');
  expect(log.recent().map((line) => JSON.parse(line) as object)).toMatchObject([
    { code: 'DISK_FULL', msg: 'told' },
  ]);
  const full = openSync('/dev/full', 'w');
  onTestFinished(() => closeSync(full));
  const lost = openLog({ level: 'info', fd: full });
  lost.logger.info('lost');
  expect(lost.recent()).toHaveLength(1);
});
