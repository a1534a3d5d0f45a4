/** The examples of the documentation, run as a reader would. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const EXAMPLES = join(import.meta.dirname, '../../docs/examples');

it('threads.mjs: workers write to one tree', () => {
  const dir = mkdtempSync(join(tmpdir(), 'spinney-example-'));
  try {
    const script = join(EXAMPLES, 'threads.mjs');
    const out = execFileSync('node', [script, join(dir, 'store')], { encoding: 'utf8', timeout: 60_000 });
    expect(out.split('\n')).toEqual([
      'users/ada/: 1000 notes',
      'users/grace/: 1000 notes',
      'users: 2',
      'archived: 1000 notes',
      '',
    ]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
