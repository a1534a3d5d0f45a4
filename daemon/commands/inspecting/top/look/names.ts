/** What people call a client: the user's name, and the program that a process runs. */
import { readFileSync } from 'node:fs';

/** Programs of processes are kept so long that one that has ended can still be named by who saw it alive. */
const MOST_PROGRAMS = 10_000;

/** Names by uid, as /etc/passwd has them; without it there are numbers. */
export function userNames(): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const line of readOr('/etc/passwd', '').split('\n')) {
    const [name, , uid] = line.split(':');
    // The first one counts, as for getpwuid(3).
    if (name && /^\d+$/.test(uid ?? '') && !names.has(Number(uid))) names.set(Number(uid), name);
  }
  return names;
}

export class Programs {
  #known = new Map<number, string>();

  /** What process `pid` runs now, or ran when it was last seen; undefined: it was never seen alive. Process 0 is the kernel. */
  readonly of = (pid: number): string | undefined => {
    if (pid === 0) return '(kernel)';
    const name = readOr(`/proc/${pid}/comm`, '').replace(/\n$/, '');
    if (name === '') return this.#known.get(pid);
    // Its number is another's by the time that so many have come and gone.
    if (this.#known.size >= MOST_PROGRAMS) this.#known.clear();
    this.#known.set(pid, name);
    return name;
  };
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}
