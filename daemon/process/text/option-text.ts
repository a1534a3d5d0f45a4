/**
 * Reads what people write as the value of an option or a setting. `name` is what they called it, and `refuse` makes the error of
 * the reason that it is given.
 */
import type { SpinneyError } from '../../../engine/errors.js';

export type Refuse = (reason: string) => SpinneyError;

export interface NumberBounds {
  /** They belong to what is allowed. */
  min: number;
  max: number;
  integer: boolean;
}

/** A decimal number. */
export function readNumber(text: string, name: string, bounds: NumberBounds, refuse: Refuse): number {
  const { min, max, integer } = bounds;
  const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (number >= min && number <= max && (!integer || Number.isInteger(number))) return number;
  const kind = integer ? 'a whole number' : 'a number';
  throw refuse(`${name} is "${text}", but takes ${kind} from ${min} to ${max}`);
}

export function readChoice<T extends string>(
  text: string,
  name: string,
  choices: readonly T[],
  refuse: Refuse,
): T {
  const found = choices.find((choice) => choice === text);
  if (found !== undefined) return found;
  throw refuse(`${name} is "${text}", but takes ${choices.join(', ')}`);
}

const MILLISECONDS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 };
const MOST_MS = 3_600_000;

/** A time with its unit, in milliseconds. */
export function readMilliseconds(text: string, name: string, refuse: Refuse): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(us|ms|s)$/.exec(text) ?? [];
  const milliseconds = Number(number) * (MILLISECONDS[unit ?? ''] ?? Number.NaN);
  if (milliseconds <= MOST_MS) return milliseconds;
  throw refuse(`${name} is "${text}", but takes a time up to an hour, as 10ms, 1.5s or 500us`);
}
