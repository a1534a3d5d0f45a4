/**
 * Verifies a store in an object store, without mounting it and beside whoever writes to it: HEAD, the journal with its fences, the
 * manifest, every image, what the journal does to the tree, and what lies there that nobody needs. It puts nothing there but a pin.
 *
 * The journal is read first: a checkpoint may come meanwhile, and what that has is deleted. What the manifest has is kept by the pin.
 */
import { Measure, type MeasureOptions } from '../../art/measure.js';
import type { Disk } from '../../disk/disk.js';
import { reasonOf, SpinneyError } from '../../errors.js';
import type { WorkProgress } from '../../progress.js';
import type { Head } from '../../remote/objects/head.js';
import { readManifest } from '../../remote/objects/manifest.js';
import { comparePositions } from '../../remote/objects/names.js';
import { readHead, type Site } from '../../remote/site.js';
import { hasCode } from '../../store/object/errors.js';
import { Tree } from '../../tree/tree.js';
import { type Finding, measureFor, type VerifiedBlobs, verifyBlobs } from '../../tree/verify/verify.js';
import { type Catalog, catalogOf, imagesOf } from '../checkpoints/catalog.js';
import { recordsOf } from '../records.js';
import { FetchedCheckpoint } from './fetched-checkpoint.js';
import { Inventory } from './inventory.js';
import { checkFences, checkRow, type JournalRow, readRow } from './journal-row.js';
import { findLeftovers, type Leftovers } from './leftovers.js';
import { changed, PinnedHead } from './pinned-head.js';
import { type ContentTotals, RemoteContents } from './remote-contents.js';
import { ScratchFile } from './scratch-file.js';

export interface VerifyRemoteOptions {
  /** As people are told it: `s3://bucket/prefix`. */
  place: string;
  site: Site;
  disk: Disk;
  /** An existing directory, on a disk that has room for all images. Nothing is left in it. */
  scratch: string;
  /** As of `Tree.open`. */
  cacheBytes?: number;
  /** The sums that blobs carry are compared with their records, where they are of this measure. */
  measure?: MeasureOptions;
  report: (finding: Finding) => void;
  progress: WorkProgress;
  /** The bytes of contents are fetched and compared with their checksums, too. */
  readsContents?: boolean;
  /** Called with the tree as the journal leaves it, where all up to there is undamaged. It is closed afterwards. */
  inspect?: (tree: Tree, contents: RemoteContents) => void;
}

export interface VerifiedRemote {
  epoch: number;
  /** The store that has HEAD. */
  holder: string;
  /** Name of the manifest; absent before the first checkpoint. */
  manifest?: string;
  journal: { objects: number; bytes: number; records: number; fences: number };
  /** Of the checkpoint, with its snapshots. */
  images: number;
  /** Counts of what could be read. */
  tree: VerifiedBlobs & { checkpointLsn: number };
  /** Not counted where the tree is damaged. */
  contents?: ContentTotals;
  leftovers: Leftovers;
}

const NO_CHECKPOINT: Catalog = {
  mark: { lsn: 0, generation: 0, nextBlobId: 1, pendingDeletes: [] },
  tree: [],
  pins: [],
  lastPin: 0,
};
const NO_LEFTOVERS: Leftovers = { objects: 0, bytes: 0, underWayObjects: 0, underWayBytes: 0 };
/** HEAD's place in the journal moves with each checkpoint, hardly so often in a row while the journal is read. */
const MOST_TRIES = 20;

/**
 * Reports what it finds. Undefined where HEAD is damaged or missing: then nothing else can be told.
 * @throws ERR_NO_STORE, ERR_FORMAT_VERSION, ERR_MEASURE, ERR_NO_SPACE, ERR_IO, and as the object store, where it cannot be verified
 */
export async function verifyRemote(options: VerifyRemoteOptions): Promise<VerifiedRemote | undefined> {
  const { disk, scratch, progress } = options;
  progress.begin('reading HEAD', 0);
  if (!(await hasSoundHead(options))) return undefined;
  const bodies = new ScratchFile(disk, scratch);
  try {
    return await new Verification(options, bodies).run();
  } finally {
    bodies.close();
  }
}

