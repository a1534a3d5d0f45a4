/**
 * Salvages the records of a damaged store into a new tree.
 *
 * In this order, so that what is surer goes over what is less sure: records that only older images of damaged blobs have,
 * and those of blobs to which no way is left; then the records of all sound blobs; then the journal. So a key of the new
 * tree whose version is not above `olderLsn` is one that only an older image has: grafts keep versions, and all
 * that was written or removed since has gone over it.
 */

import type { PreviousEnd } from '../api.js';
import { ROOT_BLOB, TOMBSTONE, WAITING_BLOBS, WAITING_ROOTS } from '../art/layout.js';
import { SpinneyError } from '../errors.js';
import type { WorkProgress } from '../progress.js';
import type { BlobId } from '../store/blob-store.js';
import { printable } from '../tree/state/arguments.js';
import type { Tree } from '../tree/tree.js';
import { walkImage } from './image-walk.js';
import { type SalvagedJournal, salvageJournal } from './journal-salvage.js';
import { type Replayed, replayAll, replayWithoutMark, visitPuts } from './replay.js';
import type { Wreck } from './wreck.js';

/**
 * What repair did or could not do. `lost`: something could not be salvaged. `older`: what is there may be of an earlier time.
 * `mended`: set right, nothing is lost by it. `note`: worth knowing.
 */
export interface RepairFinding {
  kind: 'lost' | 'older' | 'mended' | 'note';
  message: string;
}

export interface SalvageOptions {
  /** The damaged store, open. */
  wreck: Wreck;
  /** New and empty. */
  tree: Tree;
  /** Whether records inside damaged images are wanted, which nothing proves. */
  unproven: boolean;
  progress: WorkProgress;
  report: (finding: RepairFinding) => void;
  /**
   * Where to keep a record whose place is not known, or whose key is not proven: `rest` is the end of its key, or all of it
   * where `isWhole`. Undefined: nowhere.
   */
  detached: (blobId: BlobId, rest: Uint8Array, value: Uint8Array, isWhole: boolean) => Uint8Array | undefined;
}

export interface Salvaged {
  blobs: number;
  damagedBlobs: number;
  records: number;
  journalRecords: number;
  /** Versions up to this are of keys that only older or detached images have. */
  olderLsn: number;
  /** Whether records may be missing. */
  isIncomplete: boolean;
  /** Names of the damaged store's snapshots, as far as its manifest tells: none of them is salvaged. */
  snapshots: string[];
  previousEnd: PreviousEnd;
  /** LSN of the last record that counts. */
  lastLsn: number;
  /** Calls `visit` with all values that were put after this LSN, wherever they are now. REQUIRES that the wreck is open. */
  putAfter: (lsn: number, visit: (value: Uint8Array) => void) => void;
}

/** @throws ERR_IO; what writing to the tree throws */
export function salvage(options: SalvageOptions): Salvaged {
  return new Salvage(options).run();
}

interface Place {
  id: BlobId;
  prefix: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
/** The new tree's journal is cut after this many bytes of records. */
const CHECKPOINT_BYTES = 128 * 1024 * 1024;

class Salvage {
  readonly #wreck: Wreck;
  readonly #options: SalvageOptions;
  readonly #tree: Tree;
  /** Blobs to which sound ones lead, and their prefixes. */
  readonly #reached = new Map<BlobId, Uint8Array>();
  /** Blobs to which sound ones lead, and which are damaged. */
  readonly #wounded: Place[] = [];
  /** Seen without being reached: by way of older images, or by none. */
  readonly #seen = new Set<BlobId>();
  /** By checkpoint: the newest version that its images have. */
  readonly #newestOf = new Map<number, number>();
  #records = 0;
  #bytes = 0;
  #isIncomplete = false;

  constructor(options: SalvageOptions) {
    this.#wreck = options.wreck;
    this.#options = options;
    this.#tree = options.tree;
  }

