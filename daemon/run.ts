/** The command line: reads it, runs the verb, and tells failures in one line. */
import yargs, { type Argv } from 'yargs';
import { COMMANDS } from './commands/all.js';
import { badArgument } from './commands/options/arguments.js';
import type { Command } from './commands/options/command.js';
import { nearest } from './commands/options/nearest.js';
import type { Output } from './commands/output/output.js';
import { failureOf } from './process/failure.js';
import { hasReader, writeError, writeOut } from './process/standard-output.js';
import { version } from './process/version.js';

const VERBS: readonly string[] = COMMANDS.map(({ name }) => name);

/** Exit code of a command line that cannot be read. Failures of a verb give 1. */
export const USAGE_EXIT_CODE = 2;

export const STANDARD_OUTPUT: Output = { out: writeOut, err: writeError, hasReader };

/**
 * Runs one command line (without the program's name) and returns its exit code: 0, 1 when the verb failed, 2 when
 * the arguments are wrong. Failures are one line on stderr; with `--log-level debug` the stack of one that is not the arguments'
 * follows.
 */
export async function run(args: readonly string[], output: Output = STANDARD_OUTPUT): Promise<number> {
  try {
    if (args.length === 0) {
      output.err(`${(await read(['--help'])).text}\n`);
      return USAGE_EXIT_CODE;
    }
    const { text, command, options } = await read(withOperands(spelledOut(args)));
    if (text !== '') output.out(`${text}\n`);
    return command === undefined ? 0 : await command.run(options, output);
  } catch (error) {
    const { code, message } = failureOf(error);
    const isUsage = code === 'ERR_INVALID_ARGUMENT';
    output.err(`spinney: ${message}\n`);
    if (!isUsage && wantsStack(args) && error instanceof Error) output.err(`${error.stack}\n`);
    return isUsage ? USAGE_EXIT_CODE : 1;
  }
}

/** `help mount` is another way to say `mount --help`. */
function spelledOut(args: readonly string[]): string[] {
  const [first, verb, ...more] = args;
  if (first !== 'help') return [...args];
  if (verb === undefined || verb.startsWith('-')) return ['--help'];
  refuseUnknownVerb([verb]);
  return [verb, ...more, '--help'];
}

/** Before a word that stood behind `--`. No word of a command line can have a zero byte. */
const OPERAND = '\0';

/** The parser forgets what stands behind `--`, so those words go on without it, marked: they are no options, and no option's value. */
function withOperands(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  const words = args.slice(0, end);
  if (end < 0 || words.every((word) => word.startsWith('-'))) return [...args];
  return [...words, ...args.slice(end + 1).map((word) => OPERAND + word)];
}

/** What the parser gives, without the marks. */
function unmarked(command: Command, options: Record<string, unknown>): Record<string, unknown> {
  const { argument, more = [], rest } = command;
  const operands = new Set([argument.name, ...more.map(({ name }) => name), rest?.name]);
  const read = (name: string, value: unknown): unknown => {
    if (Array.isArray(value)) return value.map((one) => read(name, one));
    if (typeof value !== 'string' || !value.startsWith(OPERAND)) return value;
    if (!operands.has(name)) throw badArgument(whatIsWrong(`${NO_VALUE}${name}`, [command.name]));
    return value.slice(OPERAND.length);
  };
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name, read(name, value)]));
}

interface CommandLine {
  /** What is to be printed: the help or the version. */
  text: string;
  /** The verb to run, and with what. */
  command: Command | undefined;
  options: Record<string, unknown>;
}

