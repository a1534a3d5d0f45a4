import { describe, expect, it } from 'vitest';
import { ReusableBytes } from '../../../../mount/kernel/protocol/reusable-bytes.js';
import {
  isSnapshotNode,
  SNAPSHOT_NODES,
  SnapshotNodes,
} from '../../../../mount/kernel/session/snapshot-nodes.js';
import { seededRandom } from '../../../support/disk/random.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

function placed(nodes: SnapshotNodes, node: number): string | undefined {
  const place = nodes.place(node, new ReusableBytes(16));
  return place && `${place.snapshot}:${Buffer.from(place.path).toString()}`;
}

describe('nodes of snapshots', () => {
  it('are above all inode numbers, and exact', () => {
    const nodes = new SnapshotNodes();
    const node = nodes.holdDirectory(2 ** 48 - 1);
    expect(isSnapshotNode(node)).toBe(true);
    expect(isSnapshotNode(2 ** 48)).toBe(false);
    expect(Number.isSafeInteger(SNAPSHOT_NODES + 2 ** 31)).toBe(true);
    expect(nodes.homeOf(node)).toBe(2 ** 48 - 1);
  });

  it('are the same while they are held, by parent and name', () => {
    const nodes = new SnapshotNodes();
    const one = nodes.holdDirectory(7);
    const other = nodes.holdDirectory(8);
    expect(nodes.holdDirectory(7)).toBe(one);
    const root = nodes.holdRoot(one, { snapshot: 3, path: bytes('/a/b') });
    expect(nodes.holdRoot(one, { snapshot: 3, path: bytes('/a/b') })).toBe(root);
    expect(nodes.holdRoot(one, { snapshot: 4, path: bytes('/a/b') })).not.toBe(root);
    // The same directory through another: a node of its own.
    const below = nodes.hold(root, bytes('c'));
    const same = nodes.holdRoot(other, { snapshot: 3, path: bytes('/a/b/c') });
    expect(same).not.toBe(below);
    expect(placed(nodes, below)).toBe('3:/a/b/c');
    expect(placed(nodes, same)).toBe('3:/a/b/c');
    expect(placed(nodes, nodes.hold(below, bytes('d')))).toBe('3:/a/b/c/d');
    expect(placed(nodes, one)).toBeUndefined();
    expect(nodes.homeOf(root)).toBe(0);
    expect(placed(nodes, SNAPSHOT_NODES + 1000)).toBeUndefined();
  });

  it('stay while something below them is held, and go with the last FORGET, parents first', () => {
    const nodes = new SnapshotNodes();
    const directory = nodes.holdDirectory(7);
    const root = nodes.holdRoot(directory, { snapshot: 1, path: bytes('') });
    const a = nodes.hold(root, bytes('a'));
    const b = nodes.hold(a, bytes('b'));
    nodes.hold(a, bytes('b'));
    nodes.forget(directory, 1);
    nodes.forget(root, 1);
    nodes.forget(a, 1);
    expect(nodes.size).toBe(4);
    expect(placed(nodes, b)).toBe('1:/a/b');
    nodes.forget(b, 1);
    expect(nodes.size).toBe(4);
    nodes.forget(b, 1);
    expect(nodes.size).toBe(0);
    expect([directory, root, a, b].some((node) => nodes.has(node))).toBe(false);
    nodes.forget(b, 5);
    expect(nodes.size).toBe(0);
  });

  it('agree with a plain table over random lookups and forgets', () => {
    const next = seededRandom(20261130);
    const pick = (n: number): number => Math.floor(next() * n);
    const nodes = new SnapshotNodes();
    const home = nodes.holdDirectory(1);
    const root = nodes.holdRoot(home, { snapshot: 9, path: bytes('/top') });
    /** By node: its path below the root, and lookups. */
    const held = new Map<number, { path: string; lookups: number }>([[root, { path: '', lookups: 1 }]]);
    for (let step = 0; step < 20_000; step++) {
      const [node, { path }] = [...held][pick(held.size)]!;
      if (next() < 0.55) {
        const name = `name-${'x'.repeat(pick(40))}${pick(50)}`;
        const child = nodes.hold(node, bytes(name));
        const known = held.get(child);
        if (known === undefined) held.set(child, { path: `${path}/${name}`, lookups: 1 });
        else known.lookups++;
        expect(held.get(child)!.path).toBe(`${path}/${name}`);
      } else if (node !== root) {
        const entry = held.get(node)!;
        const count = 1 + pick(entry.lookups);
        nodes.forget(node, count);
        entry.lookups -= count;
        if (entry.lookups === 0) held.delete(node);
      }
      if (held.size > 400) {
        for (const [other, { lookups }] of [...held].slice(1, 200)) {
          nodes.forget(other, lookups);
          held.delete(other);
        }
      }
      if (step % 500 === 0)
        for (const [other, { path: at }] of held) expect(placed(nodes, other)).toBe(`9:/top${at}`);
    }
    for (const [node, { lookups }] of held) nodes.forget(node, lookups);
    nodes.forget(home, 1);
    expect(nodes.size).toBe(0);
  });
});
