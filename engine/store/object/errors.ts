import { SpinneyError } from '../../errors.js';

/** 404. */
export function notFound(what: string): SpinneyError {
  return new SpinneyError('ERR_NOT_FOUND', `Cannot ${what}: there is no such object`);
}

/** 412. */
export function conditionFailed(what: string): SpinneyError {
  return new SpinneyError('ERR_CONDITION_FAILED', `Cannot ${what}: it is not as the condition says`);
}

/** Whether the error has this code. */
export function hasCode(error: unknown, code: SpinneyError['code']): boolean {
  return error instanceof SpinneyError && error.code === code;
}
