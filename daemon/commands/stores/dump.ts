import { storeOf } from '../../places/served-store.js';
import { version } from '../../process/version.js';
import { requiredText } from '../options/arguments.js';
import { cacheBytesOf, cacheSizeOption } from '../options/cache-size.js';
import type { Command } from '../options/command.js';
import { Progress } from '../output/progress.js';

export const dump: Command = {
  name: 'dump',
  summary: 'Print all metadata of a store that is not mounted, as JSON Lines',
  argument: { name: 'store', isRequired: true, describe: 'Directory of the store', values: 'directory' },
  options: { 'cache-size': cacheSizeOption },
  async run(raw, output) {
    const store = storeOf(requiredText(raw, 'store'));
    const progress = new Progress(output);
    // Loaded here only, so that the other verbs start fast.
    const { dumpStore } = await import('../../../mount/dump/index.js');
    try {
      dumpStore({
        store,
        version,
        progress,
        write: (text) => output.out(text),
        cacheBytes: cacheBytesOf(raw),
      });
    } finally {
      progress.clear();
    }
    return 0;
  },
};