  run(): Salvaged {
    const wreck = this.#wreck;
    if (wreck.manifestLoss !== undefined) {
      this.#report('note', `${wreck.manifestLoss}; the newest sound image of each blob is taken`);
    }
    this.#survey();
    for (const place of this.#wounded) this.#salvageWounded(place);
    this.#salvageDetached();
    const olderLsn = this.#tree.lastLsn();
    this.#salvageReached();
    const journal = salvageJournal(wreck);
    if (journal.problem !== undefined) {
      this.#lost(`${journal.problem}; records before that place are kept, those behind it are left out`);
    }
    if (journal.truncated !== undefined) {
      const { file, offset } = journal.truncated;
      this.#report('mended', `${file}: an unfinished write at offset ${offset} is left out`);
    }
    this.#options.progress.begin('playing the journal', 0);
    const replayed =
      wreck.manifest === undefined
        ? replayWithoutMark(journal, this.#tree, olderLsn, Math.max(...this.#newestOf.values(), 0))
        : replayAll(journal, this.#tree, olderLsn);
    if (wreck.manifest === undefined) this.#doubtCovered(replayed);
    this.#tellMoves(replayed);
    return {
      blobs: this.#reached.size,
      damagedBlobs: this.#wounded.length,
      records: this.#records,
      journalRecords: replayed.records,
      olderLsn,
      isIncomplete: this.#isIncomplete,
      snapshots: wreck.manifest?.pins.pins.map(({ name }) => name) ?? [],
      previousEnd: journal.previousEnd,
      lastLsn: Math.max(wreck.mark?.lsn ?? 0, replayed.lastLsn),
      putAfter: (lsn, visit) => this.#putAfter(journal, lsn, visit),
    };
  }

  #putAfter(journal: SalvagedJournal, after: number, visit: (value: Uint8Array) => void): void {
    const record = (_rest: Uint8Array, value: Uint8Array, version: number): void => {
      if (version > after && version < TOMBSTONE) visit(value);
    };
    for (const id of this.#reached.keys()) if (this.#wreck.read(id)) walkImage(this.#wreck.frame, { record });
    visitPuts(journal, (lsn, value) => {
      if (lsn > after) visit(value);
    });
  }

  #report(kind: RepairFinding['kind'], message: string): void {
    this.#options.report({ kind, message });
  }

  #lost(message: string): void {
    this.#isIncomplete = true;
    this.#report('lost', message);
  }

  /** What is there may be of an earlier time, and other things missing. */
  #doubt(message: string): void {
    this.#isIncomplete = true;
    this.#report('older', message);
  }

  /**
   * Without the manifest: moves that some blob has are taken to be in all of them. Not so where the checkpoint that wrote it did
   * not come to its end, and others are of the one before.
   */
  #doubtCovered({ lastCovered }: Replayed): void {
    const last = Math.max(...this.#newestOf.keys());
    const earlier = [...this.#newestOf].flatMap(([generation, version]) =>
      generation < last ? [version] : [],
    );
    if (lastCovered === 0 || earlier.length === 0 || Math.max(...earlier) >= lastCovered) return;
    this.#doubt(
      `Only blobs of checkpoint ${last} have the moves of directories up to LSN ${lastCovered}: if it did not come to its end, ` +
        'what was moved or written before may be missing, or at two places',
    );
  }

