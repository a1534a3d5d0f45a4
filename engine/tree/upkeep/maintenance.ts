/**
 * What keeps a tree going besides the calls of its users: journal flushes, checkpoint rounds, merging. It runs
 * inline (on the opener's timers and inside calls that need it) or in a maintenance worker. `Maintenance` is what
 * the rest of the tree asks for, whichever does it.
 */
import type { CheckpointOptions } from '../../api.js';
import { roundDueAt } from '../../cache/held-frames.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE, CHECKPOINT_JOURNAL_BYTES, JOURNAL_SEGMENT_BYTES } from '../../limits.js';
import {
  C_DIRTY,
  C_OUT_OF_SPACE,
  C_PENDING,
  C_REMOVED,
  C_ROUND_WANTED,
  F_JOURNAL_AT_CAPTURE,
  F_JOURNAL_BOUND,
} from '../../shared/control.js';
import { Part, stopwatch } from '../../stopwatch.js';
import { Need, type TreeState, type Wanted } from '../state/state.js';
import { Writer } from '../write/writer.js';
import { Compaction } from './compaction.js';
import type { Round, Shortage } from './round.js';
import { deleteSnapshot, takeSnapshot } from './snapshots.js';
import { Space, type SpaceRequest } from './space.js';
import { isRoundRunning, waitForRound } from './waiting.js';

/** The options with their defaults; without a threshold of its own a round begins when it pays. */
export interface Schedule extends Required<Omit<CheckpointOptions, 'dirtyBlobThreshold'>> {
  dirtyBlobThreshold: number | undefined;
}

/**
 * The worker moves records from the ring to the segments this often at `written` and `buffered`, so that writers seldom
 * have to make room themselves. A kill loses nothing of the ring.
 */
export const FLUSH_INTERVAL_MS = 10;
/** At `written` and `buffered`, everything is made durable this often. */
export const SYNC_INTERVAL_MS = 1000;
/** Dirty blobs that make a round due where there is no journal to tell. */
const MOST_UNJOURNALLED = 64;
/** Bytes of blobs that a round may write for each byte that the journal has grown by since the last one. */
const MOST_WRITTEN_PER_JOURNAL_BYTE = 4;
/** Background merging looks at so many blobs at a time, after so many removals. */
const MERGE_SLICE = 16;
const MERGE_AFTER_REMOVALS = 1000;
/** After a failed background round the next waits this long, doubled with each failure up to the limit. */
const FIRST_BACK_OFF_MS = 50;
const LONGEST_BACK_OFF_MS = 30_000;

/** What writers need, before they can go on. */
export interface Rounds {
  /**
   * Runs a round that begins after this call; throws what made it fail. Where another thread runs it, returns as soon as
   * `isEnough`.
   */
  checkpoint(isEnough?: () => boolean): void;
  /** See `Space.find`. */
  findSpace(request: SpaceRequest): void;
}

export interface Maintenance extends Rounds {
  /** See snapshots.ts. */
  takeSnapshot(name: string): void;
  deleteSnapshot(name: string): void;
  /** As `takeSnapshot`; where another thread does it, this one does not wait for it. */
  takeSnapshotBeside(name: string): Promise<void>;
}

/** Of the thread that writes the store itself. */
export function inlineMaintenance(state: TreeState, round: Round): Maintenance {
  const space = new Space(state, (shortage) => round.run(undefined, shortage));
  return {
    checkpoint: () => round.run(),
    findSpace: (request) => space.find(request),
    takeSnapshot: (name) => takeSnapshot(state, round, name),
    takeSnapshotBeside: async (name) => takeSnapshot(state, round, name),
    deleteSnapshot: (name) => deleteSnapshot(state, round, name),
  };
}

/** What a Need names no measure for. */
const NOTHING: Wanted = { journalBytes: 0, freeSlots: 0, mayUseReserve: true };

/** Sees to what a mutation or a load lacked; holds no lock. */
export function satisfy(state: TreeState, maintenance: Rounds, need: Need, wanted = NOTHING): void {
  const before = stopwatch.turn(need.what === 'journal' ? Part.JOURNAL : Part.WAITING);
  try {
    provide(state, maintenance, need, wanted);
  } finally {
    stopwatch.turn(before);
  }
}

function provide(state: TreeState, maintenance: Rounds, need: Need, wanted: Wanted): void {
  if (need.what === 'frames') waitForFrames(state, maintenance);
  else if (need.what === 'pace') waitForPace(state, maintenance);
  // Only a round in another thread leaves pre-images, and it frees their slots even when it fails.
  else if (need.what === 'pre-image') waitForRound(state, () => state.preImages.free > 0);
  else findSpace(state, maintenance, need, wanted);
}

