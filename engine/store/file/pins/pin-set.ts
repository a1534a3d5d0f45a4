/**
 * Pins and the rows that are kept for them, as a row of records tells it.
 *
 * A pin keeps the rows that are there when it is added: those whose generation is not above its own, since all that is
 * written later has a greater one. So adding a pin notes nothing but the pin. A row that is replaced or deleted while pins
 * keep it becomes a kept row, for the pins from the first of its generation or above to the newest; it is dropped once all
 * of these are removed.
 */
import type { Pin } from '../../blob-store.js';
import type { StoredRow } from '../slot-map.js';
import type { KeptRow, PinsPart } from './pins-part.js';

/** Whether a pin keeps the row that was there up to pin `lastPin`. */
export function keeps(pin: Pin, generation: number, lastPin: number): boolean {
  return generation <= pin.generation && pin.id <= lastPin;
}

/** The first and the last of `pins` (by ascending id) that keep a row; undefined where none does. */
export function keepersOf(
  pins: readonly Pin[],
  generation: number,
  lastPin: number,
): { first: number; last: number } | undefined {
  // Generations ascend with the ids.
  let first = 0;
  while (first < pins.length && pins[first]!.generation < generation) first++;
  let last = pins.length - 1;
  while (last >= 0 && pins[last]!.id > lastPin) last--;
  return first <= last ? { first, last } : undefined;
}

export class PinSet {
  pins: Pin[] = [];
  lastPin = 0;
  /** By slot. */
  readonly kept = new Map<number, KeptRow>();

  /** The row is about to be replaced or deleted. */
  keep(row: StoredRow | undefined): void {
    const newest = this.pins.at(-1);
    if (row === undefined || newest === undefined || row.generation > newest.generation) return;
    this.kept.set(row.slot, { ...row, lastPin: newest.id });
  }

  apply({ pins, removed, kept, lastPin }: PinsPart): void {
    for (const row of kept) this.kept.set(row.slot, row);
    if (removed.length > 0) {
      this.pins = this.pins.filter(({ id }) => !removed.includes(id));
      for (const row of this.kept.values()) {
        if (keepersOf(this.pins, row.generation, row.lastPin) === undefined) this.kept.delete(row.slot);
      }
    }
    this.pins.push(...pins);
    this.lastPin = lastPin;
  }

  /** What a snapshot of the manifest tells; undefined where there never was a pin. */
  whole(): PinsPart | undefined {
    if (this.lastPin === 0) return undefined;
    return { lastPin: this.lastPin, pins: this.pins, removed: [], kept: [...this.kept.values()] };
  }
}
