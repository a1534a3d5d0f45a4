/** The option `--cache-size`, which several verbs have. */
import { defaultCacheBytes } from '../../../engine/before-open.js';
import { MAX_CACHE_BYTES, MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { numberOption, type RawOptions } from './arguments.js';
import type { CommandOption } from './command.js';

const MIB = 1024 * 1024;

export const cacheSizeOption: CommandOption = {
  takesValue: true,
  describe: `MiB of memory for the tree, from ${MIN_CACHE_BYTES / MIB} to ${MAX_CACHE_BYTES / MIB}`,
  default: 'a quarter of the memory',
  here: String(defaultCacheBytes() / MIB),
};

export function cacheBytesOf(options: RawOptions): number {
  return (
    MIB *
    numberOption(options, 'cache-size', {
      default: defaultCacheBytes() / MIB,
      min: MIN_CACHE_BYTES / MIB,
      max: MAX_CACHE_BYTES / MIB,
      integer: true,
    })
  );
}
