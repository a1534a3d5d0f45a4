/**
 * Gives images of blobs to readers of a store that was taken over, as these ask for them, and fetches the rest beside. Runs in a thread of
 * its own: whoever reads a tree may wait for it, so it waits for nobody.
 *
 * What must hold: an image that is not in the store is in the remote. It is where it was when the store was made, until a checkpoint is
 * shipped that has it elsewhere; then HEAD's manifest tells where.
 */
import type { Disk } from '../../disk/disk.js';
import { NodeDisk } from '../../disk/node-disk.js';
import { SpinneyError } from '../../errors.js';
import { BLOB_SIZE } from '../../limits.js';
import { decodeHead } from '../../remote/objects/head.js';
import { readManifest } from '../../remote/objects/manifest.js';
import { HEAD } from '../../remote/objects/names.js';
import { type AbsentImages, type AskedImage, ImageBoard } from '../../store/absent-images.js';
import { FileBlobStore, type FileBlobStoreHandle } from '../../store/file/file-blob-store.js';
import { hasCode } from '../../store/object/errors.js';
import type { ObjectStore } from '../../store/object/object-store.js';
import { type Catalog, catalogOf, imagesOf, type ShippedImage } from '../checkpoints/catalog.js';
import { fetchImage, fetchRun } from '../checkpoints/fetch-images.js';
import { eachAtOnce } from '../each-at-once.js';
import { forgetAbsent, readAbsent } from './absent-note.js';
import { ImageRuns, keyOf, type Run } from './image-runs.js';

/** Requests for many images at a time: what fetching keeps in memory. */
const RUNS_AT_ONCE = 3;

type Places = ReadonlyMap<string, ShippedImage>;

export class ImageServer {
  readonly #store: ObjectStore;
  readonly #board: ImageBoard;
  readonly #directory: string;
  #places: Places;
  #isOver = false;
  /** By what is fetched: several may ask for one image. */
  readonly #underWay = new Map<string, Promise<Uint8Array | undefined>>();
  /** What is still to be fetched. */
  #runs = new ImageRuns([]);
  fetched = 0;

  /** `store` should ask again by itself. @throws ERR_REMOTE_CORRUPT */
  constructor(store: ObjectStore, board: SharedArrayBuffer, directory: string) {
    this.#store = store;
    this.#board = new ImageBoard(board);
    this.#directory = directory;
    const catalog = readAbsent(directory);
    this.#places = catalog === undefined ? new Map() : placesOf(catalog);
  }

