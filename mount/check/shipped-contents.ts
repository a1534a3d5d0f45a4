/**
 * Checks the contents that a remote has against the records. A content gets there after the record that tells its size: what is still to come is
 * counted, and is damage only where nobody will bring it.
 */
import { faultOf, NO_FILE } from '../filesystem/contents/disk/faults.js';
import { ContentSet } from '../filesystem/records/inode-set.js';
import * as record from '../filesystem/records/record.js';
import type { CheckedContents, ContentFindings } from './checked-contents.js';

/** What a remote says of contents. */
export interface ShippedContents {
  /** Bytes of the content that the remote has, and what of them is damaged or missing; undefined: it has none. */
  find(ino: number, born: number): { bytes: number; fault: string | undefined } | undefined;
  /** Each content that the remote has. */
  list(): Iterable<{ ino: number; born: number }>;
  /** A writer has the remote, and ships what is missing. */
  readonly isBeingShipped: boolean;
}

/** Files whose contents are not in the remote yet, or only older ones. */
export interface Unshipped {
  files: number;
  bytes: number;
}

export class ShippedContentCheck implements CheckedContents {
  readonly #shipped: ShippedContents;
  readonly #unshipped: Unshipped;
  readonly #findings: ContentFindings;
  readonly #told = new ContentSet();

  /** Counts in `unshipped`. */
  constructor(shipped: ShippedContents, unshipped: Unshipped, findings: ContentFindings) {
    this.#shipped = shipped;
    this.#unshipped = unshipped;
    this.#findings = findings;
  }

  check(where: string, inode: Uint8Array): void {
    const found = record.hasFlag(inode, record.CONTENT)
      ? this.#shipped.find(record.inoOf(inode), record.bornOf(inode))
      : undefined;
    if (found?.fault !== undefined) {
      this.#findings.damage(`${where}: ${found.fault} (inode ${record.inoOf(inode)})`);
      return;
    }
    const fault = faultOf(inode, found?.bytes ?? NO_FILE);
    if (fault === undefined) return;
    if (!this.#shipped.isBeingShipped) {
      this.#findings.damage(`${where}: ${fault} (inode ${record.inoOf(inode)})`);
      return;
    }
    this.#unshipped.files++;
    this.#unshipped.bytes += record.sizeOf(inode);
  }

  expect(inode: Uint8Array): void {
    if (record.hasFlag(inode, record.CONTENT)) this.#told.add(record.inoOf(inode), record.bornOf(inode));
  }

  keep(ino: number, born: number): void {
    this.#told.add(ino, born);
  }

  checkKept(where: string, inode: Uint8Array): void {
    this.check(where, inode);
  }

  finish(): number {
    let count = 0;
    for (const { ino, born } of this.#shipped.list()) {
      count++;
      if (this.#told.has(ino, born)) continue;
      const made = born === 0 ? '' : `, made after snapshot ${born}`;
      this.#findings.note(`content of inode ${ino}${made}: no file has it, and the writer gives it up`);
    }
    return count;
  }
}
