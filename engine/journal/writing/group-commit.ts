/**
 * Leader-based group commit: who needs something written or durable and finds no leader becomes the leader for all who
 * wait, and the others sleep until there was progress. Any thread may call, holding neither lock.
 */
import { SpinneyError } from '../../errors.js';
import { Part, stopwatch } from '../../stopwatch.js';
import { FLUSH_LOCK, type JournalShared, SYNC_LOCK, WRITTEN } from '../shared.js';
import type { SegmentWriter } from './segment-writer.js';

export class GroupCommit {
  readonly #shared: JournalShared;
  readonly #writer: SegmentWriter;

  constructor(shared: JournalShared, writer: SegmentWriter) {
    this.#shared = shared;
    this.#writer = writer;
  }

  /** Returns once the record with this LSN is written. */
  waitWritten(lsn: number): void {
    const shared = this.#shared;
    for (;;) {
      shared.throwUnlessUsable();
      const seen = shared.progress();
      if (shared.writtenLsn >= lsn) return;
      this.#assertPublished(lsn);
      if (shared.tryLock(FLUSH_LOCK)) {
        try {
          this.#writer.flush();
        } finally {
          shared.unlock(FLUSH_LOCK);
        }
      } else {
        shared.pause(seen);
      }
    }
  }

  /** Returns once the record with this LSN is durable. */
  waitSynced(lsn: number): void {
    const before = stopwatch.turn(Part.JOURNAL);
    try {
      this.#awaitSync(lsn);
    } finally {
      stopwatch.turn(before);
    }
  }

  #awaitSync(lsn: number): void {
    const shared = this.#shared;
    for (;;) {
      shared.throwUnlessUsable();
      const seen = shared.progress();
      if (shared.durableLsn >= lsn) return;
      this.#assertPublished(lsn);
      if (shared.tryLock(SYNC_LOCK)) {
        try {
          this.#flushAndSync();
        } finally {
          shared.unlock(SYNC_LOCK);
        }
      } else {
        shared.pause(seen);
      }
    }
  }

  /** Runs `body` under FLUSH_LOCK, with the ring flushed. */
  underFlushLock<T>(body: () => T): T {
    const shared = this.#shared;
    shared.lock(FLUSH_LOCK);
    try {
      this.#writer.flush();
      return body();
    } finally {
      shared.unlock(FLUSH_LOCK);
    }
  }

  /** Runs `body` under both locks, with everything that was in the ring durable. */
  underBothLocks(body: () => void): void {
    const shared = this.#shared;
    shared.lock(SYNC_LOCK);
    try {
      this.underFlushLock(() => {
        this.#writer.sync(shared.words[WRITTEN]!, shared.writtenLsn);
        body();
      });
    } finally {
      shared.unlock(SYNC_LOCK);
    }
  }

  /** Under SYNC_LOCK. The flush lock is not held during fdatasync, so writers at `written` go on. */
  #flushAndSync(): void {
    const shared = this.#shared;
    const end = this.underFlushLock(() => ({ position: shared.words[WRITTEN]!, lsn: shared.writtenLsn }));
    this.#writer.sync(end.position, end.lsn);
  }

  #assertPublished(lsn: number): void {
    const last = this.#shared.publishedLsn;
    if (lsn <= last) return;
    throw new SpinneyError(
      'ERR_INVALID_ARGUMENT',
      `Cannot wait for LSN ${lsn}: the last one in the journal is ${last}`,
    );
  }
}
