/**
 * Contents that are not here: a remote has them, and they come when somebody wants them. They are fetched by another thread into
 * `<content>/away/<ino>.<born>.<attempt>`, in hex, part by part; whoever only reads goes on as soon as the parts that it wants are there. One that is
 * whole, and durable, gets its name by a rename: so what has a content's name is whole, here too.
 *
 * What must hold:
 * - A content is away when its file is missing and the tree says that the remote has it. Nobody takes it for a missing one, or for an empty one.
 * - Only reads that look at what has come (`assertRead`) use a file in `away`.
 * - Each time that a content is wanted anew is another attempt, with a file of its own: answers to one that was given up, which may be on their way, and
 *   bytes that it brought, are never taken for those of the content that there is since.
 * - What is evicted is exactly what the remote has, and nobody has it open. The thread that opens files decides that.
 */
import { BackingError, ContentAwaited } from '../../errno.js';
import type { ContentFiles, ContentsAway } from '../content.js';
import type { OpenInode } from '../open-inode.js';
import type { PartialContent, RemoteContent, RemoteRows } from '../remote-content.js';

export const AWAY_DIRECTORY = 'away';
/** More than there is between two ticks of a filesystem's clock. */
const TICK_MS = 20;
/** Parts that are asked for ahead of one who reads on. */
const READ_AHEAD = 2;
/** Names of contents in use that are told together. */
const MOST_USED = 256;

/** Brings contents, in a thread of its own. Nothing here waits; all is answered by `AwayContents`' methods of the same subject. */
export interface ContentFetcher {
  /** A part, into the file in `away`, which is made where it is missing; then `partArrived`. */
  fetchPart(ino: number, born: number, attempt: number, part: number): void;
  /** All that is missing, and the file made durable; then `arrived`. `turn`: whether somebody waits for it. */
  fetch(ino: number, born: number, attempt: number, turn: 'demand' | 'background'): void;
  /** Nobody wants what this attempt brings any more: what there is of it in `away` goes. */
  drop(ino: number, born: number, attempt: number): void;
  /** These were used: they are the last to be evicted, and may have another size. */
  used(contents: readonly { ino: number; born: number }[]): void;
}

export function awayDirectory(contentDirectory: string): string {
  return `${contentDirectory}/${AWAY_DIRECTORY}`;
}

/** Where a content is while this attempt brings it. */
export function awayPath(contentDirectory: string, ino: number, born: number, attempt: number): string {
  return `${awayDirectory(contentDirectory)}/${ino.toString(16)}.${born.toString(16)}.${attempt.toString(16)}`;
}

/** Where a content is between its eviction and its removal. */
export function evictedPath(contentDirectory: string, ino: number, born: number): string {
  return `${awayDirectory(contentDirectory)}/${ino.toString(16)}.${born.toString(16)}.evicted`;
}

export class AwayContents implements ContentsAway {
  readonly #content: ContentFiles;
  readonly rows: RemoteRows;
  readonly #fetcher: ContentFetcher;
  readonly #partials = new Map<string, PartialContent>();
  /** Those that were asked for as a whole. */
  readonly #asked = new Set<string>();
  /** The attempt under way, of what is in one of the two before. */
  readonly #attempts = new Map<string, number>();
  #lastAttempt = 0;
  /** What the last attempt failed with, for those who waited for it. */
  readonly #failed = new Map<string, number>();
  /** Contents that nobody wants any more, until their records are gone. */
  readonly #discarded = new Set<string>();
  #used = new Map<string, { ino: number; born: number }>();

  constructor(content: ContentFiles, rows: RemoteRows, fetcher: ContentFetcher) {
    this.#content = content;
    this.rows = rows;
    this.#fetcher = fetcher;
  }

  /** To be called first: what was on its way in an earlier run is fetched anew. */
  start(): void {
    const { disk, directory } = this.#content;
    disk.removeDirectory(awayDirectory(directory));
    disk.makeDirectory(awayDirectory(directory));
  }

  /** What the remote has of a content, if anything. */
  find(ino: number, born: number): RemoteContent | undefined {
    return this.rows.find(ino, born);
  }

