import { expect, it } from 'vitest';
import { SlotMap, type StoredRow } from '../../../engine/store/file/slot-map.js';

it('tells the row of a slot that is held, though its blob has been replaced or removed meanwhile', () => {
  const map = new SlotMap();
  const row: StoredRow = {
    id: 7,
    slot: 3,
    crc: 0xdeadbeef,
    generation: 5,
    liveBytes: 100,
    leaves: 2,
    crossings: 1,
    compactions: 4,
    height: 2,
  };
  map.set(row);
  const slot = map.holdBlob(7);
  expect(map.set({ ...row, slot: 9, crc: 1 })).toBe(3);
  expect(map.rowAt(slot, 7)).toEqual(row);
  const second = map.holdBlob(7);
  map.remove(7);
  expect(map.rowAt(second, 7)).toEqual({ ...row, slot: 9, crc: 1 });
  expect(map.holdBlob(7)).toBe(-1);
});
