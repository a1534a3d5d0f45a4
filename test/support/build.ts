/**
 * Compiles the product into dist once before the tests, where its sources are newer: worker threads and child
 * processes cannot load TypeScript. Used as vitest's globalSetup.
 */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = path.resolve(import.meta.dirname, '../..');
const SOURCES = ['daemon', 'engine', 'mount'];
/** The last that a whole build writes. */
const STAMP = 'dist/.built';

function newestSource(): number {
  let newest = 0;
  for (const folder of SOURCES) {
    for (const name of fs.readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
      if (name.endsWith('.ts')) newest = Math.max(newest, fs.statSync(path.join(ROOT, folder, name)).mtimeMs);
    }
  }
  return newest;
}

export default function setup(): void {
  const built = fs.statSync(path.join(ROOT, STAMP), { throwIfNoEntry: false });
  if (built !== undefined && newestSource() <= built.mtimeMs) return;
  execFileSync(process.execPath, [path.join(ROOT, 'scripts/build.mjs')], { stdio: 'inherit' });
}

/** Where the built engine is, for workers and child processes. */
export const BUILT_ENGINE = pathToFileURL(path.join(ROOT, 'dist/engine/index.js')).href;

/** The engine as built: a tree that starts workers must come from there. */
export async function builtEngine(): Promise<typeof import('../../engine/index.js')> {
  return import(BUILT_ENGINE);
}
