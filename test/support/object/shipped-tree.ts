/** A tree whose records and checkpoints go to a remote, as a daemon's do. */
import { BatchEncoder } from '../../../engine/journal/records/batch-encoder.js';
import { encodeRecord, RECORD_BATCH } from '../../../engine/journal/records/record.js';
import { MIN_CACHE_BYTES } from '../../../engine/limits.js';
import { readManifest } from '../../../engine/remote/objects/manifest.js';
import type { RemoteWriter } from '../../../engine/remote/remote-writer.js';
import type { Site } from '../../../engine/remote/site.js';
import { takeOver } from '../../../engine/remote/take-over.js';
import { type Catalog, catalogOf } from '../../../engine/shipping/checkpoints/catalog.js';
import { fetchCheckpoint } from '../../../engine/shipping/checkpoints/fetch-images.js';
import { shipCheckpoint } from '../../../engine/shipping/checkpoints/ship-checkpoint.js';
import { recordsOf } from '../../../engine/shipping/records.js';
import { MemoryBlobStore } from '../../../engine/store/memory-blob-store.js';
import { Tree } from '../../../engine/tree/tree.js';
import type { Change } from '../../../engine/tree/write/changes.js';

export class ShippedTree {
  readonly blobs: MemoryBlobStore;
  readonly tree: Tree;
  readonly #encoder = new BatchEncoder();
  #unshipped: Uint8Array[] = [];
  #before: Catalog | undefined;

  private constructor(before: Catalog | undefined, blobs = new MemoryBlobStore()) {
    this.blobs = blobs;
    this.#before = before;
    this.tree = Tree.open({ store: blobs, flushOnWrite: false, cacheBytes: MIN_CACHE_BYTES });
  }

  static empty(): ShippedTree {
    return new ShippedTree(undefined);
  }

  /** The next writer of the remote, and the tree that it finds there. */
  static async takeOver(site: Site, holder: string): Promise<{ shipped: ShippedTree; writer: RemoteWriter }> {
    let shipped = ShippedTree.empty();
    const writer = await takeOver(site, {
      holder,
      leaseMs: 10_000,
      restore: async (manifest) => {
        if (manifest === undefined) return;
        const catalog = catalogOf(manifest, await readManifest(site.store, manifest));
        const blobs = new MemoryBlobStore();
        await fetchCheckpoint(site.store, catalog, blobs);
        shipped = new ShippedTree(catalog, blobs);
      },
      replay: async (body) => {
        for (const { lsn, changes } of recordsOf(body))
          if (lsn > shipped.tree.lastLsn()) shipped.tree.apply(changes);
      },
    });
    return { shipped, writer };
  }

  /** Makes the changes; they are shipped with the next `append`. */
  change(...changes: Change[]): void {
    const encoder = this.#encoder;
    encoder.reset();
    for (const change of changes) {
      if ('source' in change) encoder.graft(change.source, change.destination);
      else if (change.value === undefined) encoder.delete(change.key);
      else encoder.put(change.key, change.value);
    }
    this.tree.apply(changes);
    const body = encoder.body().slice(0, encoder.length);
    this.#unshipped.push(encodeRecord(this.tree.lastLsn(), RECORD_BATCH, body, 0));
  }

  put(key: string, value: string): void {
    this.change({ key: Buffer.from(key), value: Buffer.from(value) });
  }

  delete(key: string): void {
    this.change({ key: Buffer.from(key), value: undefined });
  }

  /** All that was changed since the last time goes into one object. */
  async append(writer: RemoteWriter): Promise<void> {
    const body = Buffer.concat(this.#unshipped);
    this.#unshipped = [];
    if (body.length > 0) await writer.append(body);
  }

  /** `overtakes`: what was not appended yet is in the checkpoint alone. */
  async ship(writer: RemoteWriter, overtakes = false): Promise<Catalog> {
    if (overtakes) this.#unshipped = [];
    await this.append(writer);
    const journal = writer.end;
    this.tree.checkpoint();
    const mark = this.blobs.readMark()!;
    this.#before = await shipCheckpoint(writer, { source: this.blobs, mark, journal, before: this.#before });
    return this.#before;
  }
}
