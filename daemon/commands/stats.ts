import type { Command } from './command.js';
import { askAndPrint, controlOptions } from './control.js';

export const stats: Command = {
  usage: 'stats [place]',
  summary: 'Show what the tree, the mount and the process do',
  options: controlOptions,
  async run(options, output) {
    await askAndPrint(options, 'GET', '/v1/stats', output);
    return 0;
  },
};
