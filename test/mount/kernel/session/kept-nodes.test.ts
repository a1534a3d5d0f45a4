/** The rows of the table of nodes at every store to them: what another process makes of them. */
import { describe, expect, test } from 'vitest';
import { type GrowingMemory, HeapMemory } from '../../../../mount/kernel/kept/growing-memory.js';
import type { NodeMemory } from '../../../../mount/kernel/kept/node-memory.js';
import { ReusableBytes } from '../../../../mount/kernel/protocol/reusable-bytes.js';
import { NodeTable } from '../../../../mount/kernel/session/node-table.js';
import { seededRandom } from '../../../support/disk/random.js';

const into = new ReusableBytes(64);
const bytes = (name: string) => Buffer.from(name);

function newMemory(): NodeMemory {
  return { nodes: new HeapMemory(256), aliases: new HeapMemory(256), names: new HeapMemory(128) };
}

/** The same bytes in other memory. */
function copyOf({ nodes, aliases, names }: NodeMemory): NodeMemory {
  const copied = (memory: GrowingMemory): GrowingMemory => {
    const copy = new HeapMemory(memory.length);
    new Uint8Array(copy.buffer).set(new Uint8Array(memory.buffer));
    return copy;
  };
  return { nodes: copied(nodes), aliases: copied(aliases), names: copied(names) };
}

/** What the table tells of each number. */
function shown(table: NodeTable): string[] {
  const lines: string[] = [];
  for (let ino = 1; ino < 14; ino++) {
    const place = table.place(ino, into);
    lines.push(`${ino} ${typeof place === 'object' ? Buffer.from(place) : place} ${table.lookups(ino)}`);
  }
  return lines;
}

const lookupsIn = (line: string): number => Number(line.split(' ').at(-1));

/** Calls `stored` after each store to memory that is looked at through views of these constructors. */
function watchStores(stored: () => void): () => void {
  const originals = [Float64Array, Int32Array, Uint8Array] as const;
  const wrap = (view: object): object =>
    new Proxy(view, {
      get: (target, key) => {
        const value = Reflect.get(target, key) as unknown;
        return typeof value === 'function' ? value.bind(target) : value;
      },
      set: (target, key, value) => {
        Reflect.set(target, key, value);
        stored();
        return true;
      },
    });
  for (const original of originals) {
    const watched = function (this: unknown, ...given: [ArrayBuffer, number?, number?]) {
      const view = Reflect.construct(original, given) as object;
      // Those that are of a part of a buffer are rows; a table's other columns are its own.
      return given[0] instanceof ArrayBuffer && given.length > 1 ? wrap(view) : view;
    };
    Object.setPrototypeOf(watched, original);
    watched.prototype = original.prototype;
    Reflect.set(globalThis, original.name, watched);
  }
  return () => {
    for (const original of originals) Reflect.set(globalThis, original.name, original);
  };
}

