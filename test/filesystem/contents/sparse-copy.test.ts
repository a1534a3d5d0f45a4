import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { copySparse } from '../../../mount/filesystem/contents/disk/sparse-copy.js';

test('a copy has the same bytes and the same holes, and goes over nothing', () => {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'spinney-sparse-'));
  onTestFinished(() => fs.rmSync(home, { recursive: true }));
  const [from, to] = [path.join(home, 'from'), path.join(home, 'to')];
  const fd = fs.openSync(from, 'w');
  fs.writeSync(fd, 'beginning', 0);
  fs.writeSync(fd, Buffer.alloc(5_000_000, 'middle'), 0, 5_000_000, 40_000_000);
  fs.ftruncateSync(fd, 80_000_001);
  fs.closeSync(fd);
  let copied = 0;
  copySparse(from, to, (bytes) => {
    copied += bytes;
  });
  expect(fs.readFileSync(to).equals(fs.readFileSync(from))).toBe(true);
  expect(copied).toBeLessThan(6_000_000);
  expect(fs.statSync(to).blocks).toBeLessThan(20_000);
  expect(() => copySparse(from, to, () => {})).toThrow(/EEXIST/);
  const [none, empty] = [path.join(home, 'none'), path.join(home, 'empty')];
  fs.writeFileSync(none, '');
  copySparse(none, empty, () => {});
  expect(fs.statSync(empty).size).toBe(0);
});