  /** Resolves once `stop` was called. */
  serve(): Promise<void> {
    return this.#board.serve(
      (asked) => this.#fetch(asked),
      (asked) => this.#runs.expect(asked),
    );
  }

  /** Readers get nothing more. */
  stop(): void {
    this.stopFetching();
    this.#board.end();
  }

  /** `fetchAll` does nothing more with the store. Readers go on. */
  stopFetching(): void {
    this.#isOver = true;
  }

  /**
   * Fetches all that is missing, many by each request, and makes it durable: then nobody asks any more. What readers expect to need comes first.
   * `onImage` is told how many of how many images have been looked at. False: it was stopped before.
   * @throws as the object store and the store; then it may be called again
   */
  async fetchAll(
    handle: FileBlobStoreHandle,
    onImage: (done: number, total: number) => void = () => {},
    disk: Disk = new NodeDisk(),
  ): Promise<boolean> {
    const total = this.#places.size;
    const given = new GivenImages();
    const store = FileBlobStore.attach({ ...handle, images: undefined }, disk, 'reader', given);
    this.#runs = new ImageRuns([...this.#places.values()]);
    let done = 0;
    await eachAtOnce(this.#inTurn(), RUNS_AT_ONCE, async (run) => {
      await this.#fill(store, given, run);
      done += run.length;
      if (!this.#isOver) onImage(done, total);
    });
    if (this.#isOver) return false;
    disk.fdatasync(handle.fd);
    forgetAbsent(this.#directory);
    this.#places = new Map();
    return true;
  }

  *#inTurn(): IterableIterator<Run> {
    for (let run = this.#runs.next(); run !== undefined && !this.#isOver; run = this.#runs.next()) yield run;
  }

  /** Has the images in their slots, in the tree and in snapshots, where they are needed still. */
  async #fill(store: FileBlobStore, given: GivenImages, run: Run): Promise<void> {
    const isMissing = (image: ShippedImage) => {
      given.begin(image);
      readEach(store, image, given.image);
      return given.isMissed;
    };
    const missing = run.filter(isMissing);
    await Promise.all(
      this.#fetchRun(missing).map(async (fetching, index) => {
        const bytes = await fetching;
        if (bytes === undefined || this.#isOver) return;
        given.begin(missing[index]!, bytes);
        readEach(store, missing[index]!, given.image);
      }),
    );
  }

  /** By one request, but for those that are on their way already. */
  #fetchRun(run: Run): Promise<Uint8Array | undefined>[] {
    const images = run.filter((image) => !this.#underWay.has(keyOf(image)));
    const all = images.length > 1 ? fetchRun(this.#store, images) : undefined;
    // Each is told of it below.
    all?.catch(() => {});
    return run.map((image) => {
      const at = images.indexOf(image);
      if (all === undefined || at < 0) return this.#fetch(image);
      return this.#note(
        keyOf(image),
        all.then(
          (fetched) => {
            this.fetched++;
            return fetched[at]!;
          },
          // One that is elsewhere by now, or damaged, must not keep the others away.
          () => this.#fetchFrom(keyOf(image)),
        ),
      );
    });
  }

  #fetch(asked: AskedImage): Promise<Uint8Array | undefined> {
    const key = keyOf(asked);
    const other = this.#underWay.get(key);
    if (other !== undefined) return other;
    return this.#note(key, this.#fetchFrom(key));
  }

  #note(key: string, fetching: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const noted = fetching.finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, noted);
    return noted;
  }

  async #fetchFrom(key: string): Promise<Uint8Array | undefined> {
    let image = this.#places.get(key);
    for (let hasLooked = false; image !== undefined; hasLooked = true) {
      try {
        const bytes = await fetchImage(this.#store, image);
        this.fetched++;
        return bytes;
      } catch (error) {
        if (hasLooked || !hasCode(error, 'ERR_BLOB_MISSING')) throw error;
      }
      image = (await this.#later()).get(key);
    }
    return undefined;
  }

  async #later(): Promise<Places> {
    const { manifest } = decodeHead((await this.#store.get(HEAD))!.bytes);
    if (manifest === undefined) return this.#places;
    const later = placesOf(catalogOf(manifest, await readManifest(this.#store, manifest)));
    this.#places = new Map([...this.#places, ...later]);
    return this.#places;
  }
}

/** What was fetched, for who reads a store in this thread. */
class GivenImages implements AbsentImages {
  #key = '';
  #bytes: Uint8Array | undefined;
  isMissed = false;
  /** Room for an image that is read. */
  readonly image = new Uint8Array(BLOB_SIZE);

  begin(image: ShippedImage, bytes?: Uint8Array): void {
    this.#key = keyOf(image);
    this.#bytes = bytes;
    this.isMissed = false;
  }

  fetch(id: number, generation: number, into: Uint8Array): boolean {
    if (keyOf({ id, generation }) !== this.#key) return false;
    if (this.#bytes === undefined) {
      this.isMissed = true;
      return false;
    }
    into.set(this.#bytes);
    return true;
  }
}

/** Reads the image wherever the store has it; what is missing, or damaged, or gone meanwhile, is passed over. */
function readEach(store: FileBlobStore, { id, generation }: ShippedImage, into: Uint8Array): void {
  const tried = (read: () => void) => {
    try {
      read();
    } catch (error) {
      if (!(error instanceof SpinneyError) || error.code === 'ERR_CLOSED') throw error;
    }
  };
  if (store.blobRow(id)?.generation === generation) tried(() => store.readBlob(id, into));
  for (const pin of store.pins.list()) {
    if (store.pins.blobRow(pin.id, id)?.generation === generation)
      tried(() => store.pins.readBlob(pin.id, id, into));
  }
}

function placesOf(catalog: Catalog): Places {
  return new Map(imagesOf(catalog).map((image) => [keyOf(image), image]));
}
