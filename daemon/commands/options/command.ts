import type { Output } from '../output/output.js';
import type { RawOptions } from './arguments.js';

/** One verb of the command line. */
export interface Command {
  name: string;
  summary: string;
  /** What the verb is about, given without a name before it. */
  argument: { name: string; isRequired: boolean; describe: string; values: Values };
  /** Further ones, in this order; each may be left out. */
  more?: readonly { name: string; describe: string }[];
  /** Any number of words behind those, an array under this name; `values` are what such a word begins with. */
  rest?: { name: string; describe: string; values: readonly string[] };
  /** By their names without dashes; one letter takes one dash. */
  options: Readonly<Record<string, CommandOption>>;
  /** Returns the exit code; throws what is told to the user in one line. */
  run: (options: RawOptions, output: Output) => Promise<number>;
}

/** What a shell offers for an argument: paths, places of mounts of ours (or paths), words; undefined: it cannot know. */
export type Values = 'directory' | 'file' | 'mount' | readonly string[] | undefined;

export interface CommandOption {
  /** With the unit of its value. */
  describe: string;
  /** An option without one is on or off. */
  takesValue?: true;
  /** What a shell offers for the value, where it takes one. */
  values?: Values;
  /** The value may be several words of those, with commas between them. */
  isList?: true;
  /** As help shows it; what reads the option knows it itself. */
  default?: string;
  /** What that is on this machine, for help alone. */
  here?: string;
}
