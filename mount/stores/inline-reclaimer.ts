import type { TreeOperations } from '../../engine/api.js';
import type { ContentFiles } from '../filesystem/contents/content.js';
import type { ContentName, Reclaimer } from '../filesystem/types.js';
import type { MountLog } from '../types.js';

const DELAY_MS = 1_000;

/** Removes contents on the main loop, at most once a second, always after the removal of their names is durable. */
export class InlineReclaimer implements Reclaimer {
  readonly #tree: Pick<TreeOperations, 'durableLsn' | 'sync'>;
  readonly #content: Pick<ContentFiles, 'remove'>;
  readonly #reclaimed: (contents: readonly ContentName[]) => void;
  readonly #log: MountLog;
  #waiting: (ContentName & { lsn: number })[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(
    tree: Pick<TreeOperations, 'durableLsn' | 'sync'>,
    content: Pick<ContentFiles, 'remove'>,
    reclaimed: (contents: readonly ContentName[]) => void,
    log: MountLog,
  ) {
    this.#tree = tree;
    this.#content = content;
    this.#reclaimed = reclaimed;
    this.#log = log;
  }

  schedule(ino: number, born: number, lsn: number): void {
    this.#waiting.push({ ino, born, lsn });
    this.#timer ??= setTimeout(() => this.run(), DELAY_MS);
  }

  /** Removes all that is scheduled now; returns whether there was any. What fails stays, and is found again at the next start. */
  run(): boolean {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const waiting = this.#waiting;
    if (waiting.length === 0) return false;
    this.#waiting = [];
    try {
      const last = waiting.reduce((most, { lsn }) => Math.max(most, lsn), 0);
      if (this.#tree.durableLsn() < last) this.#tree.sync();
      for (const { ino, born } of waiting) this.#content.remove(ino, born);
      this.#reclaimed(waiting);
    } catch (error) {
      this.#log('warn', 'could not remove the contents of deleted files', { err: error });
    }
    return true;
  }
}
