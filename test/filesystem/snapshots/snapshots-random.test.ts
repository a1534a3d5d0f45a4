/**
 * Random changes of names, attributes and contents, with snapshots in between: each shows what there was at its moment until it is
 * deleted, from the root and from every directory that it has, wherever that is by now.
 */
import { describe, expect, it, onTestFinished } from 'vitest';
import { Tree } from '../../../engine/index.js';
import { newAttributes } from '../../../mount/filesystem/arguments.js';
import type { PastPlace } from '../../../mount/filesystem/past/past-place.js';
import type { Caller } from '../../../mount/filesystem/types.js';
import { seededRandom } from '../../support/disk/random.js';
import { ModelTree } from '../../support/model-tree.js';
import { bytes, CALLER, Fixture, newResult, O_RDONLY, split } from '../fixture.js';

const STEPS = 300;
const MOST_SNAPSHOTS = 5;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const SYMLINK = 0o120000;
const TYPE_MASK = 0o170000;
const ROOT: Caller = { uid: 0, gid: 0, pid: 1, umask: 0 };

/** By path: what can be seen there. */
type Seen = Map<
  string,
  [told: { ino: number; mode: number }, content: string | number, xattr: string | number]
>;

/** What is asked of the tree as it is, or of a snapshot. */
interface Eyes {
  attributes(path: string): ReturnType<typeof newAttributes> | number;
  list(path: string): string[];
  content(path: string): string | number;
  target(path: string): Uint8Array | number;
  xattr(path: string): Uint8Array | number;
}

function look(eyes: Eyes, from = ''): Seen {
  const seen: Seen = new Map();
  const visit = (path: string): void => {
    const attributes = eyes.attributes(path);
    if (typeof attributes === 'number') throw new Error(`${path}: ${attributes}`);
    const { live, changesUnseen, blocks, ...told } = attributes;
    const type = told.mode & TYPE_MASK;
    const text = (value: Uint8Array | number) =>
      typeof value === 'number' ? value : Buffer.from(value).toString();
    const content = type === REGULAR ? eyes.content(path) : type === SYMLINK ? text(eyes.target(path)) : '';
    seen.set(path.slice(from.length), [told, content, text(eyes.xattr(path))]);
    if (type === DIRECTORY) for (const name of eyes.list(path)) visit(`${path}/${name}`);
  };
  visit(from);
  return seen;
}

function liveEyes(f: Fixture): Eyes {
  return {
    attributes(path) {
      const out = newAttributes();
      const error = f.fs.getattr(bytes(path), out);
      return error < 0 ? error : out;
    },
    list: (path) => f.list(path),
    content: (path) => f.read(path),
    target: (path) => f.fs.readlink(bytes(path)),
    xattr: (path) => f.fs.getxattr(bytes(path), bytes('user.k')),
  };
}

function pastEyes(f: Fixture, place: PastPlace): Eyes {
  const { past } = f.fs;
  const at = (path: string): PastPlace => ({ ...place, path: Buffer.concat([place.path, bytes(path)]) });
  return {
    attributes(path) {
      const out = newAttributes();
      const error = past.getattr(at(path), out);
      return error < 0 ? error : out;
    },
    list(path) {
      const handle = past.opendir(at(path));
      const names: string[] = [];
      past.readdir(handle, 0, false, newAttributes(), (name) => {
        names.push(Buffer.from(name).toString('latin1'));
        return true;
      });
      past.releasedir(handle);
      return names.slice(2);
    },
    content(path) {
      const handle = past.open(at(path), O_RDONLY);
      if (handle < 0) return handle;
      const into = Buffer.alloc(1 << 16);
      const length = past.read(handle, into, 0, into.length, 0);
      past.release(handle);
      return length < 0 ? length : into.toString('latin1', 0, length);
    },
    target: (path) => past.readlink(at(path)),
    xattr: (path) => past.getxattr(at(path), bytes('user.k')),
  };
}

class Random {
  readonly #f: Fixture;
  readonly #next: () => number;
  readonly #snapshots = new Map<string, Seen>();
  #made = 0;

