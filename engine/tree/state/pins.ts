/** The pins of the tree's store, which are its snapshots, by their names. */
import { SpinneyError } from '../../errors.js';
import { MAX_SNAPSHOT_NAME_BYTES } from '../../limits.js';
import { type CheckpointMark, isSnapshot, type Pin, type Pins } from '../../store/blob-store.js';
import type { TreeState } from './state.js';

/** @throws ERR_NO_SNAPSHOTS where the tree is on a store that keeps none */
export function pinsOf({ store, place }: TreeState): Pins {
  if (store.pins !== undefined) return store.pins;
  throw new SpinneyError(
    'ERR_NO_SNAPSHOTS',
    `Cannot use snapshots of the tree in ${place}: its BlobStore has no pins`,
  );
}

/** The snapshot of this name. `action`: what it is for. @throws ERR_NOT_FOUND, ERR_INVALID_ARGUMENT */
export function findPin(state: TreeState, name: string, action: string): Pin {
  return pinNamed(state, snapshotName(name), action);
}

/** As `findPin`, of a name that is known to be one. */
export function pinNamed(state: TreeState, name: string, action: string): Pin {
  const pin = pinsOf(state)
    .list()
    .find((other) => other.name === name);
  if (pin !== undefined) return pin;
  throw new SpinneyError(
    'ERR_NOT_FOUND',
    `Cannot ${action} snapshot ${JSON.stringify(name)} of ${state.place}: there is none of this name`,
  );
}

/** The checkpoint that is kept for whoever ships it, and what a store that holds it is to publish with it; undefined where there is none. */
export function keptForShipping(state: TreeState): { pin: Pin; mark: CheckpointMark } | undefined {
  const pin = pinsOf(state)
    .list()
    .find((other) => !isSnapshot(other));
  if (pin === undefined) return undefined;
  const { lsn, generation } = pin;
  const { measure } = state.options;
  // Blobs that were made since have ids below the next one, too.
  const nextBlobId = state.store.readMark()?.nextBlobId ?? 1;
  const mark = { lsn, generation, nextBlobId, pendingDeletes: [] };
  if (measure === undefined) return { pin, mark };
  return { pin, mark: { ...mark, measure: { name: measure.name, fields: measure.fields } } };
}

/** A name that a directory could have. @throws ERR_INVALID_ARGUMENT */
export function snapshotName(name: string): string {
  const fail = (what: string): never => {
    const shown = JSON.stringify(String(name).slice(0, 100));
    throw new SpinneyError('ERR_INVALID_ARGUMENT', `Cannot use ${shown} as a name of a snapshot: ${what}`);
  };
  if (typeof name !== 'string') fail('it is not a string');
  const bytes = Buffer.byteLength(name);
  if (bytes === 0) fail('it is empty');
  if (bytes > MAX_SNAPSHOT_NAME_BYTES) fail(`it has ${bytes} bytes, the limit is ${MAX_SNAPSHOT_NAME_BYTES}`);
  if (name === '.' || name === '..') fail('a directory means something else by it');
  if (name.includes('/') || name.includes('\0')) fail('it has a slash or a zero byte');
  if (Buffer.from(name).toString() !== name) fail('it is not well-formed Unicode');
  return name;
}

export function snapshotDeleted(name: string, place: string): SpinneyError {
  return new SpinneyError(
    'ERR_SNAPSHOT_DELETED',
    `Cannot go on with snapshot ${JSON.stringify(name)} of ${place}: it was deleted`,
  );
}
