/**
 * Follows a store in an object store that another writes: a tree of one's own becomes what that tree was, moment by moment.
 *
 * What must hold:
 * - The tree is, whenever nothing is played, exactly what the writer's was at one LSN; and that never goes back.
 * - An object of the journal is played as a whole, and a checkpoint that is adopted is, too: as the records that lead there.
 * - What was played in part is adopted anew before anything else.
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
import type { RemoteFollower } from '../remote/follower.js';
import { waitOutMs } from '../remote/objects/lease.js';
import { readManifest } from '../remote/objects/manifest.js';
import type { Site } from '../remote/site.js';
import { type Catalog, catalogOf } from '../shipping/checkpoints/catalog.js';
import { recordsOf } from '../shipping/records.js';
import { FetchedCheckpoint } from '../shipping/verify/fetched-checkpoint.js';
import { ScratchFile } from '../shipping/verify/scratch-file.js';
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

const NOTHING: Catalog = {
  mark: { lsn: 0, generation: 0, nextBlobId: 1, pendingDeletes: [] },
  tree: [],
  pins: [],
  lastPin: 0,
};

export class Following {
  readonly #site: Site;
  readonly #follower: RemoteFollower;
  readonly #options: FollowingOptions;
  #unpin: () => Promise<void>;
  #renewAt: number;
  #lsn: number;
  /** The tree is the writer's as of `#lsn`, and `#follower` is behind that in the journal. */
  #isWhole = true;
  #caughtUpAt: number;
  /** A manifest that has no more than the tree. */
  #known: string | undefined;
  #adoptions = 0;
  #failure: unknown;
  #isEnded = false;

  constructor(options: FollowingOptions) {
    this.#options = options;
    this.#site = options.site;
    this.#follower = options.follower;
    this.#unpin = options.unpin;
    this.#lsn = options.lsn;
    const now = this.#site.clock.now();
    this.#caughtUpAt = now;
    this.#renewAt = now + this.#follower.renewalMs;
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
    await this.#keepPin();
    const { clock } = this.#site;
    if (!this.#isWhole) return this.#adopt();
    const began = clock.now();
    const next = await this.#follower.next();
    if (next === 'behind') return this.#adopt();
    if (next === 'end') {
      const { manifest } = this.#follower.seen!.head;
      if (manifest !== this.#follower.pinned) await this.#pinAnew();
      // Where that fails it is looked at again: nothing else would tell of a checkpoint that has more than the journal.
      const { pinned } = this.#follower;
      if (pinned !== undefined && pinned !== this.#known && (await this.#isAhead(pinned)))
        return this.#adopt();
      this.#known = pinned;
      this.#caughtUpAt = began;
      return false;
    }
    return this.#play(next.body);
  }

  async #play(body: Uint8Array): Promise<boolean> {
    const fresh: Uint8Array[] = [];
    let isWhole = true;
    let last = this.#lsn;
    for (const { lsn, type, body: operations } of recordsOf(body)) {
      if (lsn <= last) {
        isWhole = false;
        continue;
      }
      if (lsn > last + 1) return this.#adopt();
      fresh.push(encodeRecord(lsn, type, operations, 0));
      last = lsn;
    }
    if (fresh.length === 0) return true;
    this.#isWhole = false;
    await this.#options.tree.play([isWhole ? body : Buffer.concat(fresh)], true);
    this.#isWhole = true;
    this.#lsn = last;
    return true;
  }

  /** Makes the tree what HEAD's checkpoint is with all of the journal behind it. */
  async #adopt(): Promise<boolean> {
    const { disk, scratch, tree } = this.#options;
    this.#isWhole = false;
    const { manifest, unpin } = await this.#follower.adopt();
    const before = this.#unpin;
    this.#unpin = unpin;
    this.#renewAt = this.#site.clock.now() + this.#follower.renewalMs;
    const file = new ScratchFile(disk, scratch);
    try {
      const { store } = this.#site;
      const catalog =
        manifest === undefined ? NOTHING : catalogOf(manifest, await readManifest(store, manifest));
      const images = await FetchedCheckpoint.fetch(store, { ...catalog, pins: [] }, file, SILENT, () =>
        this.#keepPin(),
      );
      const other = Tree.open({
        store: images,
        flushOnWrite: false,
        cacheBytes: LEAST_DEFAULT_CACHE_BYTES,
      });
      try {
        // Another checkpoint has come: it begins with that.
        if (!(await this.#playAll(other))) return true;
        if (other.lastLsn() < this.#lsn) {
          throw new SpinneyError(
            'ERR_REMOTE_CORRUPT',
            `Cannot follow the remote: it ends at record ${other.lastLsn()}, and record ${this.#lsn} was read there`,
          );
        }
        await tree.play([...recordsBetween(tree.reads, other)], false);
        this.#lsn = other.lastLsn();
        this.#isWhole = true;
        this.#adoptions++;
      } finally {
        other.close();
      }
    } finally {
      file.close();
    }
    await before();
    return true;
  }

  /** Plays the journal on what was adopted, up to its end. False: that is behind by now. */
  async #playAll(tree: Tree): Promise<boolean> {
    for (;;) {
      await this.#keepPin();
      const next = await this.#follower.next();
      if (next === 'end') return true;
      if (next === 'behind') return false;
      for (const { lsn, changes } of recordsOf(next.body)) {
        const last = tree.lastLsn();
        if (lsn <= last) continue;
        if (lsn > last + 1) return false;
        tree.apply(changes);
      }
    }
  }

  /** Whether the checkpoint has more than the journal: after a long outage the journal is not shipped, but a checkpoint that has all of it. */
  async #isAhead(manifest: string): Promise<boolean> {
    const { mark } = catalogOf(manifest, await readManifest(this.#site.store, manifest));
    return mark.lsn > this.#lsn;
  }

  /** A checkpoint has come. */
  async #pinAnew(): Promise<void> {
    const before = this.#unpin;
    this.#unpin = await this.#follower.pinAnew();
    this.#renewAt = this.#site.clock.now() + this.#follower.renewalMs;
    await before();
  }

  async #keepPin(): Promise<void> {
    const { clock } = this.#site;
    if (this.#follower.pinned === undefined || clock.now() < this.#renewAt) return;
    this.#renewAt = clock.now() + this.#follower.renewalMs;
    if (await this.#follower.renew()) return;
    // What is needed may be gone.
    this.#isWhole = false;
    throw new SpinneyError(
      'ERR_REMOTE_UNAVAILABLE',
      'Cannot follow the remote: its objects were not kept in time',
    );
  }
}
