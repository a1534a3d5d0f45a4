/**
 * The words that all threads of an open tree share, besides frames, page table and journal.
 *
 * Rules: words marked (L) are read and written by the thread that has the tree lock for itself, or where said under the
 * append lock inside it; counters marked (S) are approximate sums that
 * only stats read; all others through Atomics. Numbers beyond 32 bits stand in the f64 area, under the same rules.
 */
import { HISTOGRAM_SIZE, Histogram } from '../histogram.js';
import { JOURNAL_SEGMENT_BYTES } from '../limits.js';
import { GATE_ROW } from './gate.js';
import { MUTEX_WORDS } from './mutex.js';
import { SharedText } from './shared-text.js';
import { UNREADABLE_BYTES, UnreadableBlobs } from './unreadable-blobs.js';

// Int32 words.
export const C_TREE_LOCK = 0;
/** One checkpoint round at a time. */
export const C_ROUND_LOCK = C_TREE_LOCK + MUTEX_WORDS;
/** One compaction at a time, so blobs leave the tree only by the hand of its holder. */
export const C_COMPACT_LOCK = C_ROUND_LOCK + MUTEX_WORDS;
/** Orders the writers of single keys, who pass the tree lock together, in the journal. */
export const C_APPEND_LOCK = C_COMPACT_LOCK + MUTEX_WORDS;
/** The next blob id (L). */
export const C_NEXT_BLOB = C_APPEND_LOCK + MUTEX_WORDS;
/** Blobs in the tree (L). */
export const C_BLOB_COUNT = C_NEXT_BLOB + 1;
/** Frames that are dirty, and frames that are dirty or captured (L). */
export const C_DIRTY = C_BLOB_COUNT + 1;
export const C_HELD = C_DIRTY + 1;
/** Pending deletes; the first of them belong to the round under way (L). */
export const C_PENDING = C_HELD + 1;
/** Rounds asked for, and how many of those have ended. */
export const C_ROUNDS_ASKED = C_PENDING + 1;
export const C_ROUNDS_ENDED = C_ROUNDS_ASKED + 1;
/** Whether the last round failed, and whether the last one that was asked for did. */
export const C_ROUND_FAILED = C_ROUNDS_ENDED + 1;
export const C_ASKED_FAILED = C_ROUND_FAILED + 1;
/** Keys removed so far, modulo 2^32: tells whether merging may have something to do. */
export const C_REMOVED = C_ASKED_FAILED + 1;
/** One of the MAINTENANCE_ values. */
export const C_MAINTENANCE_STATE = C_REMOVED + 1;
export const C_CLOSED = C_MAINTENANCE_STATE + 1;
/**
 * Bumped whenever a round has come further: a slot for pre-images is free, a blob is written, the round has ended. Whoever
 * waits for a round sleeps on it.
 */
export const C_ROUND_BELL = C_CLOSED + 1;
/** Clock hand (L). */
export const C_CLOCK_HAND = C_ROUND_BELL + 1;
/** Frames never used so far begin here (L). */
export const C_FRESH_FRAMES = C_CLOCK_HAND + 1;
/** Head of the list of frames given back, index + 1 (L). */
export const C_FREE_FRAMES = C_FRESH_FRAMES + 1;
/**
 * Grafts begun. When what is above a blob moves, the blob keeps its frame and version while its keys change: readers
 * validate this word too.
 */
export const C_GRAFTS = C_FREE_FRAMES + 1;
/** Views begun so far (L): each has the number as its epoch. */
export const C_VIEW_EPOCH = C_GRAFTS + 1;
/** Frames that may be dirty while a round goes on, so that writers keep step with it; else NO_PACE. */
export const C_MAY_BE_DIRTY = C_VIEW_EPOCH + 1;
/** 1 while a round goes on, and how many have ended, modulo 2^32. */
export const C_ROUND_RUNNING = C_MAY_BE_DIRTY + 1;
export const C_ROUND_COUNT = C_ROUND_RUNNING + 1;
/** 1 once so many frames are dirty that a round should begin, until one has. */
export const C_ROUND_WANTED = C_ROUND_COUNT + 1;
/**
 * Slots of the store's data file that have disk space and are not meant for a frame that is dirty: what may become dirty
 * still and be sure of its checkpoint. Taken from under the tree lock; the store's writer adds what it made ready.
 */
