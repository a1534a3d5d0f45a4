import type { Command } from './command.js';
import { askAndPrint, controlOptions } from './control.js';

export const checkpoint: Command = {
  usage: 'checkpoint [place]',
  summary: 'Write a checkpoint now',
  options: controlOptions,
  async run(options, output) {
    await askAndPrint(options, 'POST', '/v1/checkpoint', output);
    return 0;
  },
};
