/** Installs the databases that the engine is measured against, at the versions that this folder's lock file pins. */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
/** npm writes this file last, so an installation that was cut short is done again. */
const INSTALLED = `${HERE}node_modules/.package-lock.json`;

export function installPeers() {
  if (existsSync(INSTALLED) && statSync(INSTALLED).mtimeMs >= statSync(`${HERE}package-lock.json`).mtimeMs)
    return;
  console.error('bench: installing lmdb, better-sqlite3 and classic-level: npm ci in scripts/bench');
  // What npm says goes to standard error: standard output has the figures.
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: HERE,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) throw new Error(`Cannot install the databases to compare with: npm ci in ${HERE} failed`);
}
