import type { Command } from './command.js';
import { askAndPrint, controlOptions } from './control.js';

export const health: Command = {
  usage: 'health [place]',
  summary: 'Say whether the daemon is healthy (exit code 0) or degraded (1)',
  options: controlOptions,
  async run(options, output) {
    const { status } = await askAndPrint(options, 'GET', '/v1/health', output);
    return status === 200 ? 0 : 1;
  },
};
