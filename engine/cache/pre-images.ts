/**
 * Images of captured blobs that had to change, or died, before the checkpoint round copied them.
 *
 * Rules: slots are taken and freed under the tree lock. Whoever frees one rings C_ROUND_BELL, on which
 * writers that found none wait; the round frees all its slots when it ends, well or badly.
 */
import { BLOB_SIZE } from '../limits.js';
import { C_ROUND_BELL, type Control } from '../shared/control.js';

/** Slots for each frame of the cache, and at least: a writer at random meets most of what a round has captured at once. */
const SLOTS_SHARE = 1 / 8;
const LEAST_SLOTS = 8;

export interface PreImagesHandle {
  images: SharedArrayBuffer;
  owners: SharedArrayBuffer;
}

export class PreImages {
  readonly handle: PreImagesHandle;
  readonly #control: Control;
  readonly #owners: Int32Array;

  /** For a new cache of so many frames, or those of another thread. Memory is taken as far as slots are used. */
  constructor(control: Control, from: { frames: number } | PreImagesHandle) {
    this.#control = control;
    if ('frames' in from) {
      const slots = Math.max(LEAST_SLOTS, Math.floor(from.frames * SLOTS_SHARE));
      this.handle = {
        images: new SharedArrayBuffer(slots * BLOB_SIZE),
        owners: new SharedArrayBuffer(slots * 4),
      };
    } else this.handle = from;
    this.#owners = new Int32Array(this.handle.owners);
  }

  /** Keeps a copy of the image; false when all slots are taken. */
  keep(blobId: number, image: Uint8Array): boolean {
    const slot = this.#owners.indexOf(0);
    if (slot < 0) return false;
    this.#image(slot).set(image);
    this.#owners[slot] = blobId;
    return true;
  }

  /** All slots together may be longer than a typed array can be. */
  #image(slot: number): Uint8Array {
    return new Uint8Array(this.handle.images, slot * BLOB_SIZE, BLOB_SIZE);
  }

  get free(): number {
    let count = 0;
    for (const owner of this.#owners) if (owner === 0) count++;
    return count;
  }

  /** Moves the kept image of the blob into `into` and frees its slot; false when there is none. */
  take(blobId: number, into: Uint8Array): boolean {
    const slot = this.#owners.indexOf(blobId);
    if (slot < 0) return false;
    into.set(this.#image(slot));
    this.#owners[slot] = 0;
    this.#ring();
    return true;
  }

  /** A blob whose image waits to be taken, or 0. */
  waiting(): number {
    for (const owner of this.#owners) if (owner !== 0) return owner;
    return 0;
  }

  clear(): void {
    this.#owners.fill(0);
    this.#ring();
  }

  #ring(): void {
    Atomics.add(this.#control.words, C_ROUND_BELL, 1);
    Atomics.notify(this.#control.words, C_ROUND_BELL);
  }
}
