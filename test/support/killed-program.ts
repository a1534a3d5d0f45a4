/** Programs that are killed on their way, at moments told by how far they have come and by no clock. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_AGAIN_MS = 1;

export interface Ended {
  /** -1: a signal ended it. */
  code: number;
  /** Calls of the kinds of read(2) and write(2) that it was last seen to have made. */
  calls: number;
}

/** Runs `node` with these words to its end, or kills it once it has made so many calls. */
export async function runUntil(calls: number, words: readonly string[]): Promise<Ended> {
  const child = spawn(process.execPath, words, { stdio: 'ignore' });
  const closed = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? -1));
  });
  let seen = 0;
  while (child.exitCode === null && child.signalCode === null) {
    seen = Math.max(seen, callsOf(child.pid!));
    if (seen >= calls) child.kill('SIGKILL');
    await Promise.race([closed, sleep(LOOK_AGAIN_MS)]);
  }
  return { code: await closed, calls: seen };
}

/** Of a process that is gone, 0. */
export function callsOf(pid: number): number {
  try {
    const counts = readFileSync(`/proc/${pid}/io`, 'latin1').matchAll(/^sysc[rw]: (\d+)$/gm);
    return Array.from(counts, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
  } catch {
    return 0;
  }
}
