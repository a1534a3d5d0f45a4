import type { ContentFiles } from '../filesystem/contents/content.js';
import {
  type CopyInProgress,
  CopyInProgress as Copying,
  placeCopy,
} from '../filesystem/contents/content-copy.js';
import type { ContentCopy, ContentWorker } from '../filesystem/types.js';
import type { MountLog } from '../types.js';

/** What the worker's answers go to. */
export interface ContentAnswers {
  copied(copy: ContentCopy, result: number): void;
  placed(copy: ContentCopy, result: number): void;
  contentsSynced(result: number): void;
}

interface Task {
  /** Goes on for a moment; true: it is done. */
  step(): boolean;
  answer(result: number): void;
}

/** Works on contents on the main loop, a step at a time, so that requests come in between. */
export class InlineContentWorker implements ContentWorker {
  readonly #files: ContentFiles;
  readonly #answers: () => ContentAnswers;
  /** After each answer: who waits for a content may have it by now. */
  readonly #answered: () => void;
  readonly #log: MountLog;
  readonly #tasks: Task[] = [];
  #isScheduled = false;

  constructor(files: ContentFiles, answers: () => ContentAnswers, answered: () => void, log: MountLog) {
    this.#files = files;
    this.#answers = answers;
    this.#answered = answered;
    this.#log = log;
  }

  copy(copy: ContentCopy): void {
    let copying: CopyInProgress | undefined;
    this.#put({
      step: () => {
        copying ??= new Copying(this.#files, copy);
        return copying.step();
      },
      answer: (result) => this.#answers().copied(copy, result),
    });
  }

  place(copy: ContentCopy): void {
    this.#put({
      step: () => {
        placeCopy(this.#files, copy);
        return true;
      },
      answer: (result) => this.#answers().placed(copy, result),
    });
  }

  syncContents(): void {
    this.#put({
      step: () => {
        const { disk, directory } = this.#files;
        const fd = disk.openDirectory(directory);
        try {
          this.#files.syncAll(fd);
        } finally {
          disk.close(fd);
        }
        return true;
      },
      answer: (result) => this.#answers().contentsSynced(result),
    });
  }

  #put(task: Task): void {
    this.#tasks.push(task);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#tasks.length === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#goOn();
      this.#schedule();
    });
  }

  #goOn(): void {
    const task = this.#tasks[0]!;
    let result = 0;
    try {
      if (!task.step()) return;
    } catch (error) {
      this.#log('error', `Cannot copy a content: ${error}`);
      const { errno } = error as NodeJS.ErrnoException;
      result = errno !== undefined && errno < 0 ? errno : -1;
    }
    this.#tasks.shift();
    try {
      task.answer(result);
    } catch (error) {
      this.#log('error', `Cannot go on with the copy of a content: ${error}`);
    }
    this.#answered();
  }
}