describe('the rows of nodes', () => {
  test.each([1, 2, 3])('are whole after every store (seed %i)', (seed) => {
    const random = seededRandom(seed);
    const memory = newMemory();
    let before: string[] = [];
    let stores = 0;
    // Not told before the constructors are as they were: the tellers use them, too.
    const problems: string[] = [];
    const images: NodeMemory[] = [];
    const unwatch = watchStores(() => {
      stores++;
      images.push(copyOf(memory));
    });
    try {
      const table = new NodeTable(memory);
      const below = (limit: number) => Math.floor(random() * limit);
      for (let step = 0; step < 150; step++) {
        const [ino, parent] = [2 + below(12), 1 + below(4)];
        const [name, other] = [bytes(`n${below(4)}`), bytes(`a longer name ${below(3)}`)];
        before = shown(table);
        images.length = 0;
        const kind = below(4);
        // A number from 5 on is no directory, so nothing comes to be below itself.
        const child = Math.max(5, ino);
        if (!table.has(parent)) table.lookedUp(1, bytes(`d${parent}`), parent);
        else if (kind === 0) table.lookedUp(parent, name, child);
        else if (kind === 1) table.nameMoved(parent, name, 1, other, child);
        else if (kind === 2) table.nameRemoved(parent, name, child);
        else table.forget(child, 1 + below(2));
        const after = shown(table);
        for (const image of images.splice(0)) {
          let taken: string[];
          try {
            taken = shown(new NodeTable(image));
          } catch (error) {
            problems.push(`${(error as Error).message} in step ${step}`);
            continue;
          }
          for (const [i, line] of taken.entries()) {
            const counts = [before[i]!, after[i]!].map(lookupsIn);
            // Neither a count that was never told, nor a node less than both say.
            if (!counts.includes(lookupsIn(line)))
              problems.push(`${line} between ${before[i]} and ${after[i]} in step ${step}`);
          }
        }
      }
    } finally {
      unwatch();
    }
    expect(problems).toEqual([]);
    expect(stores).toBeGreaterThan(400);
  });

  test('are the same table to who takes them up', () => {
    const memory = newMemory();
    const table = new NodeTable(memory);
    for (let ino = 2; ino < 3000; ino++) {
      table.lookedUp(ino % 7 === 0 && ino > 100 ? 2 : 1, bytes(`name ${ino}`), ino);
      if (ino % 3 === 0) table.forget(ino, 1);
      if (ino % 5 === 0)
        table.nameMoved(
          ino % 7 === 0 && ino > 100 ? 2 : 1,
          bytes(`name ${ino}`),
          1,
          bytes(`another name of ${ino}`),
          ino,
        );
    }
    const taken = new NodeTable(copyOf(memory));
    const tell = (of: NodeTable) =>
      Array.from({ length: 3000 }, (_, ino) => {
        const place = of.place(ino, into);
        return `${typeof place === 'object' ? Buffer.from(place) : place} ${of.lookups(ino)}`;
      });
    expect(tell(taken)).toEqual(tell(table));
    expect(taken.size).toBe(table.size);
    for (let ino = 3000; ino < 4000; ino++) taken.lookedUp(1, bytes(`name ${ino}`), ino);
    expect(Buffer.from(taken.place(3500, into) as Uint8Array).toString()).toBe('/name 3500');
  });

  const damage: [string, (rows: { nodes: Float64Array; aliases: Int32Array }) => void, RegExp][] = [
    ['a node that is there twice', ({ nodes }) => nodes.copyWithin(4, 2, 4), /there twice/],
    ['a number that is none', ({ nodes }) => nodes.fill(0.5, 2, 3), /node 0.5/],
    ['a count that is none', ({ nodes }) => nodes.fill(-3, 3, 4), /-3 lookups/],
    ['another root', ({ nodes }) => nodes.fill(9, 0, 1), /root/],
    ['a name of no node', ({ aliases }) => aliases.fill(40, 0, 1), /no nodes/],
    ['a name that is too long', ({ aliases }) => aliases.fill(4000, 3, 4), /4000 bytes/],
    ['two names in one place', ({ aliases }) => aliases.fill(aliases[2]!, 6, 7), /one place/],
    ['a node below itself', ({ aliases }) => aliases.fill(2, 1, 2), /below itself/],
  ];
  test.each(damage)('with %s are refused', (_what, spoil, message) => {
    const memory = newMemory();
    const table = new NodeTable(memory);
    table.lookedUp(1, bytes('a'), 2);
    table.lookedUp(2, bytes('b'), 3);
    table.lookedUp(1, bytes('c'), 4);
    const nodes = new Float64Array(memory.nodes.buffer, memory.nodes.start);
    const aliases = new Int32Array(memory.aliases.buffer, memory.aliases.start);
    spoil({ nodes, aliases });
    expect(() => new NodeTable(copyOf(memory))).toThrow(message);
  });
});
