import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytes, Fixture } from './fixture.js';

const NAMES = Array.from({ length: 30 }, (_, i) => `n${String(i).padStart(2, '0')}`);

describe('listing', () => {
  let f: Fixture;
  beforeEach(() => {
    f = new Fixture();
    for (const name of NAMES) f.create(`/${name}`);
  });
  afterEach(() => f.cleanUp());

  /** Reads on from an offset in replies of `room`; the client takes `taken` of each. */
  const readOn = (handle: number, from: number, room: number, taken = room): string[] => {
    const names: string[] = [];
    for (let offset = from; ; ) {
      const reply = f.readdir(handle, offset, room).slice(0, taken);
      if (reply.length === 0) return names;
      for (const entry of reply) {
        expect(entry.next).toBeGreaterThan(offset);
        offset = entry.next;
        names.push(entry.name);
      }
    }
  };

  it('gives all entries once, for any size of reply and any part taken', () => {
    for (const [room, taken] of [
      [1, 1],
      [7, 7],
      [7, 3],
      [1000, 2],
    ] as const) {
      const handle = f.fs.opendir(bytes(''));
      expect(readOn(handle, 0, room, taken)).toEqual(['.', '..', ...NAMES]);
      f.fs.releasedir(handle);
    }
  });

  it('tells inodes and types, with directories and links, without what is below', () => {
    f.mkdir('/dir');
    f.create('/dir/below');
    f.create('/dir!');
    f.link('/n00', '/link');
    const handle = f.fs.opendir(bytes('/dir'));
    expect(f.readdir(handle, 0).map((e) => [e.name, e.ino])).toEqual([
      ['.', f.stat('/dir').ino],
      ['..', 1],
      ['below', f.stat('/dir/below').ino],
    ]);
    const root = f.readdir(f.fs.opendir(bytes('')), 0, Number.POSITIVE_INFINITY, true);
    expect(root.slice(0, 5).map((e) => e.name)).toEqual(['.', '..', 'dir', 'dir!', 'link']);
    expect(root[2]?.mode).toBe(0o040755);
    expect(root[4]?.attributes).toEqual(f.stat('/n00'));
  });

  it('neither misses nor repeats what is there throughout', () => {
    const handle = f.fs.opendir(bytes(''));
    const seen: string[] = [];
    let offset = 0;
    for (let round = 0; ; round++) {
      const reply = f.readdir(handle, offset, 4);
      if (reply.length === 0) break;
      for (const entry of reply) seen.push(entry.name);
      offset = reply.at(-1)!.next;
      // The entry that the position follows goes, others come before and after it.
      if (round % 2 === 1) f.unlink(`/${reply.at(-1)!.name}`);
      f.create(`/a${round}`);
      f.create(`/n${String(round * 3).padStart(2, '0')}x`);
    }
    const old = seen.filter((name) => /^n\d\d$/.test(name));
    expect(old).toEqual(NAMES);
  });

  it('holds every offset when entries before, at and after it come and go', () => {
    const handle = f.fs.opendir(bytes(''));
    const first = f.readdir(handle, 0);
    const gone = new Set(['n00', 'n05', 'n06', 'n17', 'n29']);
    for (const name of gone) f.unlink(`/${name}`);
    for (const name of ['a', 'n05x', 'n10a', 'n10b', 'z']) f.create(`/${name}`);
    for (let pass = 0; pass < 2; pass++) {
      for (let i = 1; i < first.length; i++) {
        const expected = first
          .slice(i + 1)
          .map((entry) => entry.name)
          .filter((name) => !gone.has(name));
        const after = readOn(handle, first[i]!.next, 5).filter((name) => NAMES.includes(name));
        expect(after).toEqual(expected);
      }
    }
  });

  it('goes on in another handle from the same offset', () => {
    const one = f.readdir(f.fs.opendir(bytes('')), 0);
    const other = f.fs.opendir(bytes(''));
    expect(readOn(other, one[11]!.next, 6)).toEqual(NAMES.slice(10));
  });

  it('reads anew after a rewind', () => {
    const handle = f.fs.opendir(bytes(''));
    readOn(handle, 0, 9);
    f.unlink('/n00');
    f.create('/a');
    expect(readOn(handle, 0, 9)).toEqual(['.', '..', 'a', ...NAMES.slice(1)]);
  });

  it('does not loop when a reader that deletes takes single entries', () => {
    const handle = f.fs.opendir(bytes(''));
    let offset = 0;
    let count = 0;
    for (;;) {
      const entry = f.readdir(handle, offset, 3)[0];
      if (entry === undefined) break;
      offset = entry.next;
      if (entry.name.startsWith('.')) continue;
      count++;
      expect(f.unlink(`/${entry.name}`)).toBe(0);
    }
    expect(count).toBe(NAMES.length);
    expect(f.list('')).toEqual([]);
  });
});

describe('listing a large directory', () => {
  it('finds any position again with few anchors', () => {
    const f = new Fixture();
    try {
      const count = 20_000;
      f.create('/template');
      const record = f.tree.get('d/template')!;
      f.unlink('/template');
      f.tree.atomic((batch) => {
        for (let i = 0; i < count; i++) batch.put(`d/${String(i).padStart(6, '0')}`, record);
      });
      const handle = f.fs.opendir(bytes(''));
      const offsets: number[] = [];
      for (let offset = 0; ; ) {
        const reply = f.readdir(handle, offset, 1000);
        if (reply.length === 0) break;
        for (const entry of reply) offsets.push(entry.next);
        offset = offsets.at(-1)!;
      }
      expect(offsets.length).toBe(count + 2);
      for (const at of [0, 1, 4095, 8191, 8192, 12_345, 19_998]) {
        const [entry] = f.readdir(handle, offsets[at + 2]!, 1);
        expect(entry?.name).toBe(String(at + 1).padStart(6, '0'));
      }
    } finally {
      f.cleanUp();
    }
  });
});
