import type { RawOptions } from './arguments.js';
import type { Output } from './output.js';

/** One verb of the command line. */
export interface Command {
  name: string;
  summary: string;
  /** What the verb is about, given without a name before it. */
  argument: { name: string; isRequired: boolean; describe: string };
  /** By their names without dashes; one letter takes one dash. */
  options: Readonly<Record<string, CommandOption>>;
  /** Returns the exit code; throws what is told to the user in one line. */
  run: (options: RawOptions, output: Output) => Promise<number>;
}

export interface CommandOption {
  /** With the unit of its value. */
  describe: string;
  /** An option without one is on or off. */
  takesValue?: true;
  /** As help shows it; what reads the option knows it itself. */
  default?: string;
}
