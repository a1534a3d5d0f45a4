/** The command line: reads it, runs the verb, and tells failures in one line. */
import yargs from 'yargs';
import { check } from './commands/check.js';
import { checkpoint } from './commands/checkpoint.js';
import type { Command } from './commands/command.js';
import { compact } from './commands/compact.js';
import { health } from './commands/health.js';
import { mount } from './commands/mount.js';
import type { Output } from './commands/output.js';
import { stats } from './commands/stats.js';
import { umount } from './commands/umount.js';
import { failureOf } from './process/failure.js';
import { writeError, writeOut } from './process/standard-output.js';
import { version } from './process/version.js';

const COMMANDS: readonly Command[] = [mount, umount, stats, health, checkpoint, compact, check];

/** Exit code of a command line that cannot be read. Failures of a verb give 1. */
export const USAGE_EXIT_CODE = 2;

export const STANDARD_OUTPUT: Output = { out: writeOut, err: writeError };

/**
 * Runs one command line (without the program's name) and returns its exit code: 0, 1 when the verb failed, 2 when
 * the arguments are wrong. Failures are one line on stderr; with `--log-level debug` a stack follows.
 */
export async function run(args: readonly string[], output: Output = STANDARD_OUTPUT): Promise<number> {
  let exitCode = 0;
  const fail = (error: unknown): void => {
    const { code, message } = failureOf(error);
    output.err(`spinney: ${message}\n`);
    if (wantsStack(args) && error instanceof Error) output.err(`${error.stack}\n`);
    exitCode = code === 'ERR_INVALID_ARGUMENT' ? USAGE_EXIT_CODE : 1;
  };

  const parser = yargs([...args])
    .scriptName('spinney')
    .usage('Usage: $0 <verb> [options]')
    .version(version)
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .strict()
    .demandCommand(1, 'no verb was given')
    .exitProcess(false)
    .fail((message, error) => {
      throw new UsageError(message ?? failureOf(error).message);
    });

  let chosen: (() => Promise<number>) | undefined;
  for (const command of COMMANDS) {
    parser.command(command.usage, command.summary, command.options, (options) => {
      chosen = () => command.run(options, output);
    });
  }

  try {
    const text = await new Promise<string>((resolve, reject) => {
      Promise.resolve(parser.parse([...args], {}, (_error, _argv, printed) => resolve(printed))).catch(
        reject,
      );
    });
    if (text !== '') output.out(`${text}\n`);
    if (chosen !== undefined) exitCode = await chosen();
  } catch (error) {
    if (error instanceof UsageError) {
      output.err(`spinney: Cannot read the arguments: ${lowerFirst(error.message)}; see spinney --help\n`);
      return USAGE_EXIT_CODE;
    }
    fail(error);
  }
  return exitCode;
}

class UsageError extends Error {}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1).replace(/\s*\n\s*/g, ' ');
}

function wantsStack(args: readonly string[]): boolean {
  const at = args.indexOf('--log-level');
  const level = at >= 0 ? args[at + 1] : args.find((arg) => arg.startsWith('--log-level='))?.split('=')[1];
  return level === 'debug' || level === 'trace';
}