export const C_FREE_SLOTS = C_ROUND_WANTED + 1;
/** Space asked for, and how many of those requests have been seen to; waiters sleep on the second. */
export const C_SPACE_ASKED = C_FREE_SLOTS + 1;
export const C_SPACE_ENDED = C_SPACE_ASKED + 1;
/** How many free slots are asked for at most, and of which kinds the requests are: bits. */
export const C_SLOTS_WANTED = C_SPACE_ENDED + 1;
export const C_SPACE_KINDS = C_SLOTS_WANTED + 1;
/** Why the last request for space was of no use; SPACE_ values. */
export const C_SPACE_OUTCOME = C_SPACE_KINDS + 1;
/** 1 since a write was refused for want of space, until there is some again. */
export const C_OUT_OF_SPACE = C_SPACE_OUTCOME + 1;
/** One thread at a time asks the maintenance worker about a snapshot, by the text `request`; it gets what failed by the same way. */
export const C_SNAPSHOT_LOCK = C_OUT_OF_SPACE + 1;
export const C_SNAPSHOTS_ASKED = C_SNAPSHOT_LOCK + MUTEX_WORDS;
export const C_SNAPSHOTS_ENDED = C_SNAPSHOTS_ASKED + 1;
/** One of the SNAPSHOT_ values; and whether it failed. */
export const C_SNAPSHOT_ACTION = C_SNAPSHOTS_ENDED + 1;
export const C_SNAPSHOT_FAILED = C_SNAPSHOT_ACTION + 1;
/** First blob of the tree of waiting changes, 0: nothing waits (L; looked at by all); its blobs; the number of its next one (L). */
export const C_WAITING_ROOT = C_SNAPSHOT_FAILED + 1;
export const C_WAITING_BLOBS = C_WAITING_ROOT + 1;
export const C_NEXT_WAITING = C_WAITING_BLOBS + 1;
/** So many threads want that nothing more waits, until all that does is merged. */
export const C_WAITING_BARRED = C_NEXT_WAITING + 1;
export const CONTROL_WORDS = 128;

// Values of C_SNAPSHOT_ACTION.
export const SNAPSHOT_TAKE = 1;
export const SNAPSHOT_DELETE = 2;

// Bits of C_SPACE_KINDS.
export const SPACE_FOR_JOURNAL = 1;
export const SPACE_FOR_REMOVAL = 2;

// Values of C_SPACE_OUTCOME.
export const SPACE_FOUND = 0;
export const SPACE_LACKING = 1;
/** The round that was to find it failed, and left its error. */
export const SPACE_ROUND_FAILED = 2;
/** C_FREE_SLOTS of a store that has no slots of a disk. */
export const UNLIMITED_SLOTS = 1 << 30;

/** Value of C_MAY_BE_DIRTY, beyond what a cache has frames. */
export const NO_PACE = 0x7fffffff;

// Values of C_MAINTENANCE_STATE.
export const MAINTENANCE_INLINE = 0;
export const MAINTENANCE_WORKER = 1;
export const MAINTENANCE_ENDING = 2;
export const MAINTENANCE_ENDED = 3;
/** It ended without having been told to. */
export const MAINTENANCE_DIED = 4;
/** The worker was made and has not come to life yet. */
export const MAINTENANCE_STARTING = 5;

// Float64 words.
/** LSN of the last mutation (L, or under the append lock). */
export const F_LSN = 0;
export const F_GENERATION = 1;
export const F_CHECKPOINT_LSN = 2;
export const F_ROUNDS = 3;
export const F_FAILURES = 4;
export const F_LAST_ROUND_MS = 5;
export const F_SPILLOVERS = 6;
export const F_MERGES = 7;
export const F_COMPACTIONS = 8;
/** Bytes the journal had taken at the last capture. */
export const F_JOURNAL_AT_CAPTURE = 9;
/** So many bytes of journal since the last round make the next one due: less where the disk is nearly full. */
export const F_JOURNAL_BOUND = 10;
/** Bytes that the disk had left when it was last looked at. */
export const F_FREE_BYTES = 11;
/** The LSN at the last round that was made because whoever adds lacked space. */
export const F_FORCED_LSN = 12;
/** When the last round succeeded, in ms since 1970; 0: none has. */
export const F_LAST_ROUND_AT = 13;
/** Bytes the journal had taken at the capture of the last checkpoint that was published. */
export const F_JOURNAL_AT_CHECKPOINT = 14;
export const CONTROL_FLOATS = 16;

