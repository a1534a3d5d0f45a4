/** What of contents is here, where the tree or the disk fails: the thread that looks after it goes on. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { TreeReads } from '../../../engine/api.js';
import { SpinneyError } from '../../../engine/errors.js';
import { newId } from '../../../engine/remote/site.js';
import { BOOT_CLOCK } from '../../../engine/store/object/clock.js';
import { MemoryObjectStore } from '../../../engine/store/object/memory-object-store.js';
import { evictedPath } from '../../../mount/filesystem/contents/away/away.js';
import { contentPath } from '../../../mount/filesystem/contents/content.js';
import type { FromRemote } from '../../../mount/kernel/remote-end.js';
import { ContentStock } from '../../../mount/remote/content-stock.js';
import { PATIENTLY } from '../../support/until.js';

let directory: string;
let stock: ContentStock;
let isDamaged: boolean;
const told: FromRemote[] = [];
const logged: string[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'spinney-stock-'));
  isDamaged = false;
  told.length = 0;
  logged.length = 0;
  stock = new ContentStock({
    site: { store: new MemoryObjectStore(), clock: BOOT_CLOCK, newId },
    tree: { get: () => undefined, getRecord: () => undefined } as unknown as TreeReads,
    contentDirectory: directory,
    bound: 0,
    isShipped: () => {
      if (isDamaged) throw new SpinneyError('ERR_BLOB_CORRUPT', 'Cannot read blob 7: it is damaged');
      return true;
    },
    tellSession: (message) => told.push(message),
    log: (_level, message) => logged.push(message),
  });
  mkdirSync(dirname(contentPath(directory, 1)), { recursive: true });
  writeFileSync(contentPath(directory, 1), 'x'.repeat(5000));
});

afterEach(() => {
  stock.end();
  rmSync(directory, { recursive: true });
});

const used = () => stock.hear({ kind: 'used', contents: [{ ino: 1, born: 0 }] });

it('a content whose row is in a damaged blob stays, and is given up once that is whole', () => {
  isDamaged = true;
  used();
  expect(told).toEqual([]);
  isDamaged = false;
  used();
  expect(told).toEqual([{ kind: 'evict', ino: 1, born: 0 }]);
});

it('one whose file cannot be removed is told, and counts as here no more', async () => {
  used();
  rmSync(contentPath(directory, 1));
  mkdirSync(evictedPath(directory, 1, 0), { recursive: true });
  stock.hear({ kind: 'evicted', ino: 1, born: 0, isDone: true });
  await vi.waitFor(() => expect(logged).toHaveLength(1), PATIENTLY);
  expect(stock.figures).toMatchObject({ contents: 0, bytes: 0, evictions: 1 });
});