  constructor(f: Fixture, seed: number) {
    this.#f = f;
    this.#next = seededRandom(seed);
  }

  #pick(n: number): number {
    return Math.floor(this.#next() * n);
  }

  /** A path of few names, so that they meet. */
  #path(): string {
    return Array.from({ length: 1 + this.#pick(3) }, () => `/${'abcd'[this.#pick(4)]}`).join('');
  }

  run(): void {
    for (let step = 0; step < STEPS; step++) {
      this.#step();
      if (step % 50 === 49) this.compare();
    }
    this.compare();
  }

  #step(): void {
    const f = this.#f;
    const [path, other] = [this.#path(), this.#path()];
    const { parent, name } = split(path);
    const to = split(other);
    const out = newAttributes();
    switch (this.#pick(12)) {
      case 0:
      case 1:
        f.mkdir(path);
        break;
      case 2:
      case 3:
        if (f.fs.getattr(bytes(path), out) < 0) f.create(path);
        f.write(path, `${this.#next()}`, this.#pick(3) * 100);
        break;
      case 4:
        f.fs.rename(CALLER, parent, name, to.parent, to.name, this.#pick(3) === 0 ? 2 : 0, newResult());
        break;
      case 5:
        f.fs.rename(CALLER, parent, name, to.parent, to.name, 0, newResult());
        break;
      case 6:
        f.fs.unlink(CALLER, parent, name, newResult());
        break;
      case 7:
        f.fs.rmdir(CALLER, parent, name, newResult());
        break;
      case 8:
        f.fs.link(CALLER, bytes(path), to.parent, to.name, out);
        break;
      case 9:
        f.fs.setxattr(CALLER, bytes(path), bytes('user.k'), bytes(`${this.#next()}`), 0);
        f.setattr(path, { valid: 1, mode: 0o600 + this.#pick(0o177) });
        break;
      case 10:
        f.fs.symlink(CALLER, parent, name, bytes(other), out);
        break;
      default:
        this.#changeSnapshots();
    }
  }

  #changeSnapshots(): void {
    const { past } = this.#f.fs;
    if (this.#snapshots.size >= MOST_SNAPSHOTS || (this.#snapshots.size > 0 && this.#pick(3) === 0)) {
      const name = [...this.#snapshots.keys()][this.#pick(this.#snapshots.size)]!;
      expect(past.remove(ROOT, 1, bytes(name))).toBe(0);
      this.#snapshots.delete(name);
      return;
    }
    const name = `s${++this.#made}`;
    const seen = look(liveEyes(this.#f));
    expect(past.make(ROOT, 1, bytes(name))).not.toBeTypeOf('number');
    this.#snapshots.set(name, seen);
  }

  compare(): void {
    const { past } = this.#f.fs;
    const live = look(liveEyes(this.#f));
    for (const [name, seen] of this.#snapshots) {
      const place = past.find(1, bytes(name)) as PastPlace;
      expect(look(pastEyes(this.#f, place))).toEqual(seen);
      const paths = new Map([...seen].map(([path, [told]]) => [told.ino, path]));
      for (const [, [told]] of live) {
        if ((told.mode & TYPE_MASK) !== DIRECTORY) continue;
        const here = past.find(told.ino, bytes(name));
        const was = paths.get(told.ino);
        if (typeof here === 'number') expect(was).toBeUndefined();
        else expect(Buffer.from(here.path).toString()).toBe(was);
      }
    }
    expect(Array.from(past.names(1, 0), ({ name }) => name)).toEqual([...this.#snapshots.keys()]);
  }
}

describe.each([
  ['the model tree', () => new ModelTree()],
  ['the engine', () => Tree.open({ memory: true, cacheBytes: 64 << 20 })],
] as const)('snapshots among random changes, over %s', (_name, makeTree) => {
  it.each([1, 2, 3])('show what there was, seed %d', (seed) => {
    const f = new Fixture(makeTree(), { snapshotDirectory: '.snap' });
    onTestFinished(() => f.cleanUp());
    new Random(f, seed).run();
  });
});
