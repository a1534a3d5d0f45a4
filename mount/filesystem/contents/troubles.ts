/** Files whose contents are not what their records say: told once each, and for as long as they are so. */
import { SpinneyError } from '../../../engine/errors.js';
import type { MountLog, MountProblem } from '../../types.js';

/** Files that are remembered; of more only the number is known. */
const MOST_REMEMBERED = 10_000;
/** In a report. */
const MOST_LISTED = 10;
/** Lines in the log. */
const MOST_LOGGED = 1_000;

/** What is wrong with the content of an inode, or that nothing is any more (`what` undefined). */
export type TroubleListener = (ino: number, what: string | undefined) => void;

/** Those of one mount, for whoever watches over it. */
export class TroubleList {
  readonly #found = new Map<number, string>();

  readonly update: TroubleListener = (ino, what) => {
    if (what === undefined) this.#found.delete(ino);
    else this.#found.set(ino, what);
  };

  /** How many, and the first of them; empty where there are none. */
  problems(): MountProblem[] {
    const count = this.#found.size;
    if (count === 0) return [];
    const more = [...this.#found.values()].slice(0, MOST_LISTED);
    const files = count === 1 ? 'the content of 1 file is' : `the contents of ${count} files are`;
    return [{ code: 'CONTENT_DAMAGED', reason: `${files} damaged; spinney check names all`, more }];
  }
}

export class Troubles {
  readonly #log: MountLog;
  readonly #listener: TroubleListener;
  readonly #inos = new Set<number>();
  #logged = 0;

  constructor(log: MountLog, listener: TroubleListener) {
    this.#log = log;
    this.#listener = listener;
  }

  /** `where`: the file, as its user knows it; `what`: the fault, such as `its 20 bytes are missing`. */
  note(ino: number, where: string, what: string): void {
    if (this.#inos.has(ino) || this.#inos.size >= MOST_REMEMBERED) return;
    this.#inos.add(ino);
    this.#listener(ino, `${where} (inode ${ino}): ${what}`);
    if (this.#logged > MOST_LOGGED) return;
    const isLast = ++this.#logged > MOST_LOGGED;
    this.#log(
      'error',
      isLast
        ? 'More contents are damaged, which are not logged; spinney check names them'
        : `Cannot open ${where}: the content of inode ${ino} is damaged: ${what}`,
      isLast ? undefined : { ino },
    );
  }

  /** As `note`, for a caller that cannot go on. */
  refuse(ino: number, where: string, what: string): never {
    this.note(ino, where, what);
    throw new SpinneyError('ERR_IO', `Cannot open ${where}: the content of inode ${ino} is damaged: ${what}`);
  }

  /** The content was removed, or is all new. */
  mended(ino: number): void {
    if (this.#inos.delete(ino)) this.#listener(ino, undefined);
  }
}