  #tellMoves({ unprovenMoves }: Replayed): void {
    const [first] = unprovenMoves;
    if (first === undefined) return;
    this.#lost(
      `The journal has ${unprovenMoves.length} moves of directories, from LSN ${first} on, of which nothing proves that the blobs ` +
        'have them not: they are left out, and what was moved may be at its old place or under lost+found',
    );
  }

  /** Follows the ways from the first blob through sound images. */
  #survey(): void {
    const wreck = this.#wreck;
    const ids = wreck.ids();
    if (ids.length === 0) return;
    this.#options.progress.begin('reading blobs', wreck.manifest === undefined ? 0 : ids.length);
    this.#follow(ROOT_BLOB);
    // Changes that wait come after what they change.
    const gone = new Set(wreck.mark?.pendingDeletes);
    for (const id of ids) {
      if (id < WAITING_ROOTS || gone.has(id)) continue;
      this.#follow(id);
      if (wreck.manifest !== undefined) continue;
      this.#doubt(
        `Blob ${id}: changes waited in it; where keys are in the tree, too, these are taken, which may be older`,
      );
    }
  }

  #follow(root: BlobId): void {
    const wreck = this.#wreck;
    const known = new Set<BlobId>([root]);
    const queue: Place[] = [{ id: root, prefix: NO_BYTES }];
    for (let place = queue.pop(); place !== undefined; place = queue.pop()) {
      const { id, prefix } = place;
      this.#options.progress.step();
      const { remains, doubt } = wreck.look(id);
      if (remains !== 'current') {
        this.#wounded.push(place);
        continue;
      }
      if (doubt !== undefined)
        this.#doubt(`Blob ${id}: ${doubt}; its keys begin with "${printable(prefix)}"`);
      this.#reached.set(id, prefix);
      if (wreck.manifest?.rows.get(id)?.crossings === 0 || !wreck.read(id)) continue;
      walkImage(wreck.frame, {
        crossing: (way, other) => {
          if (known.has(other)) return;
          known.add(other);
          queue.push({ id: other, prefix: Buffer.concat([prefix, way]) });
        },
      });
    }
  }

  #salvageWounded(place: Place): void {
    const wreck = this.#wreck;
    const { remains, generation, reason } = wreck.look(place.id);
    const which = `Blob ${place.id}: ${reason}; its keys begin with "${printable(place.prefix)}"`;
    if (remains !== 'older') {
      this.#lost(
        `${which}; no other image of it is left${this.#salvageUnproven(place, remains === 'damaged')}`,
      );
      return;
    }
    this.#doubt(
      `${which}; its image of checkpoint ${generation}, which is older than the rest, gives what it has`,
    );
    this.#salvageOlder([place]);
  }

  /** Takes what older images have, and what is below them and not reached otherwise. */
  #salvageOlder(queue: Place[]): void {
    const wreck = this.#wreck;
    for (let place = queue.pop(); place !== undefined; place = queue.pop()) {
      const { id, prefix } = place;
      if (this.#seen.has(id) || this.#reached.has(id)) continue;
      const { remains } = wreck.look(id);
      if (remains === 'missing' || remains === 'damaged' || !wreck.read(id)) continue;
      this.#seen.add(id);
      walkImage(wreck.frame, {
        record: (rest, value, version) => {
          if (version < TOMBSTONE) this.#keep(Buffer.concat([prefix, rest]), value, true);
        },
        crossing: (way, other) => queue.push({ id: other, prefix: Buffer.concat([prefix, way]) }),
      });
    }
  }

  /** Returns what to say of the records in a damaged image. */
  #salvageUnproven({ id, prefix }: Place, isThere: boolean): string {
    if (!isThere || !this.#wreck.read(id)) return '';
    let count = 0;
    walkImage(this.#wreck.frame, {
      record: (rest, value, version) => {
        if (version >= TOMBSTONE) return;
        const key = this.#options.detached(id, Buffer.concat([prefix, rest]), value, true);
        if (key === undefined) return;
        count++;
        if (this.#options.unproven) this.#keep(key, value, true);
      },
    });
    if (count === 0) return '';
    return this.#options.unproven
      ? `; ${count} of its records look whole, and are under lost+found, unproven`
      : `; ${count} of its records look whole: --unproven keeps them under lost+found`;
  }

  /** Blobs to which nothing leads any more. */
  #salvageDetached(): void {
    const wreck = this.#wreck;
    // Without a manifest there are images of blobs that left the tree long ago.
    if (wreck.manifest === undefined && this.#wounded.length === 0) return;
    const wounded = new Set(this.#wounded.map(({ id }) => id));
    const left = new Set(
      wreck.ids().filter((id) => !this.#reached.has(id) && !this.#seen.has(id) && !wounded.has(id)),
    );
    const tops = new Set(left);
    for (const id of left) {
      if (!this.#isSound(id)) continue;
      walkImage(wreck.frame, { crossing: (_way, other) => void tops.delete(other) });
    }
    for (const id of tops) this.#salvageTop(id);
  }

  #isSound(id: BlobId): boolean {
    const { remains } = this.#wreck.look(id);
    return (remains === 'current' || remains === 'older') && this.#wreck.read(id);
  }

  #salvageTop(top: BlobId): void {
    const wreck = this.#wreck;
    let count = 0;
    const queue: Place[] = [{ id: top, prefix: NO_BYTES }];
    for (let place = queue.pop(); place !== undefined; place = queue.pop()) {
      const { id, prefix } = place;
      if (this.#seen.has(id) || this.#reached.has(id) || !this.#isSound(id)) continue;
      this.#seen.add(id);
      walkImage(wreck.frame, {
        record: (rest, value, version) => {
          if (version >= TOMBSTONE) return;
          const key = this.#options.detached(top, Buffer.concat([prefix, rest]), value, false);
          if (key === undefined) return;
          count++;
          this.#keep(key, value, true);
        },
        crossing: (way, other) => queue.push({ id: other, prefix: Buffer.concat([prefix, way]) }),
      });
    }
    if (wreck.manifest === undefined && count === 0) return;
    this.#lost(
      `Blob ${top}: what leads to it is lost; ${count} records of it, and of blobs below it, are under lost+found`,
    );
  }

  #salvageReached(): void {
    this.#options.progress.begin('copying records', this.#reached.size);
    for (const [id, prefix] of this.#reached) {
      this.#options.progress.step();
      if (!this.#wreck.read(id)) {
        this.#lost(
          `Blob ${id}: it could be read once, and not again; its keys begin with "${printable(prefix)}"`,
        );
        continue;
      }
      let newest = 0;
      walkImage(this.#wreck.frame, {
        record: (rest, value, version) => {
          newest = Math.max(newest, version % TOMBSTONE);
          const key = Buffer.concat([prefix, rest]);
          if (id < WAITING_BLOBS) this.#keep(key, value, false);
          else this.#keepWaiting(key, value, version >= TOMBSTONE);
        },
      });
      const { generation } = this.#wreck.look(id);
      this.#newestOf.set(generation, Math.max(newest, this.#newestOf.get(generation) ?? 0));
    }
  }

  /** Without the manifest what waits may have come into the tree long ago, and have changed since. */
  #keepWaiting(key: Uint8Array, value: Uint8Array, isDeleted: boolean): void {
    const isCertain = this.#wreck.manifest !== undefined;
    if (!isDeleted) this.#keep(key, value, !isCertain);
    else if (isCertain) this.#tree.delete(key);
  }

  #keep(key: Uint8Array, value: Uint8Array, onlyIfAbsent: boolean): void {
    try {
      if (!onlyIfAbsent) this.#tree.put(key, value);
      else if (!this.#tree.putIfAbsent(key, value)) return;
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code !== 'ERR_KEY_TOO_LARGE') throw error;
      this.#lost(
        `The key "${printable(key)}" has ${key.length} bytes, more than can be written: it is left out`,
      );
      return;
    }
    this.#records++;
    this.#bytes += key.length + value.length;
    if (this.#bytes < CHECKPOINT_BYTES) return;
    this.#bytes = 0;
    this.#tree.checkpoint();
  }
}
