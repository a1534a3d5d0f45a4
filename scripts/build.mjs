/**
 * Makes what is run and packed: compiles into dist, removes from dist what no source makes any more, bundles what is started
 * (scripts/bundle.mjs), writes the manual pages there (scripts/man.mjs), and readies the bundled fuse-native. Its install script compiles wherever libfuse 2 is missing, and would run on every machine that
 * installs the package; the binding that it brings needs no such thing (mount/fuse-native/binding.ts).
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.mjs';

const ROOT = join(import.meta.dirname, '..');
const DIST = join(ROOT, 'dist');
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const BUNDLED = join(ROOT, 'node_modules/fuse-native');

function compile() {
  execFileSync(join(ROOT, 'node_modules/.bin/tsc'), ['-b'], { cwd: ROOT, stdio: 'inherit' });
}

function removeStale() {
  for (const name of readdirSync(DIST, { recursive: true })) {
    const path = join(DIST, name);
    const source = name.replace(/(\.d\.ts|\.js)$/, '.ts');
    if (
      name.startsWith('chunks/') ||
      name === '.built' ||
      name.endsWith('.tsbuildinfo') ||
      statSync(path).isDirectory()
    )
      continue;
    if (source === name || !existsSync(join(ROOT, source))) rmSync(path);
  }
}

function readyBundled() {
  const path = join(BUNDLED, 'package.json');
  if (!existsSync(path)) return;
  const manifest = JSON.parse(readFileSync(path, 'utf8'));
  const { install, ...scripts } = manifest.scripts;
  if (install === undefined) return;
  // What that script may have compiled here would be loaded instead of the binding that works everywhere.
  rmSync(join(BUNDLED, 'build'), { recursive: true, force: true });
  // Without gypfile: false npm makes up the script that is gone.
  writeFileSync(path, `${JSON.stringify({ ...manifest, gypfile: false, scripts }, null, 2)}\n`);
}

compile();
removeStale();
await bundle(ROOT, DIST, ['daemon/cli', 'daemon/mount-helper-cli']);
execFileSync(process.execPath, [join(ROOT, 'scripts/man.mjs')], { stdio: 'inherit' });
for (const name of Object.values(PACKAGE.bin)) chmodSync(join(ROOT, name), 0o755);
readyBundled();
// Of the newest whole build; the tests ask whether a source is newer.
writeFileSync(join(DIST, '.built'), '');
