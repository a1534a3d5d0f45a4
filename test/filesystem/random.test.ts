/** Random sequences of operations, compared step by step with a plain model of what POSIX says. */
import { writeSync } from 'node:fs';
import { constants } from 'node:os';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Tree } from '../../engine/index.js';
import * as types from '../../mount/filesystem/types.js';
import { FILESYSTEM_MEASURE } from '../../mount/sums/filesystem-measure.js';
import { ModelTree } from '../support/model-tree.js';
import { bytes, CALLER, Fixture } from './fixture.js';

const E = constants.errno;

interface Node {
  directory?: Map<string, Node>;
  content: string;
  xattrs: Map<string, string>;
}

class Model {
  readonly root: Node = { directory: new Map(), content: '', xattrs: new Map() };

  node(path: string): Node | undefined {
    let node: Node | undefined = this.root;
    for (const part of path.split('/').slice(1)) node = node?.directory?.get(part);
    return node;
  }

  /** The directory that `path` is in, or the errno that comes of there being none. */
  parent(path: string): Node | number {
    const node = this.node(path.slice(0, path.lastIndexOf('/')));
    if (node === undefined) return -E.ENOENT;
    return node.directory === undefined ? -E.ENOTDIR : node;
  }

  make(path: string, node: Node): number {
    const parent = this.parent(path);
    if (typeof parent === 'number') return parent;
    if (parent.directory!.has(base(path))) return -E.EEXIST;
    parent.directory!.set(base(path), node);
    return 0;
  }

  remove(path: string, directory: boolean): number {
    const node = this.node(path);
    if (node === undefined) return -E.ENOENT;
    if (directory && node.directory === undefined) return -E.ENOTDIR;
    if (!directory && node.directory !== undefined) return -E.EISDIR;
    if (directory && node.directory!.size > 0) return -E.ENOTEMPTY;
    (this.parent(path) as Node).directory!.delete(base(path));
    return 0;
  }

  rename(from: string, to: string): number {
    const node = this.node(from);
    const parent = this.parent(to);
    if (node === undefined) return -E.ENOENT;
    if (typeof parent === 'number') return parent;
    if (node.directory !== undefined && `${to}/`.startsWith(`${from}/`) && to !== from) return -E.EINVAL;
    const target = parent.directory!.get(base(to));
    if (target === node) return 0;
    if (target !== undefined) {
      if (node.directory !== undefined && target.directory === undefined) return -E.ENOTDIR;
      if (node.directory === undefined && target.directory !== undefined) return -E.EISDIR;
      if (target.directory !== undefined && target.directory.size > 0) return -E.ENOTEMPTY;
    }
    (this.parent(from) as Node).directory!.delete(base(from));
    parent.directory!.set(base(to), node);
    return 0;
  }

  links(node: Node, at: Node = this.root): number {
    let count = 0;
    for (const child of at.directory?.values() ?? [])
      count += (child === node ? 1 : 0) + this.links(node, child);
    return count;
  }
}

