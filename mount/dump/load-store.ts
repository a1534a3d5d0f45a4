import { join, resolve } from 'node:path';
import { Tree } from '../../engine/index.js';
import type { WorkProgress } from '../../engine/progress.js';
import { markAllDurable } from '../filesystem/contents/content-mark.js';
import { SystemClock, SystemDisk } from '../filesystem/contents/disk/system.js';
import { NO_COPIES } from '../filesystem/contents/left-copies.js';
import { FILESYSTEM_MEASURE } from '../filesystem/records/measure.js';
import { ContentsMove, type MovedContents } from '../repair/index.js';
import { CONTENT_DIRECTORY, NewStore } from '../stores/new-store.js';
import { type LoadedNamespace, Loader } from './load.js';
import { contentsOf, NO_CONTENTS, sparseContents } from './new-contents.js';

const system = new SystemDisk();

export interface LoadStoreOptions {
  lines: AsyncIterable<string>;
  /** Where the store is made: a path where nothing is, an empty directory, or what an earlier run left. */
  target: string;
  /** The store that was dumped, whose contents the new one gets; 'sparse': files have their sizes, and are read as zeros. */
  contents: { store: string } | 'sparse' | 'none';
  progress: WorkProgress;
  cacheBytes?: number;
}

export interface LoadedStore {
  namespace: LoadedNamespace;
  /** How contents came, where they were taken from a store. */
  contents?: MovedContents;
}

/**
 * Makes a store of the lines of a dump; see format.ts. It is there once it is whole and durable.
 * @throws ERR_INVALID_ARGUMENT for a dump that cannot be loaded, naming the line; ERR_EXISTS where something is at `target`;
 *   ERR_NO_STORE, ERR_STORE_LOCKED for the store that has the contents; ERR_NO_SPACE, ERR_IO
 */
export async function loadStore(options: LoadStoreOptions): Promise<LoadedStore> {
  const { target, contents, cacheBytes } = options;
  const cache = cacheBytes !== undefined && { cacheBytes };
  const from = typeof contents === 'object' ? contents.store : undefined;
  // Nobody may write to it meanwhile.
  const source = from === undefined ? undefined : Tree.open({ dir: from, readOnly: true, ...cache });
  try {
    const doing = `load a store at ${resolve(target)}`;
    const made = new NewStore({ path: target, command: 'load', doing, source: from, goesOn: false });
    try {
      const loaded = await makeStore(options, cache, source?.previousEnd === 'power-cut');
      made.finish();
      return loaded;
    } catch (error) {
      made.leave();
      throw error;
    }
  } finally {
    source?.close();
  }
}

async function makeStore(
  options: LoadStoreOptions,
  cache: { cacheBytes: number } | false,
  wasCut: boolean,
): Promise<LoadedStore> {
  const { target, progress } = options;
  const tree = Tree.open({
    dir: target,
    durability: 'buffered',
    checkpoint: { enabled: false },
    measure: FILESYSTEM_MEASURE,
    ...cache,
  });
  try {
    const loaded = await fill(tree, options, wasCut);
    progress.begin('making it durable', 0);
    syncBelow(target);
    const clock = new SystemClock();
    clock.read();
    markAllDurable(tree, system.bootId(), clock.seconds);
    tree.checkpoint();
    return loaded;
  } finally {
    tree.close();
  }
}

async function fill(
  tree: Tree,
  { lines, target, contents, progress }: LoadStoreOptions,
  wasCut: boolean,
): Promise<LoadedStore> {
  const directory = join(target, CONTENT_DIRECTORY);
  const move =
    typeof contents === 'object'
      ? new ContentsMove(join(contents.store, CONTENT_DIRECTORY), directory, {
          wasCut,
          lastSnapshot: 0,
          copies: () => NO_COPIES,
          isDry: false,
          copied: () => progress.step(0),
          report: () => {},
        })
      : undefined;
  const bringer =
    move === undefined ? (contents === 'sparse' ? sparseContents(directory) : NO_CONTENTS) : contentsOf(move);
  const loader = new Loader(tree, bringer, progress);
  for await (const line of lines) loader.takeLine(line);
  loader.finish();
  move?.finish();
  return { namespace: loader.loaded, ...(move !== undefined && { contents: move.moved }) };
}

function syncBelow(directory: string): void {
  const fd = system.openDirectory(directory);
  try {
    system.syncFilesystem(fd);
  } finally {
    system.close(fd);
  }
}
