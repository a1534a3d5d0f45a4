import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Rehearsal } from '../../../mount/kernel/rehearsal.js';

test('a rehearsal comes to its end in many parts, without an error and without contents', () => {
  const directory = join(tmpdir(), `spinney-rehearsal-${process.pid}`);
  const rehearsal = new Rehearsal(directory);
  let parts = 1;
  while (rehearsal.step()) parts++;
  expect(parts).toBeGreaterThan(10);
  expect(existsSync(directory)).toBe(false);
});
