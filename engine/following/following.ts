/**
 * Follows a store in an object store that another writes: a tree of one's own becomes what that tree was, moment by moment.
 *
 * What must hold:
 * - The tree is, whenever nothing is played, exactly what the writer's was at one LSN; and that never goes back.
 * - An object of the journal is played as a whole, and a checkpoint that is adopted is, too: as the records that lead there.
 * - What was played in part is adopted anew before anything else.
 * - No object of the journal is passed before it was played, and no checkpoint of HEAD before it is known to have nothing more: whatever fails in between is looked at again.
 * - What is shown stays pinned until what comes after it is played. A checkpoint is adopted by a follower of its own, which takes the place of the other once all is done.
 *
 * A checkpoint is adopted where the journal does not lead on: what comes next in it was deleted, or was never there, but in a checkpoint. The manifest of HEAD is pinned at all
 * times, so that the contents that the tree promises stay for whoever reads them.
 */
import type { TreeReads } from '../api.js';
import type { Disk } from '../disk/disk.js';
import { SpinneyError } from '../errors.js';
import { encodeRecord } from '../journal/records/record.js';
import { FOLLOW_INTERVAL_MS, LEAST_DEFAULT_CACHE_BYTES } from '../limits.js';
import { SILENT } from '../progress.js';
import type { Followed, RemoteFollower } from '../remote/follower.js';
import { waitOutMs } from '../remote/objects/lease.js';
import { readManifest } from '../remote/objects/manifest.js';
import type { Position } from '../remote/objects/names.js';
import type { Site } from '../remote/site.js';
import { type Catalog, catalogOf } from '../shipping/checkpoints/catalog.js';
import { recordsOf } from '../shipping/records.js';
import { FetchedCheckpoint } from '../shipping/verify/fetched-checkpoint.js';
import { ScratchFile } from '../shipping/verify/scratch-file.js';
import { hasCode } from '../store/object/errors.js';
import { Tree } from '../tree/tree.js';
import { recordsBetween } from './difference.js';

/** A tree that follows, in whatever thread it is. */
export interface FollowedTree {
  /** The tree as it is. Read only while nothing is played. */
  readonly reads: Pick<TreeReads, 'range'>;
  /**
   * Plays bodies of records, as a remote's journal has them, one after another, whatever LSNs they tell. Nobody sees the tree before all are
   * played. Where it rejects, any part of them may be; and then nobody sees the tree until a later call has succeeded, unless `isStepwise`: each record
   * alone leads to a moment that was.
   */
  play(bodies: readonly Uint8Array[], isStepwise: boolean): Promise<void>;
}

/** Where the tree comes from, and how far it is. */
export interface FollowingOptions {
  site: Site;
  /** It has adopted the manifest that the tree is from, */
  follower: RemoteFollower;
  /** whose pin this gives up. */
  unpin: () => Promise<void>;
  /** The tree is the writer's as of then. */
  lsn: number;
  tree: FollowedTree;
  disk: Disk;
  /** An existing directory for what is fetched; nothing is left in it. */
  scratch: string;
}

export interface FollowingState {
  /** The writer's, up to which the tree has all. */
  lsn: number;
  /** Where the journal is read. */
  epoch: number;
  sequence: number;
  /** All that was in the remote so many milliseconds ago is here. */
  lagMs: number;
  /** 'released': the last writer has ended it; 'gone': nothing was heard of it for longer than its lease. */
  writer: 'active' | 'released' | 'gone';
  /** How long ago something was heard of the writer, in milliseconds. */
  writerSeenMs: number;
  /** Checkpoints that were adopted because the journal did not lead on. */
  adoptions: number;
  /** Why nothing can be read at the moment. */
  failure: string | undefined;
}

/** What the tree has not of an object of the journal: its records up to `last`. */
interface Fresh {
  place: Position;
  records: Uint8Array;
  last: number;
}

const NOTHING: Catalog = {
  mark: { lsn: 0, generation: 0, nextBlobId: 1, pendingDeletes: [] },
  tree: [],
  pins: [],
  lastPin: 0,
};