function findSpace(state: TreeState, maintenance: Rounds, need: Need, wanted: Wanted): void {
  const { words } = state.control;
  try {
    if (need.what === 'slots') {
      const { freeSlots, mayUseReserve } = wanted;
      maintenance.findSpace({ freeSlots, forJournal: false, forRemoval: mayUseReserve });
    } else makeJournalRoom(state, maintenance, wanted);
    if (!wanted.mayUseReserve && Atomics.load(words, C_OUT_OF_SPACE) !== 0)
      Atomics.store(words, C_OUT_OF_SPACE, 0);
  } catch (error) {
    if (isNoSpace(error) && !wanted.mayUseReserve) Atomics.store(words, C_OUT_OF_SPACE, 1);
    throw error;
  }
}

function makeJournalRoom(state: TreeState, maintenance: Rounds, wanted: Wanted): void {
  const { journal } = state;
  if (journal === undefined) return;
  const { journalBytes, mayUseReserve } = wanted;
  try {
    enlargeRing(state, journalBytes);
    journal.makeRoom(journalBytes, mayUseReserve);
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    // After a checkpoint the segments before are not needed any more.
    maintenance.findSpace({ freeSlots: 0, forJournal: true, forRemoval: mayUseReserve });
    enlargeRing(state, journalBytes);
    journal.makeRoom(journalBytes, mayUseReserve);
  }
}

function enlargeRing(state: TreeState, journalBytes: number): void {
  const growth = state.journal?.ringGrowth;
  if (growth === undefined || !growth.isDue(journalBytes)) return;
  const ringBytes = growth.prepare(journalBytes);
  if (ringBytes === 0) return;
  state.lockTree();
  try {
    growth.enlarge(ringBytes);
  } finally {
    state.treeLock.unlock();
  }
}

function isNoSpace(error: unknown): boolean {
  return error instanceof SpinneyError && error.code === 'ERR_NO_SPACE';
}

/** The end of a round frees frames: of the one that goes on, or else of one that is made for it. */
function waitForFrames(state: TreeState, maintenance: Rounds): void {
  const ended = state.roundCount;
  if (!isRoundRunning(state)) maintenance.checkpoint();
  else waitForRound(state, () => state.roundCount !== ended || !isRoundRunning(state));
}

/** A round that goes on lets ever more frames become dirty, and so does one that begins. */
function waitForPace(state: TreeState, maintenance: Rounds): void {
  const { cache } = state;
  const keepsStep = (): boolean => cache.dirty < cache.pace;
  if (isRoundRunning(state)) waitForRound(state, () => keepsStep() || !isRoundRunning(state));
  else maintenance.checkpoint(keepsStep);
}

/** The work itself, done by whichever thread hosts it. */
export class Chores {
  readonly #state: TreeState;
  readonly #round: Round;
  readonly #schedule: Schedule;
  readonly #compaction: Compaction;
  readonly #tendDuringRound = (): void => {
    const now = performance.now();
    if (now - this.#lastTended >= FLUSH_INTERVAL_MS) this.#tendJournal(now);
  };
  readonly #space: Space;
  #lastSync = 0;
  #lastTended = 0;
  #lastLook = 0;
  #failures = 0;
  #notBefore = 0;
  #mergedAt = 0;

  constructor(state: TreeState, round: Round, schedule: Schedule) {
    this.#state = state;
    this.#round = round;
    this.#schedule = schedule;
    this.#space = new Space(state, (shortage) => this.runRound(shortage));
    const inline: Rounds = {
      checkpoint: () => this.runRound(),
      findSpace: (request) => this.findSpace(request),
    };
    const writer = new Writer(state, (need, wanted) => satisfy(state, inline, need, wanted));
    this.#compaction = new Compaction(state, writer);
  }

  /** A round, however long, beside which the journal is tended. Throws the error that made it fail. */
  runRound(shortage?: Shortage): void {
    this.#round.run(this.#tendDuringRound, shortage);
  }

