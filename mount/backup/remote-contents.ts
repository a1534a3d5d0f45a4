/**
 * Contents of a store that are in its remote alone: its mount gave their files up, which it does at any time. What the remote has of them is told by rows of the
 * tree: those of the moment that is backed up, or, of what got there since, those of the present one.
 */
import type { RemoteRecord } from '../../engine/before-open.js';
import { openRemoteToRead, parseRemote, readImages, SpinneyError, type Tree } from '../../engine/index.js';
import { fetchPart, type Site } from '../../engine/remote-store.js';
import {
  type FileState,
  type ShippedContent,
  shippedContent,
  shippedState,
} from '../../engine/shipped-contents.js';
import type { SourceMoment } from './source.js';

/** How long a server is asked again that does not answer. */
const PATIENCE_MS = 60_000;

export class RemoteContents {
  readonly #remote: RemoteRecord;
  readonly #moment: SourceMoment;
  readonly #takeNow: () => Promise<SourceMoment>;
  readonly #tree: Tree;
  #now: { moment: SourceMoment; tree: Tree } | undefined;
  #site: Site | undefined;
  /** Contents that were fetched. */
  fetched = 0;

  /** `takeNow`: the present moment, which goes with those of the backup that are forgotten. */
  constructor(remote: RemoteRecord, moment: SourceMoment, takeNow: () => Promise<SourceMoment>) {
    this.#remote = remote;
    this.#moment = moment;
    this.#takeNow = takeNow;
    this.#tree = readImages(moment.images, moment.mark);
  }

  /** What the remote had of the content at the moment: size and time. */
  stateAtMoment(ino: number, born: number): FileState | undefined {
    return shippedState(this.#tree, ino, born);
  }

  /** What the remote has of a content whose file is missing; undefined: nothing. */
  async find(ino: number, born: number): Promise<ShippedContent | undefined> {
    const found = shippedContent(this.#tree, ino, born);
    if (found !== undefined || !this.#moment.isLive) return found;
    const known = this.#now && shippedContent(this.#now.tree, ino, born);
    if (known !== undefined) return known;
    // It was given up since: so there is a row by now.
    this.#closeNow();
    const moment = await this.#takeNow();
    this.#now = { moment, tree: readImages(moment.images, moment.mark) };
    return shippedContent(this.#now.tree, ino, born);
  }

  /** Hands the parts on, with their places in the file. @throws ERR_REMOTE_CORRUPT, and as the object store */
  async bring(
    { parts }: ShippedContent,
    write: (bytes: Uint8Array, position: number) => void,
  ): Promise<void> {
    this.#site ??= await this.#open();
    let position = 0;
    for (const part of parts) {
      // All zeros: a hole.
      if (part.name !== undefined) write(await fetchPart(this.#site.store, part), position);
      position += part.bytes;
    }
    this.fetched++;
  }

  async close(): Promise<void> {
    this.#tree.close();
    this.#closeNow();
    await this.#site?.store.close();
  }

  async #open(): Promise<Site> {
    const { endpoint, url } = this.#remote;
    try {
      return await openRemoteToRead(
        { ...parseRemote(url), ...(endpoint !== undefined && { endpoint }) },
        PATIENCE_MS,
      );
    } catch (error) {
      if (!(error instanceof SpinneyError)) throw error;
      throw new SpinneyError(error.code, `${error.message}; the store's contents are in ${url}`, {
        cause: error,
      });
    }
  }

  #closeNow(): void {
    this.#now?.tree.close();
    this.#now?.moment.close();
    this.#now = undefined;
  }
}
