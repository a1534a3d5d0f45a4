/** Key spaces that drive the tree's nodes into every shape, and operations drawn from them. Names are latin1. */
import type { Operation, Step } from './model.js';

export type Random = () => number;

export interface KeySpace {
  name: string;
  /** A key of the space; the same random numbers give the same key. */
  key(random: Random): string;
}

export const below = (random: Random, limit: number): number => Math.floor(random() * limit);
export const pick = <T>(random: Random, list: readonly T[]): T => list[below(random, list.length)] as T;
const char = String.fromCharCode;

function text(random: Random, alphabet: string, most: number): string {
  let out = '';
  for (let n = 1 + below(random, most); n > 0; n--) out += alphabet[below(random, alphabet.length)];
  return out;
}

const edges = `${char(0)}${char(1)}${char(254)}${char(255)}`;

export const KEY_SPACES: readonly KeySpace[] = [
  // Nodes of every kind, which grow and shrink.
  {
    name: 'bytes',
    key: (random) => char(below(random, 256)) + (random() < 0.5 ? '' : char(below(random, 256))),
  },
  { name: 'edges', key: (random) => text(random, edges, 5) },
  // Common prefixes around the length of one node's prefix and of several.
  {
    name: 'long prefixes',
    key: (random) =>
      'p'.repeat(pick(random, [1, 254, 255, 256, 257, 300, 510, 511, 512, 513, 700, 1500])) +
      (random() < 0.3 ? '' : text(random, 'pqr', 3)),
  },
  // Each key the beginning of the next.
  { name: 'chain', key: (random) => 'c'.repeat(1 + below(random, 3000)) },
  {
    name: 'chain of edges',
    key: (random) =>
      pick(random, [char(0), char(255)]).repeat(1 + below(random, 300)) + pick(random, ['', char(0)]),
  },
  {
    name: 'paths',
    key: (random) => {
      let out = 'd';
      for (let n = below(random, 5); n >= 0; n--) out += `/${pick(random, ['a', 'b', 'src', 'lib', 'node'])}`;
      return random() < 0.5 ? out : `${out}/file${below(random, 50)}`;
    },
  },
  {
    name: 'largest keys',
    key: (random) =>
      `${'k'.repeat(16_000)}${text(random, 'kl', 20)}`.padEnd(pick(random, [16_030, 16_384]), 'z'),
  },
];

const SIZES = [0, 0, 1, 7, 8, 30, 100, 100, 500, 2000];
const LARGE_SIZES = [...SIZES, 20_000, 131_072];

export function randomValue(random: Random, sizes: readonly number[] = SIZES): Uint8Array {
  return Buffer.alloc(pick(random, sizes), char(below(random, 256)), 'latin1');
}

export function prefixOf(random: Random, key: string): string {
  return key.slice(0, random() < 0.1 ? 0 : 1 + below(random, key.length));
}

/** One step of a batch, or an operation by itself. `keys` gives keys, some of which exist. */
export function stepOf(random: Random, keys: () => string, sizes: readonly number[]): Step {
  const key = keys();
  const value = randomValue(random, sizes);
  const right = random() < 0.8;
  switch (below(random, 16)) {
    case 0:
      return { op: 'putIfAbsent', key, value };
    case 1:
      return { op: 'compareAndPut', key, right, value };
    case 2:
    case 3:
    case 4:
      return { op: 'delete', key };
    case 5:
      return { op: 'deleteIfVersion', key, right };
    case 6:
      return { op: 'rename', key, to: keys(), force: random() < 0.7 };
    case 7: {
      // Short enough that no key grows past the limit.
      const from = prefixOf(random, key);
      const to =
        random() < 0.3 ? from.slice(0, -1) : `${from.slice(0, from.length >> 1)}${char(below(random, 256))}`;
      return { op: 'renamePrefix', key: from, to: to === '' ? char(7) : to };
    }
    case 8:
      return { op: 'deletePrefix', key: random() < 0.8 ? key : prefixOf(random, key) };
    case 9:
      return { op: 'assertPrefixEmpty', key: random() < 0.5 ? `${key}x` : prefixOf(random, key) };
    case 10:
      return { op: 'assertAbsent', key: random() < 0.5 ? key : `${key}${char(0)}`.slice(0, 16_384) };
    default:
      return { op: 'put', key, value };
  }
}

/** The key, or a part of it, or it with more to it. */
export function lookAlike(random: Random, key: string): string {
  const roll = random();
  if (roll < 0.4) return key;
  if (roll < 0.6) return prefixOf(random, key);
  return `${prefixOf(random, key)}${text(random, `${edges}/cdkp`, 3)}`;
}

export function operationOf(random: Random, keys: () => string, large = false): Operation {
  const sizes = large ? LARGE_SIZES : SIZES;
  const roll = random();
  if (roll < 0.12) {
    const steps: Step[] = [];
    for (let n = 1 + below(random, 6); n > 0; n--) steps.push(stepOf(random, keys, sizes));
    return { op: 'atomic', steps };
  }
  if (roll < 0.25) {
    const key = keys();
    const delimiters = [undefined, 0x2f, 0, 255, key.charCodeAt(below(random, key.length))];
    const delimiter = pick(random, delimiters);
    let after = random() < 0.5 ? undefined : keys();
    if (after !== undefined && delimiter !== undefined && random() < 0.5) {
      after = after.slice(0, after.indexOf(char(delimiter)) + 1);
    }
    return {
      op: 'range',
      key: prefixOf(random, key).slice(0, below(random, key.length + 1)),
      after,
      delimiter,
      keysOnly: random() < 0.3,
    };
  }
  if (roll < 0.29) return { op: 'get', key: keys() };
  if (roll < 0.32) return { op: 'longestPrefix', key: lookAlike(random, keys()) };
  if (roll < 0.35) {
    const limits = [0, 1, 2, 5, 100, Number.POSITIVE_INFINITY];
    return { op: 'countPrefix', key: prefixOf(random, keys()), limit: pick(random, limits) };
  }
  if (roll < 0.36)
    return { op: pick(random, ['checkpoint', 'compact', 'reopen', 'kill', 'compare'] as const) };
  return stepOf(random, keys, sizes);
}