  /**
   * The content's file is missing. Returns where it is missing for everybody.
   * @throws ContentAwaited: it is on its way; BackingError: it could not be brought
   */
  require(ino: number, born: number): void {
    const key = keyOf(ino, born);
    if (this.#discarded.has(key) || this.find(ino, born) === undefined) return;
    const failure = this.#failed.get(key);
    if (failure !== undefined)
      throw new BackingError(failure, `Cannot bring the content of inode ${ino} from the remote`);
    if (!this.#asked.has(key)) {
      this.#asked.add(key);
      this.#fetcher.fetch(ino, born, this.#attempt(key), 'demand');
    }
    throw new ContentAwaited();
  }

  /** It is to be here, though nobody waits for it. False: there is nothing to bring. */
  want(ino: number, born: number): boolean {
    const key = keyOf(ino, born);
    if (this.#asked.has(key)) return true;
    if (this.#discarded.has(key) || this.#content.isHere(ino, born) || this.find(ino, born) === undefined)
      return false;
    this.#asked.add(key);
    this.#fetcher.fetch(ino, born, this.#attempt(key), 'background');
    return true;
  }

  #attempt(key: string): number {
    let attempt = this.#attempts.get(key);
    if (attempt === undefined) {
      attempt = ++this.#lastAttempt;
      this.#attempts.set(key, attempt);
    }
    return attempt;
  }

  /**
   * For whoever only reads: a file whose parts come when they are wanted. Undefined: it is here, or so small that it comes as a
   * whole, or is missing.
   */
  beginPartial(ino: number, born: number): PartialContent | undefined {
    const { directory } = this.#content;
    const key = keyOf(ino, born);
    const known = this.#partials.get(key);
    if (known !== undefined) return known;
    if (this.#asked.has(key) || this.#content.isHere(ino, born)) return undefined;
    const remote = this.find(ino, born);
    if (remote === undefined || remote.size <= remote.partBytes) return undefined;
    const attempt = this.#attempt(key);
    const path = awayPath(directory, ino, born, attempt);
    const { size, partBytes } = remote;
    const partial = {
      ino,
      born,
      attempt,
      path,
      size,
      partBytes,
      here: new Set<number>(),
      asked: new Set<number>(),
    };
    this.#partials.set(key, partial);
    return partial;
  }

  /**
   * The bytes of an open inode's file may be read; from when all is here, it is as others are. False: there are none so far behind.
   * @throws ContentAwaited, BackingError
   */
  assertRead(inode: OpenInode, position: number, length: number): boolean {
    if (inode.partial !== undefined && this.#isOver(inode.partial)) inode.partial = undefined;
    if (inode.partial === undefined) return true;
    if (position >= inode.partial.size || length === 0) return false;
    this.#assertHere(inode.partial, position, length);
    return true;
  }

  /** The inode's file is to be used as a whole. @throws ContentAwaited, BackingError */
  assertWhole(inode: OpenInode): void {
    if (inode.partial !== undefined && this.#isOver(inode.partial)) inode.partial = undefined;
    if (inode.partial !== undefined) this.require(inode.ino, inode.born);
  }

  /** The bytes of the file in `away` may be read. Asks for those that may be wanted next, too. */
  #assertHere(partial: PartialContent, position: number, length: number): void {
    const { ino, born, attempt, partBytes, size } = partial;
    const failure = this.#failed.get(keyOf(ino, born));
    const first = Math.floor(position / partBytes);
    const last = Math.floor((Math.min(size, position + length) - 1) / partBytes);
    const end = Math.ceil(size / partBytes) - 1;
    let isHere = true;
    for (let part = first; part <= Math.min(end, last + READ_AHEAD); part++) {
      if (partial.here.has(part)) continue;
      if (part <= last) isHere = false;
      // One who reads here and there has no use for what is next to it.
      else if (first > 0 && !partial.here.has(first - 1)) break;
      if (failure !== undefined || partial.asked.has(part)) continue;
      partial.asked.add(part);
      this.#fetcher.fetchPart(ino, born, attempt, part);
    }
    if (isHere) return;
    if (failure !== undefined)
      throw new BackingError(failure, `Cannot bring the content of inode ${ino} from the remote`);
    throw new ContentAwaited();
  }

  /** A part is in the file in `away`, or `result` is the negative errno of why not. */
  partArrived(ino: number, born: number, attempt: number, part: number, result: number): void {
    const key = keyOf(ino, born);
    const partial = this.#partials.get(key);
    // It came too late: nobody reads by parts any more.
    if (partial?.attempt !== attempt) return;
    partial.asked.delete(part);
    if (result < 0) this.#failed.set(key, -result);
    else partial.here.add(part);
    if (partial.here.size < Math.ceil(partial.size / partial.partBytes) || this.#asked.has(key)) return;
    this.#asked.add(key);
    this.#fetcher.fetch(ino, born, attempt, 'demand');
  }

  /** The file in `away` is whole and durable, or `result` is the negative errno of why not. It gets its name, where it is wanted yet. */
  arrived(ino: number, born: number, attempt: number, result: number): void {
    const { disk, directory } = this.#content;
    const key = keyOf(ino, born);
    // Given up meanwhile.
    if (this.#attempts.get(key) !== attempt) return;
    this.#asked.delete(key);
    if (result < 0) {
      this.#failed.set(key, -result);
      if (!this.#partials.has(key)) this.#end(ino, born);
      return;
    }
    this.#attempts.delete(key);
    this.#partials.delete(key);
    const path = awayPath(directory, ino, born, attempt);
    const isWanted =
      !this.#discarded.has(key) &&
      this.find(ino, born) !== undefined &&
      !this.#content.isHere(ino, born) &&
      disk.nodeAt(path) !== undefined;
    if (isWanted) {
      this.#content.name(path, ino, born);
      this.rows.noteFetched(ino, born, this.#content.pathOf(ino, born));
    } else disk.remove(path);
    this.used(ino, born);
  }

  /** Whether all of it is here by now, or it is fetched anew. */
  #isOver(partial: PartialContent): boolean {
    return this.#partials.get(keyOf(partial.ino, partial.born)) !== partial;
  }

  /** The content is here, and somebody uses it, or has changed it. */
  used(ino: number, born: number): void {
    this.#used.set(keyOf(ino, born), { ino, born });
    if (this.#used.size >= MOST_USED) this.#tellUsed();
  }

  /** There is time. */
  rest(): void {
    this.#failed.clear();
    this.#tellUsed();
  }

  #tellUsed(): void {
    if (this.#used.size === 0) return;
    const used = [...this.#used.values()];
    this.#used = new Map();
    this.#fetcher.used(used);
  }

  /**
   * Gives up a content that nobody has open: a whole one is at `evictedPath` then, for another thread to remove; what came of one that is not is dropped.
   * False: it stays, or there is nothing.
   */
  evict(ino: number, born: number): boolean {
    const { disk, directory } = this.#content;
    const key = keyOf(ino, born);
    if (this.#asked.has(key)) return false;
    const partial = this.#partials.get(key);
    if (partial !== undefined) {
      if (partial.asked.size > 0) return false;
      this.#end(ino, born);
      return true;
    }
    const path = this.#content.pathOf(ino, born);
    if (!this.rows.isShipped(ino, born, path)) return false;
    disk.rename(path, evictedPath(directory, ino, born));
    return true;
  }

  /**
   * A content's file has not the size that its record tells, which is not LIVE, and was changed last at this time. Where the remote has what the
   * record tells of, the file goes, to be fetched anew, and this returns true.
   */
  heal(ino: number, born: number, size: number, seconds: number, nanos: number): boolean {
    const remote = this.find(ino, born);
    if (remote?.size !== size) return false;
    // A record may have the time of a finer clock than the file.
    const later = (seconds - remote.mtimeSeconds) * 1000 + (nanos - remote.mtimeNanos) / 1e6;
    if (later < 0 || later >= TICK_MS) return false;
    this.#content.disk.remove(this.#content.pathOf(ino, born));
    return true;
  }

  /** What is away is not wanted: the content is going to be another, or to be removed. */
  giveUp(ino: number, born: number): void {
    if (this.#attempts.has(keyOf(ino, born))) this.#end(ino, born);
  }

  /** Ends the attempt under way. */
  #end(ino: number, born: number): void {
    const key = keyOf(ino, born);
    const attempt = this.#attempts.get(key)!;
    for (const known of [this.#attempts, this.#partials, this.#asked]) known.delete(key);
    this.#fetcher.drop(ino, born, attempt);
  }

  /** The content is going to be removed. */
  discard(ino: number, born: number): void {
    this.#discarded.add(keyOf(ino, born));
    this.giveUp(ino, born);
  }

  /** Their files were removed: nothing tells of these any more. */
  forget(contents: readonly { ino: number; born: number }[]): void {
    for (const { ino, born } of contents) {
      this.#discarded.delete(keyOf(ino, born));
      this.used(ino, born);
    }
  }
}

function keyOf(ino: number, born: number): string {
  return `${ino}.${born}`;
}
