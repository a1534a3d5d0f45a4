/** Archives of real files, which this machine has: one to unpack, and one of a git repository. */
import { lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './processes.mjs';

/** Where they are taken from, as far as needed. */
const SOURCES = [
  '/usr/include',
  '/usr/share/doc',
  '/usr/lib/python3',
  fileURLToPath(new URL('../../../node_modules', import.meta.url)),
  '/usr/share',
  '/usr/lib',
];
const MOST_BYTES = 64 * 1024;
const REPOSITORY = 'repository';
const GIT_ENV = {
  GIT_AUTHOR_NAME: 'bench',
  GIT_AUTHOR_EMAIL: 'bench@localhost',
  GIT_COMMITTER_NAME: 'bench',
  GIT_COMMITTER_EMAIL: 'bench@localhost',
};

/**
 * Makes both in a directory: { archive: { file, entries }, repository: { file, name, files } }. The archive has `archived`
 * entries, directories and all, and the repository `versioned` files, or as many as there are.
 */
export async function makeArchives(directory, { archived, versioned }) {
  const archive = join(directory, 'files.tar');
  const entries = smallFiles(archived);
  await pack(archive, entries);

  const files = entries.filter(({ isFile }) => isFile).slice(0, versioned);
  const repository = join(directory, REPOSITORY);
  mkdirSync(repository);
  const some = join(directory, 'some.tar');
  await pack(some, files);
  await run(['tar', '-xf', some, '-C', repository]);
  const git = (...args) => run(['git', '-C', repository, ...args], { env: GIT_ENV });
  await git('init', '-q');
  // Real files include ones that ignore others.
  await git('add', '--force', '.');
  await git('commit', '-q', '-m', 'files');
  await git('gc', '-q');
  const packed = join(directory, `${REPOSITORY}.tar`);
  await run(['tar', '-cf', packed, '-C', directory, REPOSITORY]);
  rmSync(repository, { recursive: true });
  rmSync(some);
  return {
    archive: { file: archive, entries: entries.length },
    repository: { file: packed, name: REPOSITORY, files: files.length },
  };
}

async function pack(archive, entries) {
  const list = `${archive}.list`;
  writeFileSync(list, entries.map(({ path }) => `${relative('/', path)}\0`).join(''));
  await run(['tar', '-cf', archive, '-C', '/', '--no-recursion', '--null', '--files-from', list]);
}

/** Up to `most` entries: small regular files, and before each the directories that it is in. */
function smallFiles(most) {
  const found = new Map();
  for (const source of SOURCES) {
    for (const path of walk(source)) {
      const missing = directoriesOf(path).filter((directory) => !found.has(directory));
      if (found.size + missing.length >= most) return [...found.values()];
      for (const directory of missing) found.set(directory, { path: directory, isFile: false });
      found.set(path, { path, isFile: true });
    }
  }
  return [...found.values()];
}

/** From the top, without the root. */
function directoriesOf(path) {
  const parent = dirname(path);
  return parent === '/' ? [] : [...directoriesOf(parent), parent];
}

function* walk(directory) {
  for (const entry of entriesOf(directory)) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    else if (entry.isFile() && lstatSync(path).size <= MOST_BYTES) yield path;
  }
}

function entriesOf(directory) {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch {
    return [];
  }
}
