/** Turns whatever was thrown into what people and programs are told: a stable code and one line. */
import { SpinneyError } from '../../engine/errors.js';

export interface Failure {
  code: string;
  message: string;
}

/** Code of an error: a SpinneyError's or a system call's; `ERR_INTERNAL` for what nobody foresaw. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: 'ERR_INTERNAL', message: oneLine(String(error)) };
  if (error instanceof SpinneyError) return { code: error.code, message: oneLine(error.message) };
  const code = (error as NodeJS.ErrnoException).code;
  return { code: typeof code === 'string' ? code : 'ERR_INTERNAL', message: oneLine(error.message) };
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}

/** Whether the error is a system call's with this code (`ENOENT` and so on). */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'its filesystem is read-only',
  ENOTDIR: 'a part of its path is not a directory',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
};

/** What a system call's failure means, in words; the error's own message where there are none. */
export function reasonOf(error: unknown): string {
  const { code, message } = failureOf(error);
  return REASONS[code] ?? message;
}
