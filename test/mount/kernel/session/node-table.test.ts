import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReusableBytes } from '../../../../mount/kernel/protocol/reusable-bytes.js';
import { NodeTable } from '../../../../mount/kernel/session/node-table.js';

const into = new ReusableBytes(16);
const bytes = (name: string) => Buffer.from(name);

function pathOf(table: NodeTable, ino: number): string | number | undefined {
  const place = table.place(ino, into);
  return typeof place === 'object' ? Buffer.from(place).toString() : place;
}

describe('NodeTable', () => {
  test('builds paths by walking up, and a renamed directory moves what is below it', () => {
    const table = new NodeTable();
    table.lookedUp(1, bytes('a'), 2);
    table.lookedUp(2, bytes('deep-name-that-is-longer-than-the-buffer'), 3);
    expect(pathOf(table, 1)).toBe('');
    expect(pathOf(table, 3)).toBe('/a/deep-name-that-is-longer-than-the-buffer');
    table.nameMoved(1, bytes('a'), 1, bytes('b'), 2);
    expect(pathOf(table, 3)).toBe('/b/deep-name-that-is-longer-than-the-buffer');
    expect(pathOf(table, 9)).toBeUndefined();
  });

  test('a node without a name is its number until it is forgotten', () => {
    const table = new NodeTable();
    table.lookedUp(1, bytes('a'), 2);
    table.lookedUp(1, bytes('b'), 2);
    table.nameRemoved(1, bytes('a'), 2);
    expect(pathOf(table, 2)).toBe('/b');
    table.nameRemoved(1, bytes('b'), 2);
    expect(pathOf(table, 2)).toBe(2);
    expect(table.forget(2, 1)).toBe(false);
    expect(table.forget(2, 1)).toBe(true);
    expect(table.has(2)).toBe(false);
    expect(table.forget(2, 1)).toBe(false);
  });

  test('a parent forgotten before its child stays until the child goes', () => {
    const table = new NodeTable();
    table.lookedUp(1, bytes('a'), 2);
    table.lookedUp(2, bytes('b'), 3);
    expect(table.forget(2, 1)).toBe(true);
    expect(pathOf(table, 3)).toBe('/a/b');
    expect(table.forget(3, 1)).toBe(true);
    expect(table.size).toBe(1);
  });

  test('memory does not grow while the kernel holds a bounded number of nodes', () => {
    const table = new NodeTable();
    const round = (from: number) => {
      for (let i = 0; i < 1000; i++) table.lookedUp(1, bytes(`name-${from + i}`), from + i);
      for (let i = 0; i < 1000; i++) table.forget(from + i, 1);
    };
    round(2);
    round(2000);
    const settled = table.byteLength;
    for (let i = 2; i < 50; i++) round(i * 1000);
    expect(table.byteLength).toBe(settled);
    expect(table.size).toBe(1);
  });

  test('agrees with a plain model over random histories', () => {
    const name = fc.constantFrom('a', 'b', 'cc', 'long-name');
    const ino = fc.integer({ min: 2, max: 12 });
    const step = fc.oneof(
      fc.record({ op: fc.constant('look' as const), parent: ino, name, ino }),
      fc.record({ op: fc.constant('remove' as const), parent: ino, name, ino }),
      fc.record({ op: fc.constant('move' as const), parent: ino, name, ino, toParent: ino, toName: name }),
      fc.record({ op: fc.constant('forget' as const), ino, count: fc.integer({ min: 1, max: 3 }) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const table = new NodeTable();
        const model = new Model();
        for (const s of steps) {
          if (s.op === 'forget') {
            expect(table.forget(s.ino, s.count)).toBe(model.forget(s.ino, s.count));
          } else {
            // Parents have lower numbers, so that there are no circles; 2 stands for the root's children.
            const parent = s.parent < s.ino ? s.parent : 1;
            if (!model.nodes.has(parent)) continue;
            const key = `${parent}/${s.name}`;
            if (s.op === 'look') {
              table.lookedUp(parent, bytes(s.name), s.ino);
              model.look(s.ino, key);
            } else if (s.op === 'remove') {
              table.nameRemoved(parent, bytes(s.name), s.ino);
              model.remove(s.ino, key);
            } else {
              const toParent = s.toParent < s.ino ? s.toParent : 1;
              const toKey = `${toParent}/${s.toName}`;
              if (toKey === key || !model.nodes.get(s.ino)?.names.has(key) || !model.nodes.has(toParent))
                continue;
              table.nameMoved(parent, bytes(s.name), toParent, bytes(s.toName), s.ino);
              model.move(s.ino, key, toKey);
            }
          }
          expect(table.size).toBe(model.nodes.size);
          for (let i = 1; i <= 12; i++) {
            expect(table.lookups(i)).toBe(model.nodes.get(i)?.lookups ?? 0);
            expect(model.paths(i)).toContain(pathOf(table, i));
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The same thing with maps and strings. A name is `parent/name`. */
class Model {
  readonly nodes = new Map([[1, { lookups: 0, names: new Set<string>() }]]);

  look(ino: number, name: string): void {
    const node = this.nodes.get(ino) ?? { lookups: 0, names: new Set<string>() };
    node.lookups++;
    node.names.add(name);
    this.nodes.set(ino, node);
  }

  remove(ino: number, name: string): void {
    this.nodes.get(ino)?.names.delete(name);
    this.#prune();
  }

  move(ino: number, from: string, to: string): void {
    this.nodes.get(ino)!.names.delete(from);
    this.nodes.get(ino)!.names.add(to);
    this.#prune();
  }

  forget(ino: number, count: number): boolean {
    const node = this.nodes.get(ino);
    if (!node || node.lookups === 0) return false;
    node.lookups = Math.max(0, node.lookups - count);
    this.#prune();
    return node.lookups === 0;
  }

  /** Every path that the node may be given under; its number when it has none; undefined when it is gone. */
  paths(ino: number): (string | number | undefined)[] {
    const node = this.nodes.get(ino);
    if (!node) return [undefined];
    if (ino === 1) return [''];
    const paths: string[] = [];
    let stranded = false;
    for (const full of node.names) {
      const [parent, name] = full.split('/');
      for (const above of this.paths(Number(parent))) {
        if (typeof above === 'string') paths.push(`${above}/${name}`);
        else stranded = true;
      }
    }
    return paths.length === 0 || stranded ? [...paths, ino] : paths;
  }

  #prune(): void {
    for (let changed = true; changed; ) {
      changed = false;
      for (const [ino, node] of this.nodes) {
        if (ino === 1 || node.lookups > 0) continue;
        const isParent = [...this.nodes.values()].some((other) =>
          [...other.names].some((name) => name.startsWith(`${ino}/`)),
        );
        if (isParent) continue;
        this.nodes.delete(ino);
        changed = true;
      }
    }
  }
}
