/** What a remote has of a store: what whoever ships to it goes on from. */
import { comparePositions, type Position } from '../../remote/objects/names.js';
import type { Catalog } from '../checkpoints/catalog.js';

/** An object of the journal that the remote's checkpoint does not have, or not all of it. */
export interface ShippedObject {
  place: Position;
  lastLsn: number;
  bytes: number;
}

export interface ShippedState {
  /** All records up to this one are in the remote, in its journal or a checkpoint. */
  lsn: number;
  catalog: Catalog | undefined;
  /** In order. */
  objects: ShippedObject[];
  /**
   * Behind the last of them that the journal has. Not where the writer's next one goes: what is on its way, or waits for the lease, may be there
   * already, and no checkpoint may pass over it.
   */
  end: Position;
  /** Names of all objects with contents that may be needed. */
  contents: Set<string>;
  /** The store was just made of the remote: it has no content of its own. */
  isRestored: boolean;
}

/** Notes that an object is in the journal. */
export function noteObject(state: ShippedState, object: ShippedObject): void {
  const { epoch, sequence } = object.place;
  state.objects.push(object);
  state.end = { epoch, sequence: sequence + 1 };
  state.lsn = Math.max(state.lsn, object.lastLsn);
}

/** The first object that has records after `lsn`. */
export function placeAfter({ objects, end }: ShippedState, lsn: number): Position {
  return objects.find(({ lastLsn }) => lastLsn > lsn)?.place ?? end;
}

/** Notes that a checkpoint with all up to the place, and up to its mark, is HEAD's. */
export function noteCheckpoint(state: ShippedState, catalog: Catalog, journal: Position): void {
  state.catalog = catalog;
  state.objects = state.objects.filter(({ place }) => comparePositions(place, journal) >= 0);
  state.lsn = Math.max(state.lsn, catalog.mark.lsn);
}
