import { describe, expect, it } from 'vitest';
import {
  hashIn,
  hashOf,
  NO_OFFSET,
  offsetAfter,
  ordinalsIn,
} from '../../mount/filesystem/directories/directory-offsets.js';
import { GoneNames } from '../../mount/filesystem/directories/gone-names.js';
import { bytes } from './fixture.js';

describe('offsets in directories', () => {
  it('hold the hash of the name, and about which entry it was', () => {
    const name = bytes('a name');
    for (const ordinal of [
      1,
      2,
      2_047,
      2_048,
      2_049,
      4_095,
      4_096,
      1_000_000,
      2 ** 25 - 1,
      2 ** 25,
      2 ** 31,
    ]) {
      const offset = offsetAfter(name, ordinal);
      expect(Number.isSafeInteger(offset) && offset < NO_OFFSET).toBe(true);
      expect(hashIn(offset)).toBe(hashOf(name));
      const { first, last } = ordinalsIn(offset);
      expect(first <= ordinal && ordinal <= last).toBe(true);
      if (ordinal < 2_048) expect([first, last]).toEqual([ordinal, ordinal]);
      else if (ordinal < 2 ** 25 - 2 ** 14) expect(last - first).toBeLessThan(ordinal / 1_000);
    }
  });

  it('have hints that ascend without gaps', () => {
    const name = bytes('x');
    const wrong: number[] = [];
    let before = 0;
    for (let ordinal = 1; ordinal < 100_000; ordinal++) {
      const { first, last } = ordinalsIn(offsetAfter(name, ordinal));
      if ((first !== before && first !== ordinal) || last < ordinal) wrong.push(ordinal);
      before = first;
    }
    expect(wrong).toEqual([]);
  });

  it('are of few collisions among similar names', () => {
    const hashes = new Set<number>();
    for (let i = 0; i < 100_000; i++) hashes.add(hashOf(bytes(`file-${i}`)));
    expect(hashes.size).toBe(100_000);
  });
});

describe('names that are gone', () => {
  it('are found by their hashes, however many', () => {
    const names = new GoneNames();
    const count = 50_000;
    for (let i = 0; i < count; i++) names.add(bytes(`name ${i}`));
    names.add(bytes('name 7'));
    for (const i of [0, 7, 12_345, count - 1]) {
      expect(Buffer.from(names.find(hashOf(bytes(`name ${i}`))) ?? []).toString()).toBe(`name ${i}`);
    }
    expect(names.find(hashOf(bytes('another')))).toBeUndefined();
    const longest = 'n'.repeat(255);
    names.add(bytes(longest));
    expect(Buffer.from(names.find(hashOf(bytes(longest))) ?? []).toString()).toBe(longest);
  });

  it('are forgotten when very many others went later', () => {
    const names = new GoneNames();
    for (let i = 0; i < 300_000; i++) names.add(bytes(String(i)));
    expect(names.find(hashOf(bytes('0')))).toBeUndefined();
    expect(names.find(hashOf(bytes('200000')))).toBeDefined();
    expect(names.find(hashOf(bytes('299999')))).toBeDefined();
  });
});
