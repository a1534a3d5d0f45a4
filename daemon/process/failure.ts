/** Turns whatever was thrown into what people and programs are told: a stable code and one line. */
import { reasonOf, SpinneyError } from '../../engine/errors.js';

export interface Failure {
  code: string;
  message: string;
}

/** Code of an error: a SpinneyError's or a system call's; `ERR_INTERNAL` for what nobody foresaw. */
export function failureOf(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: 'ERR_INTERNAL', message: oneLine(String(error)) };
  if (error instanceof SpinneyError) return { code: error.code, message: oneLine(error.message) };
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code !== 'string') return { code: 'ERR_INTERNAL', message: oneLine(error.message) };
  return { code, message: oneLine(describeCall(error) ?? error.message) };
}

/** A failed system call as people are told it; undefined where the error is none. */
function describeCall(error: NodeJS.ErrnoException): string | undefined {
  const { syscall, path, code } = error;
  if (syscall === undefined || code === undefined) return undefined;
  if (syscall === 'uv_cwd') return 'Cannot find the working directory: it was removed; change to another one';
  if (path === undefined) return undefined;
  return `Cannot ${CALLS[syscall] ?? syscall} ${path}: ${reasonOf(error)}`;
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ');
}

/** Whether the error is a system call's with this code (`ENOENT` and so on). */
export function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === code;
}

/** What a system call does, in words. */
const CALLS: Readonly<Record<string, string>> = {
  access: 'reach',
  lstat: 'look at',
  stat: 'look at',
  open: 'open',
  mkdir: 'make',
  readlink: 'read the link',
  realpath: 'find',
  scandir: 'list',
  unlink: 'remove',
};
