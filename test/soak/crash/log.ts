/** What clients wrote down (see client.py): what they were about to do, and what they were told of it. */
import { existsSync, readFileSync } from 'node:fs';

/** Numbers of bytes, modes and the like are in the place that client.py gives them. */
export type Step = readonly [name: string, ...args: (string | number | boolean)[]];

/** Moments are in seconds of CLOCK_MONOTONIC. */
export interface Call {
  readonly number: number;
  readonly step: Step;
  /** When it was about to be made. */
  readonly began: number;
  /** When it was known what came of it. */
  readonly ended: number | undefined;
  /** 0: it was acknowledged; the name of an error; undefined: nobody was told what became of it. */
  readonly result: 0 | string | undefined;
}

/** A step that is none: here a process of the client began, and the files of the one before it were closed. */
export const BEGIN = 'begin';

/** Errors that the calls of client.py may end with while all is well. */
const EXPECTED = new Set([
  'ENOENT',
  'EEXIST',
  'ENOTDIR',
  'EISDIR',
  'ENOTEMPTY',
  'EINVAL',
  'EPERM',
  'ELOOP',
  'ENXIO',
  'ENODATA',
  'EOPNOTSUPP',
]);

/** The calls in a client's log. Throws at an error that none of them should have ended with. */
export function readLog(path: string): Call[] {
  if (!existsSync(path)) return [];
  const text = readFileSync(path, 'utf8');
  const calls: Call[] = [];
  // A client that was killed may have left half a line.
  for (const line of text.slice(0, text.lastIndexOf('\n') + 1).split('\n')) {
    if (line === '') continue;
    const [number, at, what, ...args] = JSON.parse(line) as [number, number, string | 0, ...Step[1][]];
    const last = calls.at(-1);
    if (last?.number === number && last.step[0] !== BEGIN && args.length === 0) {
      calls[calls.length - 1] = { ...last, ended: at, result: what };
      if (what !== 0 && !EXPECTED.has(what)) throw new Error(`${showCall(last)} ended with ${what}`);
    } else
      calls.push({ number, step: [String(what), ...args], began: at, ended: undefined, result: undefined });
  }
  return calls;
}

export function showCall({ number, step, result }: Call): string {
  const told = result === undefined ? 'in flight' : result === 0 ? 'acknowledged' : result;
  return `${number} ${step.join(' ')} (${told})`.replaceAll('x'.repeat(200), 'x*200');
}
