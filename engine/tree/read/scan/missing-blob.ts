/** A blob that a scan needs and that is not resident: where it was found, what will be wanted after it, and loading it. */
import type { Frame } from '../../../art/frame.js';
import { KIND_CROSSING, X_BLOB_ID } from '../../../art/layout.js';
import { findChild, nextChildByte } from '../../../art/node.js';
import { NEED_FRAMES, type TreeState } from '../../state/state.js';
import type { Reader } from '../reader.js';
import type { Way } from '../way.js';

/** Blobs that the store is told of ahead of a scan. */
const MOST_AHEAD = 4;

export class MissingBlob {
  readonly #state: TreeState;
  readonly #reader: Reader;
  readonly #way: Way;
  /** 0: none is missing. */
  id = 0;
  #parent = -1;
  #parentVersion = 0;
  /** Blobs that the scan will want after it. */
  readonly #ahead: number[] = [];

  constructor(state: TreeState, reader: Reader, way: Way) {
    this.#state = state;
    this.#reader = reader;
    this.#way = way;
  }

  isRoot(): void {
    this.id = this.#state.root;
    this.#parent = -1;
    this.#ahead.length = 0;
  }

  /** It was found in the innermost frame of the way, which has this index and had this version. */
  isBelow(parent: number, version: number, blobId: number): void {
    this.id = blobId;
    this.#parent = parent;
    this.#parentVersion = version;
    this.#lookAhead(this.#state.cache.frame(parent), blobId);
  }

  /** Loads it, holding nothing. `goesOn`: the scan will want more than one entry. */
  load(goesOn: boolean): void {
    if (goesOn && this.#ahead.length > 0) this.#state.store.readAhead?.(this.#ahead);
    const { key, lengths, depth } = this.#way;
    try {
      this.#reader.loadBelow(this.id, this.#parent, this.#parentVersion);
    } catch (error) {
      // If the way has changed meanwhile, it tells nothing of where the blob is.
      const length = depth === 0 ? 0 : lengths[depth - 1]! + 1;
      if (this.#way.isValid()) this.#state.noteUnreadable(error, key, length);
      throw error;
    }
  }

  /** The way down does not fit into the frames that dirty ones leave, so its blobs push each other out. */
  makeRoom(): void {
    if (this.#state.treeLock.held) throw NEED_FRAMES;
    this.#reader.makeRoom();
  }

  /** Notes the blobs that the innermost node leads to after this one, as far as they are not resident. */
  #lookAhead(frame: Frame, blobId: number): void {
    const way = this.#way;
    const top = way.depth - 1;
    this.#ahead.length = 0;
    if (top < 0 || way.levels[top] !== way.level) return;
    const node = way.nodes[top]!;
    let last = blobId;
    let byte = nextChildByte(frame, node, way.key[way.lengths[top]!]!);
    for (; byte >= 0 && this.#ahead.length < MOST_AHEAD; byte = nextChildByte(frame, node, byte + 1)) {
      const child = frame.u16[findChild(frame, node, byte) >> 1]! << 3;
      if ((frame.u8[child]! & 15) !== KIND_CROSSING) continue;
      const next = frame.u32[(child + X_BLOB_ID) >> 2]!;
      if (next === last || this.#state.cache.find(next) >= 0) continue;
      this.#ahead.push(next);
      last = next;
    }
  }
}
