import type { TreeOperations } from '../../engine/api.js';
import type { ContentFiles } from '../filesystem/contents/content.js';
import type { Reclaimer } from '../filesystem/types.js';
import type { MountLog } from '../types.js';

const DELAY_MS = 1_000;

/** Removes contents on the main loop, at most once a second, always after the removal of their names is durable. */
export class InlineReclaimer implements Reclaimer {
  readonly #tree: Pick<TreeOperations, 'durableLsn' | 'sync'>;
  readonly #content: Pick<ContentFiles, 'remove'>;
  readonly #reclaimed: (inos: readonly number[]) => void;
  readonly #log: MountLog;
  readonly #waiting = new Map<number, number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    tree: Pick<TreeOperations, 'durableLsn' | 'sync'>,
    content: Pick<ContentFiles, 'remove'>,
    reclaimed: (inos: readonly number[]) => void,
    log: MountLog,
  ) {
    this.#tree = tree;
    this.#content = content;
    this.#reclaimed = reclaimed;
    this.#log = log;
  }

  schedule(ino: number, lsn: number): void {
    this.#waiting.set(ino, lsn);
    this.#timer ??= setTimeout(() => this.run(), DELAY_MS);
  }

  /** Removes all that is scheduled now; returns whether there was any. What fails stays, and is found again at the next start. */
  run(): boolean {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.size === 0) return false;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    try {
      const last = waiting.reduce((most, [, lsn]) => Math.max(most, lsn), 0);
      if (this.#tree.durableLsn() < last) this.#tree.sync();
      const inos = waiting.map(([ino]) => ino);
      for (const ino of inos) this.#content.remove(ino);
      this.#reclaimed(inos);
    } catch (error) {
      this.#log('warn', 'could not remove the contents of deleted files', { err: error });
    }
    return true;
  }
}
