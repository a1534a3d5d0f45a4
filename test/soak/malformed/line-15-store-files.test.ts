/**
 * Whole stores on a real disk, left by a process that was killed or by a clean end, with one file changed in up to a few
 * places. What opens holds exactly what was there; everything else is an error with a code.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { SpinneyError, Tree, verifyTree } from '../../../engine/index.js';
import { SMALL_CACHE } from '../../engine/tree/harness.js';
import { seededRandom } from '../../support/disk/random.js';
import { soak } from '../soak.js';
import { Mutator } from './mutations.js';

const CASES = 5;

const home = mkdtempSync(join(tmpdir(), 'spinney-files-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const open = (dir: string, readOnly = false): Tree =>
  Tree.open({ dir, readOnly, cacheBytes: SMALL_CACHE, checkpoint: { enabled: false } });

function contentsOf(tree: Tree): string {
  const found: string[] = [];
  for (const entry of tree.range()) {
    if (entry.type === 'key')
      found.push(`${Buffer.from(entry.key)}=${Buffer.from(entry.value).toString('base64')}`);
  }
  return found.join();
}

/** A checkpoint, records in segments, and after a kill some in the ring only. */
function make(name: string, isKilled: boolean): { dir: string; expected: string } {
  const made = join(home, `${name}-made`);
  const dir = join(home, name);
  const tree = open(made);
  for (let i = 0; i < 300; i++) tree.put(`key/${i % 60}/${i}`, Buffer.alloc((i * 31) % 4000, i));
  tree.checkpoint();
  for (let i = 0; i < 40; i++) tree.put(`late/${i}`, Buffer.alloc(i * 20, i));
  tree.deletePrefix('key/7');
  tree.sync();
  tree.renamePrefix('key/1', 'moved/1');
  for (let i = 0; i < 20; i++) tree.put(`last/${i}`, Buffer.alloc(i * 20, i));
  const expected = contentsOf(tree);
  if (isKilled) cpSync(made, dir, { recursive: true });
  tree.close();
  if (!isKilled) cpSync(made, dir, { recursive: true });
  return { dir, expected };
}

let stores: { dir: string; expected: string }[] | undefined;

soak({ line: 15, title: 'mutated files of whole stores', seeds: 2 }, (seed) => {
  const mutator = new Mutator(seededRandom(seed));
  stores ??= [make('killed', true), make('closed', false)];
  const figures = { cases: 0, detected: 0 };
  for (let i = 0; i < CASES; i++) {
    const { dir, expected } = mutator.of(stores);
    const copy = join(home, 'copy');
    rmSync(copy, { recursive: true, force: true });
    cpSync(dir, copy, { recursive: true });
    const file = mutator.of(
      readdirSync(copy).filter((name) => /^(manifest|journal|blobs)/.test(name) && !name.includes('spare')),
    );
    writeFileSync(join(copy, file), mutator.mutate(readFileSync(join(copy, file))));
    figures.cases++;
    try {
      verifyQuietly(copy);
      for (const readOnly of [true, false]) {
        if (isDetected(() => compare(copy, readOnly, expected)) && readOnly) figures.detected++;
      }
    } catch (error) {
      throw new Error(`case ${i}, ${file} of ${dir}: ${(error as Error).message}`, { cause: error });
    }
  }
  return figures;
});

function isDetected(act: () => void): boolean {
  try {
    act();
    return false;
  } catch (error) {
    if (!(error instanceof SpinneyError)) throw error;
    return true;
  }
}

function compare(dir: string, readOnly: boolean, expected: string): void {
  const tree = open(dir, readOnly);
  try {
    if (contentsOf(tree) !== expected)
      throw new Error(`it holds something else${readOnly ? ', read-only' : ''}`);
  } finally {
    tree.close();
  }
}

function verifyQuietly(dir: string): void {
  isDetected(() => verifyTree({ dir, cacheBytes: SMALL_CACHE, report: () => {} }));
}

test('the stores are sound to begin with', () => {
  for (const { dir, expected } of [make('sound-killed', true), make('sound-closed', false)]) {
    expect(isDetected(() => compare(dir, true, expected))).toBe(false);
  }
});
