import type { Argv } from 'yargs';
import type { RawOptions } from './arguments.js';
import type { Output } from './output.js';

/** One verb of the command line. */
export interface Command {
  /** In yargs' notation: the verb and its positional arguments. */
  usage: string;
  summary: string;
  options: (yargs: Argv) => Argv;
  /** Returns the exit code; throws what is told to the user in one line. */
  run: (options: RawOptions, output: Output) => Promise<number>;
}
