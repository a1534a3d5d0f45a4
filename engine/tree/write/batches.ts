/** Records batches, and has a writer make them. */
import type { Batch } from '../../api.js';
import { BatchEncoder } from '../../journal/records/batch-encoder.js';
import { Slab } from '../state/slab.js';
import { BatchRecorder, type GuardFailure } from './batch.js';
import type { Change } from './changes.js';
import type { Projection } from './projected-tree.js';
import type { Writer } from './writer.js';

export class Batches {
  readonly #writer: Writer;
  readonly #projection: Projection;
  readonly #slab = new Slab();
  readonly #encoder = new BatchEncoder();

  /** `projection` is what batches see of the tree. */
  constructor(writer: Writer, projection: Projection) {
    this.#writer = writer;
    this.#projection = projection;
  }

  /** Does what `record` records; or nothing, where a guard fails, which is returned. `mayUseReserve`: see AtomicOptions. */
  play(record: (batch: Batch) => void, mayUseReserve: boolean): GuardFailure | undefined {
    const batch = new BatchRecorder(this.#slab);
    batch.record(record);
    const done = this.#writer.batch(
      () => batch.play(this.#projection),
      (changes) => this.#encode(changes),
      mayUseReserve,
    );
    return done ? undefined : batch.failure;
  }

  /** Makes changes that were guarded elsewhere. */
  apply(changes: Change[]): void {
    this.#writer.batch(
      () => changes,
      (made) => this.#encode(made),
      true,
    );
  }

  #encode(changes: readonly Change[]): { body: Uint8Array; length: number } {
    const encoder = this.#encoder;
    encoder.reset();
    for (const change of changes) {
      if ('source' in change) encoder.graft(change.source, change.destination);
      else if (change.value === undefined) encoder.delete(change.key);
      else encoder.put(change.key, change.value);
    }
    return { body: encoder.body(), length: encoder.length };
  }
}
