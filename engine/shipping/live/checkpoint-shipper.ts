/** Ships checkpoints of a live tree, and collects afterwards what nothing needs any more. */
import { CHECKPOINT_JOURNAL_OBJECTS, CHECKPOINT_SHIPPED_BYTES } from '../../limits.js';
import { Collector } from '../../remote/collect.js';
import type { RemoteWriter } from '../../remote/remote-writer.js';
import type { Site } from '../../remote/site.js';
import { isSnapshot, type Pin } from '../../store/blob-store.js';
import type { Tree } from '../../tree/tree.js';
import { imagesOf } from '../checkpoints/catalog.js';
import { KeptCheckpoint } from '../checkpoints/kept-checkpoint.js';
import { PackNote } from '../checkpoints/pack-note.js';
import { shipCheckpoint } from '../checkpoints/ship-checkpoint.js';
import type { ContentShipper } from '../contents/content-shipper.js';
import { forgetUnneeded } from '../contents/forget-unneeded.js';
import { repackContents } from '../contents/repack.js';
import { noteCheckpoint, placeAfter, type ShippedState } from './shipped-state.js';

/** So often it is looked which contents nothing needs, and what is to be repacked: that is a walk through all rows. */
const FORGET_INTERVAL_MS = 10 * 60_000;

export interface CheckpointShipperOptions {
  site: Site;
  tree: Tree;
  writer: RemoteWriter;
  state: ShippedState;
  /** Of the store; a note of what is under way is kept there. */
  directory: string;
  contents: ContentShipper | undefined;
}

export interface ShippedCheckpoint {
  lsn: number;
  /** Images that went there for it, and all that it has. */
  newImages: number;
  images: number;
}

export class CheckpointShipper {
  readonly #options: CheckpointShipperOptions;
  readonly #note: PackNote;
  readonly #collector: Collector;
  #hasNote = false;
  #forgottenAt: number;
  shippedImages = 0;
  /** When the last one became HEAD's, in milliseconds since 1970; undefined where none has. */
  shippedAt: number | undefined;

  constructor(options: CheckpointShipperOptions) {
    const { site, writer, directory } = options;
    this.#options = options;
    this.#note = new PackNote(directory, writer.held.head.holder);
    this.#collector = new Collector(site, writer);
    this.#forgottenAt = site.clock.now();
  }

  /** Whether whoever takes over would have much to replay, or miss a snapshot. */
  get isDue(): boolean {
    const { state, tree } = this.#options;
    const { catalog, objects } = state;
    if (catalog === undefined) return true;
    if (objects.length >= CHECKPOINT_JOURNAL_OBJECTS) return true;
    const bytes = objects.reduce((sum, object) => sum + object.bytes, 0);
    if (bytes >= CHECKPOINT_SHIPPED_BYTES) return true;
    return namesOf(tree.store.pins?.list() ?? []) !== namesOf(catalog.pins.map(({ pin }) => pin));
  }

  /** Whether the remote's checkpoint is the tree as it is. */
  get isWhole(): boolean {
    const { state, tree } = this.#options;
    return state.catalog?.mark.lsn === tree.lastLsn() && state.objects.length === 0 && !this.isDue;
  }

  /**
   * Ships the tree as it is now, or what a run before has begun to ship. What has been shipped is never shipped again.
   * @throws ERR_REMOTE_TAKEN, ERR_CLOSED, and as the tree and its store: then it may be called again
   */
  async ship(): Promise<ShippedCheckpoint> {
    const { tree, writer, state, site } = this.#options;
    if (!this.#hasNote) {
      await writer.held.answered(() => this.#note.load(site.store));
      this.#hasNote = true;
    }
    await this.#forget();
    const kept = await this.#keep();
    let newImages = 0;
    try {
      const source = new KeptCheckpoint(tree.store, kept.pin);
      const journal = placeAfter(state, kept.mark.lsn);
      const catalog = await shipCheckpoint(writer, {
        source,
        mark: kept.mark,
        journal,
        before: state.catalog,
        packed: this.#note.images,
        onPack: (images) => {
          newImages += images.length;
          this.shippedImages += images.length;
          this.#note.add(images);
        },
        contents: () => state.contents,
      });
      noteCheckpoint(state, catalog, journal);
      this.shippedAt = Date.now();
      this.#note.clear();
      return { lsn: catalog.mark.lsn, newImages, images: imagesOf(catalog).length };
    } finally {
      // A process that dies before leaves it to the next, with the note.
      if (writer.held.end === undefined) tree.releaseShipped();
    }
  }

  /** Deletes what the remote needs no more; how many objects. @throws as the object store */
  collect(): Promise<number> {
    return this.#collector.collect();
  }

  /** What a process that died was about to ship, if it is later than what the remote has; else what is now. */
  async #keep() {
    const { tree, state } = this.#options;
    const left = tree.keptForShipping;
    if (left !== undefined) {
      const isOfUse = this.#note.images.length > 0 && left.mark.lsn > (state.catalog?.mark.lsn ?? -1);
      if (isOfUse) return left;
      tree.releaseShipped();
    }
    return tree.keepForShipping();
  }

  async #forget(): Promise<void> {
    const { site, tree, state, contents } = this.#options;
    const now = site.clock.now();
    if (contents === undefined || now - this.#forgottenAt < FORGET_INTERVAL_MS) return;
    this.#forgottenAt = now;
    // Then a checkpoint that was captured before does not do.
    if (tree.keptForShipping !== undefined) tree.releaseShipped();
    const use = await forgetUnneeded(tree, state.contents, contents);
    await repackContents({ tree, store: site.store, put: (bytes) => contents.put(bytes) }, use);
  }
}

function namesOf(pins: readonly Pin[]): string {
  return pins
    .filter(isSnapshot)
    .map(({ id }) => id)
    .join();
}