function base(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function file(content = ''): Node {
  return { content, xattrs: new Map() };
}

function compare(f: Fixture, model: Model, path = '', node: Node = model.root): void {
  const at = f.stat(path);
  const children = [...(node.directory?.keys() ?? [])].sort();
  if (node.directory === undefined) {
    expect([path, at.nlink, at.size]).toEqual([path, model.links(node), node.content.length]);
    expect(f.read(path)).toBe(node.content);
  } else {
    const subdirectories = [...node.directory.values()].filter(
      (child) => child.directory !== undefined,
    ).length;
    expect([path, at.nlink]).toEqual([path, 2 + subdirectories]);
    expect(f.list(path)).toEqual(children);
  }
  const names = Buffer.from(f.fs.listxattr(CALLER, bytes(path)) as Uint8Array).toString();
  expect(names).toBe(
    [...node.xattrs.keys()]
      .sort()
      .map((name) => `${name}\0`)
      .join(''),
  );
  for (const [name, value] of node.xattrs) {
    expect(Buffer.from(f.fs.getxattr(bytes(path), bytes(name)) as Uint8Array).toString()).toBe(value);
  }
  for (const name of children) compare(f, model, `${path}/${name}`, node.directory!.get(name)!);
}

/** One step: applied to both; both results must agree. */
type Step = (f: Fixture, model: Model) => void;

const names = fc.constantFrom('a', 'b', 'a!', 'a0');
const paths = fc.array(names, { minLength: 1, maxLength: 3 }).map((parts) => `/${parts.join('/')}`);
const texts = fc.string({ maxLength: 5, unit: 'binary-ascii' });
const xattrNames = fc.constantFrom('user.x', 'user.y');

const step: fc.Arbitrary<Step> = fc.oneof(
  paths.map(
    (path): Step =>
      (f, model) =>
        expect(f.create(path)).toBe(model.make(path, file())),
  ),
  paths.map(
    (path): Step =>
      (f, model) => {
        expect(f.mkdir(path)).toBe(model.make(path, { directory: new Map(), ...file() }));
      },
  ),
  paths.map(
    (path): Step =>
      (f, model) =>
        expect(f.unlink(path)).toBe(model.remove(path, false)),
  ),
  paths.map(
    (path): Step =>
      (f, model) =>
        expect(f.rmdir(path)).toBe(model.remove(path, true)),
  ),
  fc.tuple(paths, paths).map(
    ([from, to]): Step =>
      (f, model) =>
        expect([from, to, f.rename(from, to)]).toEqual([from, to, model.rename(from, to)]),
  ),
  fc.tuple(paths, paths).map(
    ([from, to]): Step =>
      (f, model) => {
        const node = model.node(from);
        if (node === undefined || node.directory !== undefined || typeof model.parent(to) === 'number') {
          expect(f.link(from, to)).toBeLessThan(0);
        } else expect(f.link(from, to)).toBe(model.make(to, node));
      },
  ),
  fc.tuple(paths, texts).map(
    ([path, text]): Step =>
      (f, model) => {
        const node = model.node(path);
        if (node === undefined || node.directory !== undefined) return;
        expect(f.write(path, text)).toBe(0);
        node.content = text + node.content.slice(text.length);
      },
  ),
  fc.tuple(paths, fc.nat(8)).map(
    ([path, size]): Step =>
      (f, model) => {
        const node = model.node(path);
        if (node === undefined || node.directory !== undefined) return;
        expect(f.setattr(path, { valid: types.CHANGE_SIZE, size })).toBe(0);
        node.content = node.content.slice(0, size).padEnd(size, '\0');
      },
  ),
  fc.tuple(paths, xattrNames, texts).map(
    ([path, name, text]): Step =>
      (f, model) => {
        const result = f.fs.setxattr(CALLER, bytes(path), bytes(name), bytes(text), 0);
        const node = model.node(path);
        expect(result).toBe(node === undefined ? -E.ENOENT : 0);
        node?.xattrs.set(name, text);
      },
  ),
  fc.tuple(paths, xattrNames).map(
    ([path, name]): Step =>
      (f, model) => {
        const result = f.fs.removexattr(CALLER, bytes(path), bytes(name));
        const node = model.node(path);
        expect(result).toBe(node === undefined ? -E.ENOENT : node.xattrs.delete(name) ? 0 : -E.ENODATA);
      },
  ),
  // A file that is written past the layer, with what may come between.
  fc.tuple(paths, texts, fc.constantFrom(1, 2), fc.subarray(['rest', 'sync', 'unlink', 'read', 'crash'])).map(
    ([path, text, flags, events]): Step =>
      (f, model) => {
        const node = file();
        const made = model.make(path, node);
        const { handle, fd } = f.createPassed(path, flags);
        if (made !== 0) {
          expect(handle).toBe(made);
          return;
        }
        const write = (at: number): void => {
          writeSync(fd, Buffer.from(text, 'latin1'), 0, text.length, at);
          node.content = node.content.slice(0, at) + text;
        };
        if (events.includes('rest')) f.fs.rest();
        write(0);
        if (events.includes('sync')) expect(f.fs.fsync(handle)).toBe(0);
        write(text.length);
        if (events.includes('unlink')) {
          expect(f.unlink(path)).toBe(0);
          model.remove(path, false);
        } else if (events.includes('read')) expect(f.read(path)).toBe(node.content);
        if (events.includes('crash')) f.open();
        else expect(f.fs.release(handle)).toBe(0);
      },
  ),
  // A file left open for writing, changed, and then the end of the process without a close.
  fc.tuple(paths, texts).map(
    ([path, text]): Step =>
      (f, model) => {
        const node = model.node(path);
        if (node !== undefined && node.directory === undefined) {
          const handle = f.fs.open(CALLER, bytes(path), 1);
          expect(f.fs.write(handle, Buffer.from(text, 'latin1'), 0, text.length, 0)).toBe(text.length);
          node.content = text + node.content.slice(text.length);
        }
        f.open();
      },
  ),
);

describe.each([
  ['the model tree', () => new ModelTree()],
  ['the engine', () => Tree.open({ memory: true, measure: FILESYSTEM_MEASURE })],
] as const)('random operations over %s', (_name, makeTree) => {
  it('agree with a model of POSIX, over crashes, and leave nothing behind', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.boolean(),
        fc.boolean(),
        (steps, keepsNodes, rests) => {
          const f = new Fixture(makeTree(), { keepsNodes, rests });
          const model = new Model();
          try {
            for (const apply of steps) {
              apply(f, model);
              compare(f, model);
            }
            const remove = (path: string, node: Node): void => {
              for (const [name, child] of node.directory ?? []) {
                remove(`${path}/${name}`, child);
                if (child.directory === undefined) expect(f.unlink(`${path}/${name}`)).toBe(0);
                else expect(f.rmdir(`${path}/${name}`)).toBe(0);
              }
            };
            remove('', model.root);
            f.open();
            f.reclaimed(f.scheduled);
            expect(['i', 'o', 'x', 'y', 'd/'].filter((prefix) => !f.tree.isPrefixEmpty(prefix))).toEqual(
              model.root.xattrs.size > 0 ? ['x'] : [],
            );
          } finally {
            f.cleanUp();
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});
