/** What the scripts of all shells are made of. */
import type { Command } from '../options/command.js';

/** Options that every verb has, and `spinney` itself. */
export const COMMON_OPTIONS: Readonly<Record<string, string>> = {
  help: 'Show help',
  version: 'Show version number',
};

/** As one types it: one letter takes one dash. */
export function dashed(option: string): string {
  return option.length === 1 ? `-${option}` : `--${option}`;
}

/** All options of a verb as one types them. */
export function optionsOf({ options }: Command): string[] {
  return [...Object.keys(options), ...Object.keys(COMMON_OPTIONS)].map(dashed);
}
