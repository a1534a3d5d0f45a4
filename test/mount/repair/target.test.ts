/** Where a repair makes its store: nothing is written over, nobody else is at it, and what a killed run left is of use. */
import fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Tree } from '../../../engine/index.js';
import type { WorkProgress } from '../../../engine/progress.js';
import { UNFINISHED_FILE } from '../../../engine/store/file/names.js';
import { entryKey } from '../../../mount/filesystem/records/keys.js';
import { bytes } from '../../filesystem/fixture.js';
import { DamagedStore, damageOf, filesOf, holdings } from './stores.js';

let site: DamagedStore;

beforeEach(() => {
  site = new DamagedStore();
  site.fill(2, 20);
  site.fixture.tree.delete(entryKey(bytes('/dir1')));
  site.close();
});
afterEach(() => site.cleanUp());

/** Calls `work` at the so-manieth word of progress. */
function at(count: number, work: () => void): WorkProgress {
  let left = count;
  const tell = (): void => {
    if (left-- === 0) work();
  };
  return { begin: tell, step: tell };
}

/** Calls `work` when all contents are brought. */
function afterContents(work: () => void): WorkProgress {
  return { begin: (what) => what === 'making it durable' && work(), step: () => {} };
}

const cutShort = (): never => {
  throw new Error('cut short');
};

describe('one in the other is refused', () => {
  test.each([
    ['a name that looks like the way up', () => join(site.store, '..new')],
    [
      'a link to the store',
      () => {
        const link = join(site.store, '../link');
        fs.symlinkSync(site.store, link);
        return join(link, 'new');
      },
    ],
    ['the directory that the store is in', () => join(site.store, '..')],
    ['the store itself', () => site.store],
  ])('%s', (_what, place) => {
    const target = place();
    const before = filesOf(site.store);
    expect(() => site.repair({ target })).toThrow(/one lies in the other; give another place$/);
    expect(filesOf(site.store)).toEqual(before);
  });
});

describe('a dry run', () => {
  test('leaves an empty directory as it was', () => {
    fs.mkdirSync(join(site.target, 'lost+found'), { recursive: true });
    site.repair({ isDry: true });
    expect(fs.readdirSync(site.target)).toEqual(['lost+found']);
    site.repair();
    expect(damageOf(site.target)).toEqual([]);
  });

  test('that fails leaves nothing', () => {
    for (let count = 0; count < 12; count++) {
      expect(() => site.repair({ isDry: true, progress: at(count, cutShort) })).toThrow('cut short');
      expect(fs.existsSync(site.target)).toBe(false);
    }
  });

  test('leaves what an earlier run has brought', () => {
    expect(() => site.repair({ progress: afterContents(cutShort) })).toThrow('cut short');
    const brought = (): string[] => [...filesOf(join(site.target, 'content')).keys()];
    const before = brought();
    expect(before.length).toBeGreaterThan(0);
    site.repair({ isDry: true });
    expect(brought()).toEqual(before);
    expect(fs.readdirSync(site.target).sort()).toEqual(['content', UNFINISHED_FILE]);
  });
});

test('a run that ends at any moment is begun again by the next, and gives the same', () => {
  const before = filesOf(site.store);
  site.repair();
  const whole = holdings(site.target);
  let isOver = false;
  for (let count = 0; !isOver; count += 7) {
    const target = `${site.target}-${count}`;
    isOver = true;
    const progress = at(count, () => {
      isOver = false;
      cutShort();
    });
    if (count > 0) {
      try {
        site.repair({ target, progress });
      } catch (error) {
        expect(String(error)).toContain('cut short');
        expect(fs.existsSync(join(target, UNFINISHED_FILE))).toBe(true);
        site.repair({ target });
      }
    } else {
      isOver = false;
      site.repair({ target });
    }
    expect(withoutTimes(holdings(target))).toEqual(withoutTimes(whole));
    expect(damageOf(target)).toEqual([]);
    fs.rmSync(target, { recursive: true });
  }
  expect(filesOf(site.store)).toEqual(before);
});

/** Directories of lost+found have the time at which they were made. */
function withoutTimes(held: Map<string, string>): Map<string, string> {
  return new Map([...held].map(([key, value]) => [key, key.startsWith('d/lost+found') ? '' : value]));
}

test('what was copied before the machine came to an end is copied again', () => {
  expect(() => site.repair({ progress: afterContents(cutShort) })).toThrow('cut short');
  const [path] = [...filesOf(join(site.target, 'content')).keys()];
  const { size, atime, mtime } = fs.statSync(path!);
  fs.rmSync(path!);
  fs.writeFileSync(path!, Buffer.alloc(size));
  fs.utimesSync(path!, atime, mtime);
  const mark = join(site.target, UNFINISHED_FILE);
  fs.writeFileSync(mark, fs.readFileSync(mark, 'utf8').replace(/"boot":"[^"]*"/, '"boot":"another"'));
  site.repair();
  const source = path!.replace(site.target, site.store);
  expect(fs.readFileSync(path!, 'utf8')).toBe(fs.readFileSync(source, 'utf8'));
});

test('what a repair of another store has not finished is left alone', () => {
  expect(() => site.repair({ progress: afterContents(cutShort) })).toThrow('cut short');
  const other = new DamagedStore();
  try {
    other.fill(1, 5);
    other.close();
    const before = filesOf(site.target);
    expect(() => other.repair({ target: site.target })).toThrow(
      `there is what spinney repair of ${site.store} has not finished; remove it, or give another place`,
    );
    expect(filesOf(site.target)).toEqual(before);
  } finally {
    other.cleanUp();
  }
});

test('nobody else repairs to the place, or writes to the store, before all is brought', () => {
  let tries = 0;
  for (const count of [0, 10, 30, 45]) {
    const target = `${site.target}-${count}`;
    site.repair({
      target,
      progress: at(count, () => {
        tries++;
        expect(() => site.repair({ target })).toThrow('another command is making a store there');
        expect(() => Tree.open({ dir: site.store })).toThrow('is in use by');
      }),
    });
    expect(damageOf(target)).toEqual([]);
  }
  expect(tries).toBe(4);
});

test.skipIf(process.geteuid?.() !== 0)("another user's store is refused", () => {
  fs.chownSync(site.store, 12_345, 12_345);
  expect(() => site.repair()).toThrow(
    /it belongs to uid 12345, and this process runs as uid 0; run it as that user$/,
  );
  expect(fs.existsSync(site.target)).toBe(false);
});