  takeSnapshot(name: string): void {
    takeSnapshot(this.#state, this.#round, name, this.#tendDuringRound);
  }

  deleteSnapshot(name: string): void {
    deleteSnapshot(this.#state, this.#round, name, this.#tendDuringRound);
  }

  /** See `Space.find`. */
  findSpace(request: SpaceRequest): void {
    this.#space.find(request);
  }

  /** Does what is due at `now` (ms); returns in how many ms to look again, or Infinity: when something happens. */
  run(now: number): number {
    const journal = this.#tendJournal(now);
    const rounds = this.#schedule.enabled ? this.#tendRounds(now) : Number.POSITIVE_INFINITY;
    return Math.min(journal, rounds);
  }

  #tendJournal(now: number): number {
    const { journal } = this.#state;
    this.#lastTended = now;
    if (journal === undefined) return Number.POSITIVE_INFINITY;
    try {
      if (journal.unsyncedBytes() === 0) {
        this.#lastSync = now;
        return Number.POSITIVE_INFINITY;
      }
      if (now - this.#lastSync >= SYNC_INTERVAL_MS) {
        journal.sync();
        this.#lastSync = now;
        return journal.durability === 'synced' ? SYNC_INTERVAL_MS : FLUSH_INTERVAL_MS;
      }
      if (journal.durability === 'synced') return SYNC_INTERVAL_MS - (now - this.#lastSync);
      if (journal.unflushedBytes() > 0) journal.flush();
      return FLUSH_INTERVAL_MS;
    } catch {
      // The journal has latched its failure: every writer is told, and there is nothing left to tend.
      return Number.POSITIVE_INFINITY;
    }
  }

  #tendRounds(now: number): number {
    const { idleIntervalMs, autoMerge } = this.#schedule;
    const isWanted = Atomics.load(this.#state.control.words, C_ROUND_WANTED) !== 0 && now >= this.#notBefore;
    if (!isWanted && now - this.#lastLook < idleIntervalMs) return this.#lastLook + idleIntervalMs - now;
    this.#lastLook = now;
    let isWell = true;
    try {
      isWell = this.#space.tend();
      if (this.#isDue() && now >= this.#notBefore) {
        this.runRound();
        this.#failures = 0;
      }
      if (autoMerge) this.#mergeSome();
    } catch (error) {
      if (error instanceof Need) throw error;
      // Kept for stats by the round itself; the next one tries again.
      this.#notBefore = now + Math.min(FIRST_BACK_OFF_MS * 2 ** this.#failures, LONGEST_BACK_OFF_MS);
      this.#failures++;
    }
    return this.#hasWork() || !isWell ? idleIntervalMs : Number.POSITIVE_INFINITY;
  }

  #isDue(): boolean {
    const { cache, blobCount, control, journal, store } = this.#state;
    if (this.#failures > 0) return this.#hasWork() || store.needsFlush();
    const { dirty, heldLimit } = cache;
    const { dirtyBlobThreshold } = this.#schedule;
    if (dirty >= (dirtyBlobThreshold ?? roundDueAt(heldLimit, blobCount))) return true;
    if (journal === undefined) return dirty >= MOST_UNJOURNALLED;
    const bound = Math.min(journalBound(dirty), control.floats[F_JOURNAL_BOUND] as number);
    return journal.counters().bytes - (control.floats[F_JOURNAL_AT_CAPTURE] as number) >= bound;
  }

  #hasWork(): boolean {
    const { words } = this.#state.control;
    return Atomics.load(words, C_DIRTY) > 0 || Atomics.load(words, C_PENDING) > 0;
  }

  #mergeSome(): void {
    const removed = Atomics.load(this.#state.control.words, C_REMOVED);
    if (!this.#compaction.isMerging) {
      if (((removed - this.#mergedAt) | 0) < MERGE_AFTER_REMOVALS) return;
      this.#mergedAt = removed;
    }
    this.#compaction.mergeSome(MERGE_SLICE);
  }
}

/**
 * A round is due after so many bytes of journal: a segment, or more where there are so many blobs to write that it would not
 * pay, up to what recovery may take.
 */
function journalBound(dirty: number): number {
  const paying = (dirty * BLOB_SIZE) / MOST_WRITTEN_PER_JOURNAL_BYTE;
  return Math.min(Math.max(JOURNAL_SEGMENT_BYTES, paying), CHECKPOINT_JOURNAL_BYTES);
}

/** Maintenance on the opener's own thread. */
export class InlineMaintenance implements Maintenance {
  readonly #inline: Maintenance;
  readonly #chores: Chores;
  readonly #timer: NodeJS.Timeout;

  constructor(state: TreeState, round: Round, schedule: Schedule) {
    this.#inline = inlineMaintenance(state, round);
    this.#chores = new Chores(state, round, schedule);
    // Several looks per sync: one that comes a moment too early does not put it off by a whole interval.
    const interval = Math.min(schedule.idleIntervalMs, SYNC_INTERVAL_MS / 4);
    this.#timer = setInterval(() => this.#chores.run(performance.now()), interval);
    this.#timer.unref();
  }

  checkpoint(): void {
    this.#inline.checkpoint();
  }

  findSpace(request: SpaceRequest): void {
    this.#inline.findSpace(request);
  }

  takeSnapshot(name: string): void {
    this.#inline.takeSnapshot(name);
  }

  takeSnapshotBeside(name: string): Promise<void> {
    return this.#inline.takeSnapshotBeside(name);
  }

  deleteSnapshot(name: string): void {
    this.#inline.deleteSnapshot(name);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
