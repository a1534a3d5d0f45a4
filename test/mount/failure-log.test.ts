import { expect, it } from 'vitest';
import { SpinneyError, UnreadableBlobError } from '../../engine/errors.js';
import { FailureLog } from '../../mount/requests/failure-log.js';

function parts() {
  const lines: { message: string; fields: Record<string, unknown> | undefined }[] = [];
  const clock = { now: 0 };
  const log = new FailureLog(
    (_level, message, fields) => lines.push({ message, fields }),
    () => clock.now,
  );
  return { lines, clock, log };
}

const damage = (blob: number, text = `Cannot read blob ${blob}`) =>
  new UnreadableBlobError(blob, new SpinneyError('ERR_BLOB_CORRUPT', text));

it('tells of a damaged blob once, and then once a minute with a count, in a short line', () => {
  const { lines, clock, log } = parts();
  for (let second = 0; second < 150; second++) {
    clock.now = second * 1000;
    for (let i = 0; i < 10; i++) log.tell('LOOKUP', damage(7, 'x'.repeat(5000)), { node: i });
  }
  expect(lines.map(({ fields }) => fields)).toEqual([{}, {}, {}]);
  for (const { message } of lines) expect(message.length).toBeLessThan(600);
  expect(lines[0]!.message).toMatch(/^Cannot serve LOOKUP: x+$/);
  expect(lines[1]!.message).toMatch(/ \(and 599 times before, untold\)$/);
});

it('keeps damaged blobs and other reasons apart, each with its line', () => {
  const { lines, log } = parts();
  for (let i = 0; i < 3; i++) {
    log.tell('GETATTR', damage(1), {});
    log.tell('LOOKUP', damage(2), {});
    log.tell('LOOKUP', new Error('a bug'), { node: 3 });
  }
  expect(lines.map(({ message }) => message)).toEqual([
    'Cannot serve GETATTR: Cannot read blob 1',
    'Cannot serve LOOKUP: Cannot read blob 2',
    'Cannot serve LOOKUP: Error: a bug',
  ]);
  expect(lines[2]!.fields).toMatchObject({ node: 3, stack: expect.stringContaining('a bug') as string });
});

it('does not grow with the number of reasons', () => {
  const { lines, log } = parts();
  for (let round = 0; round < 2; round++)
    for (let i = 0; i < 1000; i++) log.tell('READ', new Error(`bug ${i}`), {});
  // Reasons that were forgotten are told again.
  expect(lines.length).toBe(2000);
});
