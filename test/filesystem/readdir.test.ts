import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LISTED_CHANGED } from '../../mount/filesystem/types.js';
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
    const offsets = new Set([from]);
    for (let offset = from; ; ) {
      const reply = f.readdir(handle, offset, room).slice(0, taken);
      if (reply.length === 0) return names;
      for (const entry of reply) {
        offset = entry.next;
        expect(offsets.has(offset)).toBe(false);
        offsets.add(offset);
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

  it('goes on in another handle where the offset was, whatever came and went before it', () => {
    // The kernel gives what it keeps of one handle's listing to others, which come here later.
    const told = f.readdir(f.fs.opendir(bytes('')), 0);
    const other = f.fs.opendir(bytes(''));
    for (const name of NAMES.slice(0, 10)) f.unlink(`/${name}`);
    for (const name of ['a', 'b', 'c', 'n20x']) f.create(`/${name}`);
    // After an entry that is gone, after the last one that is gone, and after one that is there.
    for (const at of [4, 11, 20]) {
      const old = readOn(other, told[at]!.next, 6).filter((name) => NAMES.includes(name));
      expect(old).toEqual(NAMES.slice(Math.max(at - 1, 10)));
    }
  });

  it('never gives an offset of one listing to another entry in the next', () => {
    const offsets = () =>
      f.readdir(f.fs.opendir(bytes('')), 0).map(({ name, next }) => [next, name] as const);
    const before = new Map(offsets());
    for (const name of NAMES.slice(0, 10)) f.unlink(`/${name}`);
    for (const [next, name] of offsets()) expect(before.get(next) ?? name).toBe(name);
  });

  it('goes on after a name that another directory or name took over', () => {
    f.mkdir('/dir');
    const told = f.readdir(f.fs.opendir(bytes('')), 0);
    const other = f.fs.opendir(bytes(''));
    f.rename('/n00', '/dir/n00');
    f.rename('/n01', '/n29');
    f.rename('/n02', '/zzz');
    const [first, second, third] = told.filter(({ name }) => /^n0[012]$/.test(name));
    for (const { next } of [first!, second!, third!]) {
      expect(readOn(other, next, 9)).toEqual([...NAMES.slice(3), 'zzz']);
    }
  });

  it('leaves nothing out after an offset that nobody knows', () => {
    const gone = f.readdir(f.fs.opendir(bytes('')), 0)[7]!.next;
    // Nobody had the directory open when the name went.
    f.fs.releasedir(1);
    f.unlink('/n05');
    const handle = f.fs.opendir(bytes(''));
    expect(readOn(handle, gone, 9)).toEqual(NAMES.filter((name) => name !== 'n05'));
    expect(readOn(handle, 2 ** 60, 9)).toEqual([]);
  });

  it('tells at the end whether the directory changed while any handle was open', () => {
    const end = (handle: number) => {
      const { next } = f.readdir(handle, 0).at(-1)!;
      return f.fs.readdir(handle, next, false, () => true);
    };
    const one = f.fs.opendir(bytes(''));
    const other = f.fs.opendir(bytes(''));
    expect([end(one), end(other)]).toEqual([0, 0]);
    f.unlink('/n07');
    const later = f.fs.opendir(bytes(''));
    expect([end(one), end(later)]).toEqual([LISTED_CHANGED, LISTED_CHANGED]);
    f.fs.releasedir(one);
    f.fs.releasedir(other);
    expect(end(later)).toBe(0);
    f.create('/n07');
    expect(end(later)).toBe(LISTED_CHANGED);
    // A place where there is more is not the end, even with no room for it.
    expect(f.fs.readdir(later, 0, false, () => false)).toBe(0);
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
  const COUNT = 20_000;
  const nameOf = (i: number) => String(i).padStart(6, '0');
  let f: Fixture;
  beforeEach(() => {
    f = new Fixture();
    f.create('/template');
    const record = f.tree.get('d/template')!;
    f.unlink('/template');
    f.tree.atomic((batch) => {
      for (let i = 0; i < COUNT; i++) batch.put(`d/${nameOf(i)}`, record);
    });
  });
  afterEach(() => f.cleanUp());

  /** The offset after each entry, `.` and `..` left out. */
  const listAll = (handle: number): number[] => {
    const offsets: number[] = [];
    for (let offset = 0; ; ) {
      const reply = f.readdir(handle, offset, 1000);
      if (reply.length === 0) return offsets.slice(2);
      for (const entry of reply) offsets.push(entry.next);
      offset = offsets.at(-1)!;
    }
  };

  it('finds any position again with few anchors', () => {
    const handle = f.fs.opendir(bytes(''));
    const offsets = listAll(handle);
    expect(offsets.length).toBe(COUNT);
    expect(new Set(offsets).size).toBe(COUNT);
    for (const at of [0, 1, 4095, 8191, 8192, 12_345, 19_998]) {
      expect(f.readdir(handle, offsets[at]!, 1)[0]?.name).toBe(nameOf(at + 1));
    }
    expect(f.readdir(handle, offsets.at(-1)!, 1)).toEqual([]);
  });

  it('holds positions while thousands of entries come and go before, at and after them', () => {
    const told = f.fs.opendir(bytes(''));
    const offsets = listAll(told);
    const other = f.fs.opendir(bytes(''));
    const isGone = (i: number) => i % 3 === 0 || (i >= 9_000 && i < 11_000);
    for (let i = 0; i < COUNT; i++) if (isGone(i)) f.unlink(`/${nameOf(i)}`);
    for (let i = 0; i < COUNT; i += 7) f.create(`/${nameOf(i)}x`);
    for (const handle of [told, other]) {
      for (const at of [0, 1, 2, 8_999, 9_000, 10_500, 12_345, 12_346, 12_347, 19_990]) {
        const seen: string[] = [];
        for (let offset = offsets[at]!; seen.length < 20; ) {
          const reply = f.readdir(handle, offset, 3);
          if (reply.length === 0) break;
          offset = reply.at(-1)!.next;
          for (const { name } of reply) if (name.length === 6) seen.push(name);
        }
        const expected: string[] = [];
        for (let i = at + 1; i < COUNT && expected.length < seen.length; i++) {
          if (!isGone(i)) expected.push(nameOf(i));
        }
        expect(seen.length).toBeGreaterThan(0);
        expect(seen).toEqual(expected);
      }
    }
  });
});
