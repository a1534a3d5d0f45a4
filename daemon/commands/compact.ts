import type { Command } from './command.js';
import { askAndPrint, controlOptions } from './control.js';

export const compact: Command = {
  usage: 'compact [place]',
  summary: 'Repack the tree and merge small blobs',
  options: controlOptions,
  async run(options, output) {
    await askAndPrint(options, 'POST', '/v1/compact', output);
    return 0;
  },
};
