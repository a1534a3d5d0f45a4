import { createReadStream } from 'node:fs';
import { resolve } from 'node:path';
import { reasonOf, SpinneyError } from '../../../engine/errors.js';
import { refuseRemote } from '../../places/remote-place.js';
import { storeOf } from '../../places/served-store.js';
import { badArgument, requiredText, textOption } from '../options/arguments.js';
import { cacheBytesOf, cacheSizeOption } from '../options/cache-size.js';
import type { Command } from '../options/command.js';
import { formatTable } from '../output/output.js';
import { Progress } from '../output/progress.js';

/** Of a line: more than any file's attributes take. */
const MOST_CHARACTERS = 256 * 1024 * 1024;

export const load: Command = {
  name: 'load',
  summary: 'Make a store of what spinney dump has printed',
  argument: {
    name: 'store',
    isRequired: true,
    describe: 'Directory of the new store; nothing is written over',
    values: 'directory',
  },
  options: {
    from: {
      takesValue: true,
      values: 'file',
      describe: 'File that has the dump',
      default: 'the standard input',
    },
    contents: {
      takesValue: true,
      values: 'directory',
      describe: 'Store that was dumped: the bytes of files are taken from it',
    },
    sparse: { describe: 'Files have their sizes, and zeros in place of their bytes' },
    'cache-size': cacheSizeOption,
    json: { describe: 'Print JSON' },
  },
  async run(raw, output) {
    const target = resolve(requiredText(raw, 'store'));
    const from = textOption(raw, 'from');
    const contents = textOption(raw, 'contents');
    if (contents !== undefined && raw.sparse === true)
      throw badArgument('both --contents and --sparse were given');
    if (contents !== undefined) {
      const store = storeOf(contents);
      refuseRemote(
        `take contents from ${store}`,
        store,
        'make a backup of it, which has them all, and give that',
      );
    }
    const progress = new Progress(output);
    // Loaded here only, so that the other verbs start fast.
    const { loadStore } = await import('../../../mount/dump/index.js');
    try {
      const loaded = await loadStore({
        lines: linesOf(from),
        target,
        contents:
          contents !== undefined ? { store: storeOf(contents) } : raw.sparse === true ? 'sparse' : 'none',
        progress,
        cacheBytes: cacheBytesOf(raw),
      });
      progress.clear();
      const result = { store: target, ...loaded };
      output.out(`${raw.json === true ? JSON.stringify(result, null, 2) : formatTable(result)}\n`);
      if ((loaded.contents?.linked ?? 0) > 0) {
        output.err(
          `Contents are shared with ${contents} (hard links): what is written to a file at one is changed at both. Remove one of them.\n`,
        );
      }
    } finally {
      progress.clear();
    }
    return 0;
  },
};

async function* linesOf(path: string | undefined): AsyncGenerator<string> {
  const stream = path === undefined ? process.stdin : createReadStream(path);
  stream.setEncoding('utf8');
  const name = path ?? 'on the standard input';
  let rest = '';
  try {
    for await (const piece of stream as AsyncIterable<string>) {
      const lines = (rest + piece).split('\n');
      rest = lines.pop() as string;
      yield* lines;
      if (rest.length > MOST_CHARACTERS)
        throw new SpinneyError(
          'ERR_INVALID_ARGUMENT',
          `Cannot read the dump ${name}: a line has more than ${MOST_CHARACTERS} characters`,
        );
    }
  } catch (error) {
    if (error instanceof SpinneyError) throw error;
    throw new SpinneyError('ERR_IO', `Cannot read the dump ${name}: ${reasonOf(error)}`, { cause: error });
  }
  if (rest !== '') yield rest;
}
