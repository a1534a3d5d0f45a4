/**
 * Whether any file of the store has, or has had, a SELinux label.
 *
 * `ls -l` asks for the label of each file, and no kernel keeps that there is none: one request a file, every time. Where
 * none was ever set the answer is that this filesystem knows no labels (EOPNOTSUPP), after which programs do not
 * ask again.
 */
import type { Batch, TreeReads } from '../../../engine/api.js';
import { equalBytes, LABELS_KEY } from './keys.js';

export const LABEL: Uint8Array = Buffer.from('security.selinux');
const NOTHING = new Uint8Array(0);

export class Labels {
  #exist: boolean;

  constructor(tree: TreeReads) {
    this.#exist = tree.getVersion(LABELS_KEY) !== undefined;
  }

  /** Whether this is the name of a label, and there are none. */
  isUnknown(name: Uint8Array): boolean {
    return !this.#exist && equalBytes(LABEL, name);
  }

  /** Puts on record that there are labels; `set` is to be called once the batch is made. */
  record(batch: Batch): void {
    batch.put(LABELS_KEY, NOTHING);
  }

  set(): void {
    this.#exist = true;
  }
}
