import type { Output } from './output.js';
import { Progress } from './progress.js';

const TELL_EVERY_MS = 1_000;

/** Waits for work that tells nothing until it is done, and tells on stderr for how long already where that takes a while. */
export async function tellWaiting<T>(
  output: Pick<Output, 'err'>,
  what: string,
  work: Promise<T>,
  progress = new Progress(output),
): Promise<T> {
  const started = performance.now();
  const timer = setInterval(() => {
    progress.begin(`${what}: ${Math.floor((performance.now() - started) / 1000)} s`, 0);
  }, TELL_EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    progress.clear();
  }
}
