/** What is asked of the kernel, seen in a file that keeps it all. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WakeLatency } from '../../../../mount/kernel/device/wake-latency.js';

const DEFAULT = 2_000_000_000;

let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-latency-'));
  path = join(directory, 'latency');
  writeFileSync(path, '');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function asked(): number[] {
  const bytes = readFileSync(path);
  return Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32LE(4 * i));
}

test('is asked for once, given back once, and asked for again', () => {
  const latency = new WakeLatency(2, path);
  latency.release();
  expect([latency.isHeld, asked()]).toEqual([false, []]);
  latency.hold();
  latency.hold();
  expect([latency.isHeld, asked()]).toEqual([true, [0]]);
  latency.release();
  latency.release();
  expect([latency.isHeld, asked()]).toEqual([false, [0, DEFAULT]]);
  latency.hold();
  latency.close();
  // The end of the descriptor ends the request.
  expect([latency.isHeld, asked()]).toEqual([false, [0, DEFAULT, 0]]);
  latency.hold();
  expect([latency.isHeld, asked().length]).toEqual([false, 3]);
});

test('is not asked for where many processors would be kept busy, or where nobody takes it', () => {
  const many = new WakeLatency(9, path);
  const nowhere = new WakeLatency(2, join(directory, 'missing'));
  const refused = new WakeLatency(2, '/dev/full');
  for (const latency of [many, nowhere, refused]) {
    latency.hold();
    expect(latency.isHeld).toBe(false);
    latency.release();
    latency.close();
  }
  expect(asked()).toEqual([]);
});