/** @throws ERR_NO_STORE where there is nothing at all */
async function hasSoundHead({ place, report, site }: VerifyRemoteOptions): Promise<boolean> {
  const damage = (message: string) => report({ kind: 'damage', message });
  let isThere: boolean;
  try {
    isThere = (await readHead(site)) !== undefined;
  } catch (error) {
    if (!hasCode(error, 'ERR_REMOTE_CORRUPT')) throw error;
    damage(reasonOf(error));
    return false;
  }
  if (isThere) return true;
  const { objects } = await site.store.list('', { limit: 1 });
  if (objects.length === 0)
    throw new SpinneyError('ERR_NO_STORE', `Cannot check ${place}: there is no store`);
  damage('HEAD is missing, and other objects are there');
  return false;
}

class Verification {
  readonly #options: VerifyRemoteOptions;
  readonly #site: Site;
  readonly #bodies: ScratchFile;
  readonly #damage = (message: string): void => this.#options.report({ kind: 'damage', message });
  readonly #note = (message: string): void => this.#options.report({ kind: 'note', message });
  /** Something that the tree as it is needs is damaged. */
  #isDamaged = false;
  readonly #treeDamage = (message: string): void => {
    this.#isDamaged = true;
    this.#damage(message);
  };

  constructor(options: VerifyRemoteOptions, bodies: ScratchFile) {
    this.#options = options;
    this.#site = options.site;
    this.#bodies = bodies;
  }

  async run(): Promise<VerifiedRemote> {
    const { pinned, row } = await this.#begin();
    try {
      return await this.#verify(pinned, row);
    } finally {
      await pinned.release();
    }
  }

  /** Pins what HEAD has, and reads its journal. */
  async #begin(): Promise<{ pinned: PinnedHead; row: JournalRow }> {
    const { progress } = this.#options;
    let isTold = false;
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const pinned = await PinnedHead.find(this.#site, (why) => {
        if (!isTold) this.#note(`what is looked at cannot be pinned, so it may be deleted meanwhile: ${why}`);
        isTold = true;
      });
      const { journal, epoch } = pinned.head;
      progress.begin('reading the journal', 0);
      const row = await readRow(this.#site.store, journal, epoch, this.#bodies, () => progress.step());
      const again = await readHead(this.#site);
      // Else what is behind may be missing because another checkpoint has it.
      if (again !== undefined && comparePositions(row.end, again.head.journal) >= 0) return { pinned, row };
      await pinned.release();
    }
    throw changed();
  }

  async #verify(pinned: PinnedHead, row: JournalRow): Promise<VerifiedRemote> {
    const { progress } = this.#options;
    const { store } = this.#site;
    const { head } = pinned;
    progress.begin('listing objects', 0);
    const inventory = await Inventory.take(store, (count) => progress.step(count));
    progress.begin('checking the journal', 0);
    const told = { damage: this.#treeDamage, note: this.#note };
    await checkRow(store, head, row, inventory.journal, told);
    const { fences, covered } = await checkFences(store, head, inventory.journal, {
      ...told,
      damage: this.#damage,
    });
    const { references, catalog } = await this.#readCatalog(head);
    const needed = new Set(references);
    if (head.manifest !== undefined) needed.add(head.manifest);
    const images = new ScratchFile(this.#options.disk, this.#options.scratch);
    try {
      const fetched = await FetchedCheckpoint.fetch(store, catalog, images, progress, () => pinned.keep());
      const tree = { ...this.#verifyBlobs(fetched), checkpointLsn: catalog.mark.lsn };
      if (this.#isDamaged) await pinned.assertSame();
      const found: VerifiedRemote = {
        epoch: head.epoch,
        holder: head.holder,
        ...(head.manifest !== undefined && { manifest: head.manifest }),
        journal: { objects: row.bodies.length, bytes: row.bytes, records: 0, fences },
        images: imagesOf(catalog).length,
        tree,
        leftovers: NO_LEFTOVERS,
      };
      if (!this.#isDamaged) {
        const open = this.#open(fetched);
        try {
          found.journal.records = this.#replay(open, row);
          if (!this.#isDamaged) {
            const contents = await this.#checkContents(open, pinned, inventory, references, catalog.mark.lsn);
            found.contents = contents.totals;
            for (const name of contents.needed) needed.add(name);
          }
        } finally {
          open.close();
        }
      }
      // Where the tree is damaged, nobody knows what it needs.
      if (!this.#isDamaged) {
        found.leftovers = await findLeftovers(store, head, inventory, covered, needed, this.#note);
      }
      return found;
    } finally {
      images.close();
    }
  }

  async #readCatalog(head: Head): Promise<{ references: ReadonlySet<string>; catalog: Catalog }> {
    const name = head.manifest;
    const nothing = { references: new Set<string>(), catalog: NO_CHECKPOINT };
    if (name === undefined) return nothing;
    try {
      const manifest = await readManifest(this.#site.store, name);
      return { references: new Set(manifest.references), catalog: catalogOf(name, manifest) };
    } catch (error) {
      if (hasCode(error, 'ERR_NOT_FOUND')) this.#treeDamage(`${name}, which HEAD names, is missing`);
      else if (hasCode(error, 'ERR_REMOTE_CORRUPT')) this.#treeDamage(reasonOf(error));
      else throw error;
      return nothing;
    }
  }

  #verifyBlobs(fetched: FetchedCheckpoint): VerifiedBlobs {
    const { measure, progress } = this.#options;
    const found = measureFor(fetched, measure);
    // Damage to what only snapshots have is no reason not to look at the rest.
    return verifyBlobs(fetched, this.#treeDamage, progress, this.#damage, found && new Measure(found));
  }

  #open(fetched: FetchedCheckpoint): Tree {
    const { cacheBytes, measure } = this.#options;
    const found = measureFor(fetched, measure) ?? (fetched.listBlobs().length === 0 ? measure : undefined);
    return Tree.open({
      store: fetched,
      flushOnWrite: false,
      ...(cacheBytes !== undefined && { cacheBytes }),
      ...(found !== undefined && { measure: found }),
    });
  }

  /** Plays the journal on the checkpoint. Returns how many records it has. */
  #replay(tree: Tree, row: JournalRow): number {
    const { progress } = this.#options;
    progress.begin('playing the journal', row.bodies.length);
    let records = 0;
    for (const { name, position, bytes } of row.bodies) {
      const body = new Uint8Array(bytes);
      this.#bodies.read(body, position);
      records += this.#play(tree, name, body);
      progress.step();
      if (this.#isDamaged) break;
    }
    return records;
  }

  async #checkContents(
    tree: Tree,
    pinned: PinnedHead,
    inventory: Inventory,
    references: ReadonlySet<string>,
    checkpointLsn: number,
  ): Promise<RemoteContents> {
    const { inspect, progress, readsContents } = this.#options;
    const { store } = this.#site;
    const contents = new RemoteContents({
      tree,
      objects: inventory.objects,
      references,
      checkpointLsn,
      isReleased: pinned.head.leaseMs === 0,
    });
    progress.begin('checking names and contents', tree.stats().keyCount);
    contents.checkRows(this.#damage);
    await this.#excuse(contents, pinned.head, inventory, references);
    inspect?.(tree, contents);
    if (readsContents === true) await contents.checkBytes(store, this.#damage, progress, () => pinned.keep());
    return contents;
  }

  /** What the journal alone needs may be deleted once a checkpoint has come: it is not told to be missing. */
  async #excuse(
    { needed }: RemoteContents,
    head: Head,
    { objects }: Inventory,
    references: ReadonlySet<string>,
  ): Promise<void> {
    const gone = [...needed].filter((name) => !objects.has(name) && !references.has(name));
    if (gone.length === 0 || (await readHead(this.#site))?.head.manifest === head.manifest) return;
    for (const name of gone) objects.set(name, Number.POSITIVE_INFINITY);
    this.#note(`${gone.length} objects of contents were not checked: a checkpoint came meanwhile`);
  }

  #play(tree: Tree, name: string, body: Uint8Array): number {
    let played = 0;
    try {
      for (const { lsn, changes } of recordsOf(body)) {
        const next = tree.lastLsn() + 1;
        if (lsn < next) continue;
        if (lsn > next) {
          this.#treeDamage(`${name}: record ${next} is missing; record ${lsn} comes in its place`);
          return played;
        }
        tree.apply(changes);
        played++;
      }
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code === 'ERR_NO_SPACE' || error.code === 'ERR_IO')
        throw error;
      this.#treeDamage(`${name}: its records cannot be played: ${error.message}`);
    }
    return played;
  }
}