/** Throws ERR_INVALID_ARGUMENT. */
async function read(args: readonly string[]): Promise<CommandLine> {
  refuseUnknownVerb(args);
  const read: CommandLine = { text: '', command: undefined, options: {} };
  const parser = yargs([...args])
    .locale('en')
    .scriptName('spinney')
    .usage('Usage: $0 <verb> [options]')
    .epilogue('spinney <verb> --help tells the options of a verb.')
    .alias('help', 'h')
    .version(version)
    .alias('version', 'V')
    .parserConfiguration({
      'boolean-negation': false,
      'camel-case-expansion': false,
      'dot-notation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .strict()
    .demandCommand(1)
    .exitProcess(false)
    .fail((message, error) => {
      // What a verb throws comes here too; the parser's own errors are of a kind of theirs.
      if (error !== undefined && error !== null && error.name !== 'YError') throw error;
      throw badArgument(whatIsWrong(message ?? error.message, args).replaceAll(OPERAND, ''));
    });
  for (const command of COMMANDS) {
    parser.command(
      usageOf(command),
      command.summary,
      (verb) => withOptions(verb, command),
      (options) => {
        read.command = command;
        read.options = options;
      },
    );
  }
  const line = await new Promise<CommandLine>((resolve, reject) => {
    Promise.resolve(
      parser.parse([...args], {}, (_error, _options, text) => resolve({ ...read, text })),
    ).catch(reject);
  });
  const { text, command } = line;
  if (text === '' && command === undefined) throw badArgument(whatIsWrong('', []));
  if (command === undefined) return line;
  const options = unmarked(command, line.options);
  if (options[command.argument.name] === '') {
    throw badArgument(`the ${command.argument.name} of ${command.name} is empty`);
  }
  return { ...line, options };
}

/** A verb and its arguments. */
function usageOf({ name, argument, more = [], rest }: Command): string {
  const first = argument.isRequired ? `<${argument.name}>` : `[${argument.name}]`;
  const others = [
    ...more.map((other) => `[${other.name}]`),
    ...(rest === undefined ? [] : [`[${rest.name}..]`]),
  ];
  return [name, first, ...others].join(' ');
}

function withOptions(yargs: Argv, command: Command): Argv {
  const { argument, more = [], rest, options } = command;
  yargs
    .usage(`Usage: spinney ${usageOf(command)} [options]`)
    .epilogue('')
    .positional(argument.name, { type: 'string', describe: argument.describe });
  for (const { name, describe } of more) yargs.positional(name, { type: 'string', describe });
  if (rest !== undefined)
    yargs.positional(rest.name, { type: 'string', array: true, describe: rest.describe });
  for (const [option, { describe, takesValue, default: usual, here }] of Object.entries(options)) {
    yargs.option(option, {
      describe,
      ...(takesValue ? { type: 'string', requiresArg: true } : { type: 'boolean' }),
      ...(usual !== undefined && {
        defaultDescription: here === undefined ? usual : `${usual}, here ${here}`,
      }),
    });
  }
  return yargs;
}

/** The verb comes first; options before it are read all the same. */
function refuseUnknownVerb(args: readonly string[]): void {
  const [first] = args;
  const word = first?.startsWith('-') === false ? first : args.find((arg) => !arg.startsWith('-'));
  if (word === undefined || VERBS.includes(word)) return;
  if (word !== first && args.some((arg) => VERBS.includes(arg))) return;
  const meant = nearest(word, VERBS);
  const hint = meant === undefined ? `the verbs are ${VERBS.join(', ')}` : `did you mean "${meant}"?`;
  throw badArgument(`unknown verb "${word}"; ${hint}`);
}

/** How the parser begins to say that an option has none. */
const NO_VALUE = 'Not enough arguments following: ';

/** What the parser says, in words that name what is missing or too much, and the verb. */
function whatIsWrong(message: string, args: readonly string[]): string {
  const command = COMMANDS.find(({ name }) => args.includes(name));
  const see = command === undefined ? 'see spinney --help' : `see spinney ${command.name} --help`;
  const unknown = /^Unknown arguments?: (.*)$/s.exec(message)?.[1]?.split(', ');
  const valueless = message.startsWith(NO_VALUE) ? message.slice(NO_VALUE.length) : undefined;
  if (valueless !== undefined) return `${dashed(valueless)} needs a value; ${see}`;
  if (command === undefined) {
    const given = args[0] === undefined ? '' : `, only ${args[0]}`;
    return `no verb was given${given}; ${see}`;
  }
  if (unknown !== undefined) return `${describeUnknown(unknown, command, args)}; ${see}`;
  if (message.startsWith('Not enough non-option arguments')) {
    return `${command.name} needs <${command.argument.name}>; ${see}`;
  }
  return `${message.replace(/\s*\n\s*/g, ' ')}; ${see}`;
}

function describeUnknown(words: readonly string[], command: Command, args: readonly string[]): string {
  // The parser tells options without their dashes.
  const option = words.find((word) => !args.includes(word));
  if (option === undefined) {
    const most = 1 + (command.more?.length ?? 0);
    const takes = most === 1 ? 'one argument' : `${most} arguments at most`;
    const tooMany = words.length === 1 ? 'is one too many' : 'are too many';
    return `${command.name} takes ${takes}, and "${words.join('", "')}" ${tooMany}`;
  }
  const meant = nearest(option, Object.keys(command.options));
  const hint = meant === undefined ? '' : ` (did you mean ${dashed(meant)}?)`;
  return `${command.name} has no option ${dashed(option)}${hint}`;
}

function dashed(option: string): string {
  return option.length === 1 ? `-${option}` : `--${option}`;
}

function wantsStack(args: readonly string[]): boolean {
  const at = args.indexOf('--log-level');
  const level = at >= 0 ? args[at + 1] : args.find((arg) => arg.startsWith('--log-level='))?.split('=')[1];
  return level === 'debug' || level === 'trace';
}