export class Following {
  readonly #site: Site;
  readonly #options: FollowingOptions;
  /** What it has pinned has nothing that the tree has not. */
  #follower: RemoteFollower;
  #unpin: () => Promise<void>;
  #lsn: number;
  /** The tree is the writer's as of `#lsn`, and what it needs is kept. */
  #isWhole = true;
  #caughtUpAt: number;
  #adoptions = 0;
  #failure: unknown;
  #isEnded = false;

  constructor(options: FollowingOptions) {
    this.#options = options;
    this.#site = options.site;
    this.#follower = options.follower;
    this.#unpin = options.unpin;
    this.#lsn = options.lsn;
    this.#caughtUpAt = this.#site.clock.now();
  }

  get state(): FollowingState {
    const { clock } = this.#site;
    const now = clock.now();
    const { epoch, sequence } = this.#follower.place;
    const { head, since, at } = this.#follower.seen!;
    const isGone = at - since > waitOutMs(head.leaseMs);
    return {
      lsn: this.#lsn,
      epoch,
      sequence,
      lagMs: now - this.#caughtUpAt,
      writer: head.leaseMs === 0 ? 'released' : isGone ? 'gone' : 'active',
      writerSeenMs: now - since,
      adoptions: this.#adoptions,
      failure: this.#failure === undefined ? undefined : (this.#failure as Error).message,
    };
  }

