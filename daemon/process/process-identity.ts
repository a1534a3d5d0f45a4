/** Names a process so that a later one with the same pid is not taken for it. */
import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  pid: number;
  /** Clock ticks from the machine's start to the process's, as in /proc/PID/stat. */
  startTime: number;
}

/**
 * The process with this pid now, unless it has ended. One that only waits for its parent to notice has ended; one whose first thread has
 * ended, and others have not yet, has not: it may have descriptors, and so locks.
 */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // pid (name) state ppid ...: the name may hold anything, so the fields are counted from its last parenthesis.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  const threads = Number(fields[17]);
  if (state === 'X' || (state === 'Z' && threads <= 1)) return undefined;
  return { pid, startTime: Number(fields[19]) };
}

/** Whether a signal or a debugger has stopped the process. */
export function isStopped(pid: number): boolean {
  try {
    return /^State:\s+[Tt]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The user that the process acts as on files; undefined where there is no such process. */
export function userOf(pid: number): number | undefined {
  try {
    const [, fields] = /^Uid:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
    // Real, effective, saved, and that on files.
    return fields === undefined ? undefined : Number(fields.split(/\s+/)[3]);
  } catch {
    return undefined;
  }
}

/** Whether this very process still runs. Its descriptors, and so its locks, are gone when this is false. */
export function isRunning(identity: ProcessIdentity): boolean {
  return identifyProcess(identity.pid)?.startTime === identity.startTime;
}
