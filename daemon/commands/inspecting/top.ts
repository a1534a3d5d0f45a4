/** `spinney top`: what a mount does, live on a terminal, or as lines. */
import { numberOption, textOption } from '../options/arguments.js';
import type { Command } from '../options/command.js';
import { PLACE, placeArgument, socketOf, targetOptions } from '../options/target.js';

/** Seconds. */
const INTERVAL = { default: 2, min: 0.1, max: 3_600, integer: false };

export const top: Command = {
  name: 'top',
  summary: 'Show live what a mount does: rates, latencies, who and what keeps it busy, and what is wrong',
  argument: placeArgument,
  options: {
    ...targetOptions,
    interval: {
      takesValue: true,
      describe: 'Seconds between two looks, from 0.1',
      default: `${INTERVAL.default}`,
    },
    once: { describe: 'Print what happened in one interval, and end' },
    json: { describe: 'Print JSON, an object a line for each look' },
  },
  async run(options, output) {
    const intervalSeconds = numberOption(options, 'interval', INTERVAL);
    const socket = await socketOf(options, textOption(options, PLACE.name));
    // Loaded here only, so that the other verbs start fast.
    const { runTop } = await import('./top/run.js');
    const { once, json } = options;
    return await runTop({ socket, intervalSeconds, isOnce: once === true, isJson: json === true }, output);
  },
};
