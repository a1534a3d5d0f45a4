/** Reads option values as the parser gives them, with messages that name the option and what it takes. */
import { SpinneyError } from '../../../engine/errors.js';
import {
  type NumberBounds,
  readChoice,
  readMilliseconds,
  readNumber,
} from '../../process/text/option-text.js';

/** What the parser gives for an option: an array where it was given several times. */
export type RawOptions = Readonly<Record<string, unknown>>;

/** The option's text; undefined where it was not given. */
export function textOption(options: RawOptions, name: string): string | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  if (Array.isArray(value)) throw badArgument(`--${name} was given ${value.length} times`);
  const text = String(value);
  if (text === '') throw badArgument(`--${name} needs a value`);
  return text;
}

export function requiredText(options: RawOptions, name: string): string {
  const text = textOption(options, name);
  if (text === undefined) throw badArgument(`--${name} is missing`);
  return text;
}

/** A decimal number within the bounds, which belong to it. */
export function numberOption(
  options: RawOptions,
  name: string,
  bounds: NumberBounds & { default: number },
): number {
  const text = textOption(options, name);
  return text === undefined ? bounds.default : readNumber(text, `--${name}`, bounds, badArgument);
}

export function choiceOption<T extends string>(
  options: RawOptions,
  name: string,
  choices: readonly T[],
  fallback: T,
): T {
  const text = textOption(options, name);
  return text === undefined ? fallback : readChoice(text, `--${name}`, choices, badArgument);
}

/** A time with its unit (`10ms`), in milliseconds; undefined where it was not given. */
export function millisecondsOption(options: RawOptions, name: string): number | undefined {
  const text = textOption(options, name);
  return text === undefined ? undefined : readMilliseconds(text, `--${name}`, badArgument);
}

/** Comma-separated words, also from several uses of the option. */
export function listOption(options: RawOptions, name: string, known: readonly string[]): string[] {
  const value = options[name];
  if (value === undefined) return [];
  const words = (Array.isArray(value) ? value : [value]).flatMap((text) => String(text).split(','));
  const unknown = words.find((word) => !known.includes(word));
  if (unknown !== undefined) throw badArgument(`-${name} has "${unknown}", but takes ${known.join(', ')}`);
  return words;
}

export function badArgument(reason: string): SpinneyError {
  return new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot read the arguments: ${reason}`);
}