  /** Follows until `end`. What fails is tried again, and told by `state`. */
  async run(): Promise<void> {
    while (!this.#isEnded) {
      let isMore = false;
      try {
        isMore = await this.step();
        this.#failure = undefined;
      } catch (error) {
        this.#failure = error;
      }
      if (!isMore && !this.#isEnded) await this.#site.clock.sleep(FOLLOW_INTERVAL_MS);
    }
  }

  /** All that is there is played, or it fails. @throws as `step` */
  async catchUp(): Promise<void> {
    while (await this.step());
  }

  /** `run` resolves soon after. The pin is given up, as far as the store answers. */
  async end(): Promise<void> {
    this.#isEnded = true;
    await this.#unpin();
  }

  /**
   * Plays what comes next. False: nothing more is there at the moment.
   * @throws as the object store and `FollowedTree.play`; ERR_REMOTE_CORRUPT where what is there cannot be what was written
   */
  async step(): Promise<boolean> {
    if (!this.#isWhole) return this.#adopt();
    if (!(await this.#follower.keep())) {
      // What is needed may be gone.
      this.#isWhole = false;
      throw notKept();
    }
    const began = this.#site.clock.now();
    const next = await this.#next();
    if (next === 'behind') return this.#adopt();
    if (next !== 'end') {
      await this.#play(next);
      return true;
    }
    const { pinned, seen } = this.#follower;
    const { manifest } = seen!.head;
    if (manifest !== undefined && manifest !== pinned) {
      const found = await this.#look(manifest);
      if (found === 'ahead') return this.#adopt();
      if (found === 'gone') return true;
    }
    this.#caughtUpAt = began;
    return false;
  }

  /** What the tree has not of the journal's next object. Only a checkpoint leads past one that is damaged. */
  async #next(): Promise<Fresh | 'end' | 'behind'> {
    try {
      const next = await this.#follower.next();
      return typeof next === 'string' ? next : this.#freshOf(next);
    } catch (error) {
      if (hasCode(error, 'ERR_REMOTE_CORRUPT') && (await this.#follower.isBehind())) return 'behind';
      throw error;
    }
  }

  #freshOf({ body, place }: Exclude<Followed, string>): Fresh | 'behind' {
    const fresh: Uint8Array[] = [];
    let isWhole = true;
    let last = this.#lsn;
    for (const { lsn, type, body: operations } of recordsOf(body)) {
      if (lsn <= last) {
        isWhole = false;
        continue;
      }
      if (lsn > last + 1) return 'behind';
      fresh.push(encodeRecord(lsn, type, operations, 0));
      last = lsn;
    }
    return { place, records: isWhole ? body : Buffer.concat(fresh), last };
  }

  async #play({ last, place, records }: Fresh): Promise<void> {
    if (last > this.#lsn) {
      this.#isWhole = false;
      await this.#options.tree.play([records], true);
      this.#isWhole = true;
      this.#lsn = last;
    }
    this.#follower.pass(place);
  }

  /** Makes the tree what HEAD's checkpoint is with all of the journal behind it; true, as `step`: more may have come. */
  async #adopt(): Promise<true> {
    const adopting = this.#follower.another();
    const { manifest, unpin: own } = await adopting.adopt();
    let unpin = own;
    try {
      // Where another checkpoint has come, it begins with that.
      if (await this.#adoptBy(adopting, manifest)) {
        [this.#unpin, unpin] = [unpin, this.#unpin];
        this.#follower = adopting;
        this.#isWhole = true;
        this.#adoptions++;
      }
    } finally {
      await letGo(unpin);
    }
    return true;
  }

  /** False: the journal does not lead on from there. */
  async #adoptBy(adopting: RemoteFollower, manifest: string | undefined): Promise<boolean> {
    const { disk, scratch, tree } = this.#options;
    const { store } = this.#site;
    const keep = async () => {
      // What is shown goes on where it cannot be kept; what is adopted must be there.
      await this.#follower.keep();
      if (!(await adopting.keep())) throw notKept();
    };
    const file = new ScratchFile(disk, scratch);
    try {
      const catalog =
        manifest === undefined ? NOTHING : catalogOf(manifest, await readManifest(store, manifest));
      const images = await FetchedCheckpoint.fetch(store, { ...catalog, pins: [] }, file, SILENT, keep);
      const other = Tree.open({
        store: images,
        flushOnWrite: false,
        cacheBytes: LEAST_DEFAULT_CACHE_BYTES,
      });
      try {
        if (!(await playAll(adopting, other, keep))) return false;
        if (other.lastLsn() < this.#lsn) {
          throw new SpinneyError(
            'ERR_REMOTE_CORRUPT',
            `Cannot follow the remote: it ends at record ${other.lastLsn()}, and record ${this.#lsn} was read there`,
          );
        }
        this.#isWhole = false;
        await tree.play([...recordsBetween(tree.reads, other)], false);
        this.#lsn = other.lastLsn();
        return true;
      } finally {
        other.close();
      }
    } finally {
      file.close();
    }
  }

  /**
   * Goes on with the manifest that HEAD had in place of what was pinned, unless that has more than the journal ('ahead'): after a long outage the journal is
   * not shipped, but a checkpoint that has all of it. 'gone': HEAD has another.
   */
  async #look(manifest: string): Promise<'pinned' | 'ahead' | 'gone'> {
    const looking = this.#follower.another();
    const own = await looking.pinAnew(manifest);
    if (own === undefined) return 'gone';
    let unpin = own;
    try {
      const { mark } = catalogOf(manifest, await readManifest(this.#site.store, manifest));
      if (mark.lsn > this.#lsn) return 'ahead';
      [this.#unpin, unpin] = [unpin, this.#unpin];
      this.#follower = looking;
      return 'pinned';
    } finally {
      await letGo(unpin);
    }
  }
}

/** Plays the journal on what was adopted, up to its end. False: it does not lead on. */
async function playAll(follower: RemoteFollower, tree: Tree, keep: () => Promise<void>): Promise<boolean> {
  for (;;) {
    await keep();
    const next = await follower.next();
    if (next === 'end') return true;
    if (next === 'behind') return false;
    for (const { lsn, changes } of recordsOf(next.body)) {
      const last = tree.lastLsn();
      if (lsn <= last) continue;
      if (lsn > last + 1) return false;
      tree.apply(changes);
    }
    follower.pass(next.place);
  }
}

/** A pin that cannot be given up runs out by itself. */
async function letGo(unpin: () => Promise<void>): Promise<void> {
  await unpin().catch(() => {});
}

function notKept(): SpinneyError {
  return new SpinneyError(
    'ERR_REMOTE_UNAVAILABLE',
    'Cannot follow the remote: its objects were not kept in time',
  );
}
