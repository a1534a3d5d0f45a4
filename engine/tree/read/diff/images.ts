/**
 * The images that a comparison has in memory: those on the two ways down, and a few more. One that both sides share is there
 * once, so whoever meets the same image on both sides meets the same object.
 */
import { Frame } from '../../../art/frame.js';
import { BLOB_SIZE } from '../../../limits.js';
import type { BlobId } from '../../../store/blob-store.js';
import type { Side } from './sides.js';

/** Images that are kept though they are on no way. */
const MOST_IDLE = 8;

export interface Image {
  readonly frame: Frame;
  readonly key: string;
  /** How many places of the ways are in it. */
  users: number;
}

export class Images {
  /** Least recently taken first. */
  readonly #images = new Map<string, Image>();
  readonly #free: Frame[] = [];
  #idle = 0;
  /** Images that were loaded so far. */
  loads = 0;

  /** The blob's image, which stays until it is given back as often as it was taken. */
  take(side: Side, id: BlobId): Image {
    const generation = side.imageOf(id)?.generation;
    // What may change is of this one way down.
    const key = generation === undefined ? `${id}` : `${id} ${generation}`;
    const known = this.#images.get(key);
    if (known !== undefined) {
      if (known.users++ === 0) this.#idle--;
      this.#images.delete(key);
      this.#images.set(key, known);
      return known;
    }
    const frame = this.#free.pop() ?? new Frame(new ArrayBuffer(BLOB_SIZE), 0);
    this.loads++;
    try {
      side.load(id, frame);
    } catch (error) {
      this.#free.push(frame);
      throw error;
    }
    const image = { frame, key, users: 1 };
    this.#images.set(key, image);
    return image;
  }

  giveBack(image: Image): void {
    if (--image.users > 0) return;
    this.#idle++;
    if (this.#idle <= MOST_IDLE) return;
    for (const [key, other] of this.#images) {
      if (other.users > 0) continue;
      this.#forget(key, other);
      return;
    }
  }

  /** The tree goes on: what is known of it only by the blob's id does not count any more. REQUIRES that all is given back. */
  forgetLive(): void {
    for (const [key, image] of this.#images) if (!key.includes(' ')) this.#forget(key, image);
  }

  #forget(key: string, { frame }: Image): void {
    this.#images.delete(key);
    this.#idle--;
    this.#free.push(frame);
  }
}
