/** Inodes that their last handle left LIVE, by number; which they are may be kept for another process, too. */
import type { Aligned } from '../contents/open-inode.js';
import type { LeftKeeper } from '../types.js';

/** The backing file's mtime after it was given the record's. */
export interface LeftInode extends Aligned {
  /** Of its record. */
  key: Uint8Array;
}

export class LeftTable extends Map<number, LeftInode> {
  readonly #keeper: LeftKeeper | undefined;

  constructor(keeper: LeftKeeper | undefined) {
    super();
    this.#keeper = keeper;
  }

  override set(ino: number, left: LeftInode): this {
    this.#keeper?.keep(ino);
    return super.set(ino, left);
  }

  override delete(ino: number): boolean {
    if (!super.delete(ino)) return false;
    this.#keeper?.drop(ino);
    return true;
  }
}