/** Counters (S), a row for each thread: a cache line. */
export const S_HITS = 0;
export const S_MISSES = 1;
export const S_RESTARTS = 2;
export const S_COLD_READS = 3;
export const COUNTER_FLOATS = 8;
export const MAX_THREADS = 256;

/** Room for pending deletes; a writer that would need more waits for a checkpoint. */
export const PENDING_CAPACITY = 1 << 20;

const TEXT_BYTES = 4096;

export class Control {
  readonly buffer: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly floats: Float64Array;
  readonly counters: Float64Array;
  /** The rows of the tree lock. */
  readonly gate: Int32Array;
  readonly pending: Int32Array;
  readonly unreadable: UnreadableBlobs;
  /** Of rounds that succeeded; recorded under the round lock. */
  readonly rounds: Histogram;
  /** Of blobs that were read into the cache; recorded by who has the tree lock for itself. */
  readonly loads: Histogram;
  /** Why the last round failed. Atomics on the word that announces it order it; so with `request`. */
  readonly lastRound: SharedText;
  /** Name of the snapshot that is asked for, and then why that failed. */
  readonly request: SharedText;

  /** Makes a new block, or attaches to `buffer`. */
  constructor(buffer?: SharedArrayBuffer) {
    const floatsAt = CONTROL_WORDS * 4;
    const countersAt = floatsAt + CONTROL_FLOATS * 8;
    const roundsAt = countersAt + MAX_THREADS * COUNTER_FLOATS * 8;
    const loadsAt = roundsAt + HISTOGRAM_SIZE * 8;
    const gateAt = loadsAt + HISTOGRAM_SIZE * 8;
    const messagesAt = gateAt + MAX_THREADS * GATE_ROW * 4;
    const unreadableAt = messagesAt + 2 * TEXT_BYTES;
    const pendingAt = unreadableAt + UNREADABLE_BYTES;
    this.buffer = buffer ?? new SharedArrayBuffer(pendingAt + PENDING_CAPACITY * 4);
    this.words = new Int32Array(this.buffer, 0, CONTROL_WORDS);
    this.floats = new Float64Array(this.buffer, floatsAt, CONTROL_FLOATS);
    this.counters = new Float64Array(this.buffer, countersAt, MAX_THREADS * COUNTER_FLOATS);
    this.rounds = new Histogram(new Float64Array(this.buffer, roundsAt, HISTOGRAM_SIZE));
    this.loads = new Histogram(new Float64Array(this.buffer, loadsAt, HISTOGRAM_SIZE));
    this.gate = new Int32Array(this.buffer, gateAt, MAX_THREADS * GATE_ROW);
    this.lastRound = new SharedText(this.buffer, messagesAt, TEXT_BYTES);
    this.request = new SharedText(this.buffer, messagesAt + TEXT_BYTES, TEXT_BYTES);
    this.unreadable = new UnreadableBlobs(this.buffer, unreadableAt);
    this.pending = new Int32Array(this.buffer, pendingAt, PENDING_CAPACITY);
    if (buffer !== undefined) return;
    this.words[C_FREE_SLOTS] = UNLIMITED_SLOTS;
    this.floats[F_JOURNAL_BOUND] = JOURNAL_SEGMENT_BYTES;
    this.floats[F_FORCED_LSN] = Number.NEGATIVE_INFINITY;
  }

  sumCounter(counter: number): number {
    let sum = 0;
    for (let i = 0; i < MAX_THREADS; i++) sum += this.counters[i * COUNTER_FLOATS + counter] ?? 0;
    return sum;
  }
}
