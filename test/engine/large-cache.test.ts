/** A cache may have more than 4 GiB, which no view of memory can be as long as. Its memory is only reserved here. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Tree } from '../../engine/index.js';

it('a tree opens with a cache of more than 4 GiB', () => {
  const dir = mkdtempSync(join(tmpdir(), 'spinney-large-cache-'));
  try {
    const tree = Tree.open({ dir, cacheBytes: 5 * 1024 ** 3, checkpoint: { enabled: false } });
    tree.put('key', Uint8Array.of(1));
    expect([tree.get('key'), tree.stats().cacheBytes]).toEqual([Uint8Array.of(1), 5 * 1024 ** 3]);
    tree.close();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
